package governance

import (
	"context"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
)

// keptReleases is how many releases of an endpoint, beside what serves, a rollback may find:
// their versions stay.
const keptReleases = 3

// releasePage is how many deployments are looked through for them.
const releasePage = 100

// DeleteVersion removes a version, and frees the bytes that nothing else needs. It answers
// Conflict with CodeHeld when something needs it, and removes nothing then; with try it only
// says what would be.
func (s *Service) DeleteVersion(ctx context.Context, p slipway.Principal, model, ref, reason string, try bool) (api.Deletion, error) {
	v, err := s.version(ctx, p, authz.ModelDelete, model, ref)
	if err != nil {
		return api.Deletion{}, err
	}
	out := api.Deletion{Model: v.Model, Version: v.Number, Held: []string{}}
	if out.Held, err = s.holders(ctx, v); err != nil {
		return out, err
	}
	total := int64(0)
	for _, f := range v.Files {
		total += f.Size
	}
	if out.Kept = total; try {
		return out, nil
	}
	if len(out.Held) > 0 {
		return out, held(v.Model, v.Number, out.Held)
	}
	if err := s.Models.DeleteVersion(ctx, p, v.Model, v.Number); err != nil {
		return out, err
	}
	out.Deleted = true
	digests := make([]slipway.Digest, 0, len(v.Files))
	for _, f := range v.Files {
		digests = append(digests, f.Digest)
	}
	out.Files, out.Freed, err = s.Free(ctx, digests)
	out.Kept = total - out.Freed
	freed := s.event(p, "version.freed", v.Model, "number", strconv.Itoa(v.Number), "bytes", strconv.FormatInt(out.Freed, 10), "reason", oneLine(reason, 500))
	if err := s.Access.Append(ctx, freed); err != nil {
		return out, err
	}
	if err != nil { // it is deleted; the doctor frees what is left
		s.Log.WarnContext(ctx, "the bytes of a deleted version are not all free yet", "model", v.Model, "version", v.Number, "error", err.Error())
	}
	return out, nil
}

func held(model string, version int, why []string) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeHeld, "platform models show "+model+" "+strconv.Itoa(version), "%s is needed: %s", named(model, version), list(why))
}

// maxListed is how many things a message names.
const maxListed = 5

func list(all []string) string {
	text := ""
	for i, one := range all {
		switch {
		case i == maxListed:
			return text + " and " + strconv.Itoa(len(all)-i) + " more"
		case i > 0:
			text += "; "
		}
		text += one
	}
	return text
}

// holders are the things that need a version: aliases, what serves it or would bring it back,
// what is under way, and requests that are open.
func (s *Service) holders(ctx context.Context, v registry.Version) ([]string, error) {
	out := []string{}
	d, err := s.Models.Detail(ctx, v.Model, v.Number)
	if err != nil {
		return out, err
	}
	for _, alias := range d.Aliases {
		out = append(out, "the alias "+alias+" points at it")
	}
	if d.Stage != registry.StageNone && d.Stage != "" && d.Stage != registry.StageArchived {
		out = append(out, "it is in the stage "+d.Stage)
	}
	used, err := s.used(ctx, v.Model, v.Number)
	return append(out, used...), err
}

// used are the endpoints that need a version. One that was never deployed costs one look.
func (s *Service) used(ctx context.Context, model string, version int) (out []string, _ error) {
	ever, err := s.Fleet.OfVersion(ctx, model, version, 0, 1)
	if err != nil || len(ever) == 0 {
		return nil, err
	}
	endpoints, err := s.Fleet.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for i := range endpoints {
		why, err := s.holds(ctx, &endpoints[i], ever[0].Digest)
		if err != nil {
			return out, err
		}
		if why != "" {
			out = append(out, why)
		}
	}
	return out, nil
}

// holds says why an endpoint needs a version, empty if it does not.
func (s *Service) holds(ctx context.Context, e *rollout.Endpoint, digest slipway.Digest) (string, error) {
	if r := e.Serving(); r != nil && r.VersionDigest == digest {
		return e.Key + " serves it as " + r.ID, nil
	}
	if r := e.Candidate; r != nil && r.VersionDigest == digest {
		return e.Key + " tries it as " + r.ID, nil
	}
	if r := e.Stable; r != nil && r.VersionDigest == digest {
		return e.Key + " keeps it warm as " + r.ID, nil
	}
	all, err := s.Fleet.Deployments(ctx, e.Key, 0, releasePage)
	if err != nil {
		return "", err
	}
	kept := 0
	for _, d := range all {
		if d.Digest == digest && d.Status == rollout.Running {
			return d.ID + " brings it to " + e.Key, nil
		}
		if r := e.Serving(); d.Status != rollout.Succeeded || d.Revision == nil || r != nil && d.Digest == r.VersionDigest {
			continue
		}
		refused, err := s.Fleet.Refusal(ctx, e.Key, d.Digest)
		if err != nil {
			return "", err
		}
		if refused != nil {
			continue
		}
		if kept++; kept > keptReleases {
			return "", nil
		}
		if d.Digest == digest {
			return "a rollback of " + e.Key + " would bring it back (" + d.Revision.ID + ")", nil
		}
	}
	return "", nil
}
