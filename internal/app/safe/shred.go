package safe

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/route"
)

// Shred implements httpapi.Keys. It destroys the keys of a space in the key service, renews
// those of the uploads, through which files of the space went, removes what does not open any
// more, and proves with a copy that was made before that it does not open.
func (s *Safe) Shred(ctx context.Context, p slipway.Principal, r api.ShredKeys) (api.Shredded, error) {
	out := api.Shredded{Space: r.Space}
	if err := s.Access.Check(ctx, p, authz.KeysShred, server); err != nil {
		return out, err
	}
	space, err := keys.ParseSpace(r.Space)
	if err == nil && space.Owner() == "" {
		err = slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "platform keys rotate --space "+string(space), "%s belongs to the installation itself, which needs it", space)
	}
	if err == nil {
		err = s.known(ctx, space)
	}
	if err != nil {
		return out, err
	}
	s.shredder.Lock()
	defer s.shredder.Unlock()
	live, err := s.live(ctx, space)
	if err != nil {
		return out, err
	}
	if len(live) > 0 && !r.Force {
		return out, slipway.Errorf(slipway.Conflict, slipway.CodeKeyInUse, "deploy something else there, or add --force: it serves on from its unpacked copy until it is replaced",
			"%s serve what is encrypted with the keys of %s", strings.Join(live, ", "), space)
	}
	copied, err := s.copy(ctx, space)
	if err != nil {
		return out, err
	}
	defer copied.remove()
	if err := s.record(ctx, p.ID, "keys.shredding", space, map[string]string{"reason": r.Reason}); err != nil {
		return out, err
	}
	gone, err := s.Ring.Shred(ctx, space, p.ID)
	if err != nil {
		return out, err
	}
	out.Keys = len(gone)
	if err := s.Ring.Renew(ctx, keys.Uploads, p.ID); err != nil {
		return out, err
	}
	before := copied.values
	if err := s.dropShredded(ctx); err != nil {
		return out, err
	}
	out.Objects = before
	if _, err := s.removeCopies(ctx); err != nil {
		return out, err
	}
	s.want(due{copies: true}) // of what serves still
	s.Poke()
	if out.Proof, err = s.prove(ctx, space, gone, copied); err != nil {
		return out, errors.Join(err, s.record(ctx, p.ID, "keys.shred-unproved", space, map[string]string{"reason": slipway.AsError(err).Message}))
	}
	out.Remains = s.remains(live)
	return out, s.record(ctx, p.ID, "keys.shredded", space, map[string]string{"reason": r.Reason, "keys": strconv.Itoa(out.Keys), "values": strconv.Itoa(out.Objects),
		"proof": strings.Join(out.Proof, "; "), "remains": strings.Join(out.Remains, "; ")})
}

// live are the endpoints that serve something of the space.
func (s *Safe) live(ctx context.Context, space keys.Space) (out []string, err error) {
	all, err := s.Records.Endpoints(ctx)
	for i := range all {
		if e := &all[i]; e.Owner == space.Owner() && (e.Serving() != nil || e.Candidate != nil) {
			out = append(out, e.Key)
		}
	}
	return out, err
}

// removeCopies removes the unpacked files of versions of which something was shredded: they
// are copies in clear; and the models that older programs kept in images. What serves waits,
// and it answers whether there is any.
func (s *Safe) removeCopies(ctx context.Context) (waits bool, err error) {
	endpoints, err := s.Records.Endpoints(ctx)
	if err != nil {
		return false, err
	}
	serves := map[slipway.Digest]bool{}
	for i := range endpoints {
		for _, r := range []*route.Revision{endpoints[i].Stable, endpoints[i].Candidate} {
			if r != nil {
				serves[r.ImageDigest] = true
			}
		}
	}
	for i := range endpoints {
		for before, more := 0, true; more; {
			all, err := s.Records.Deployments(ctx, endpoints[i].Key, before, page)
			if err != nil {
				return waits, err
			}
			for _, d := range all {
				if before = d.Number; d.Revision == nil {
					continue
				}
				shredded, err := s.incomplete(ctx, d.Revision)
				if err == nil && shredded {
					err = oci.RemoveModel(s.config.Images(), d.Revision.ImageDigest)
				}
				if err == nil && shredded && !serves[d.Revision.ImageDigest] {
					err = oci.RemoveUnpacked(filepath.Join(s.config.Revisions(), d.Revision.ImageDigest.Hex()))
				}
				if err != nil {
					return waits, err
				}
				waits = waits || shredded && serves[d.Revision.ImageDigest]
			}
			more = len(all) == page
		}
	}
	return waits, nil
}

// incomplete says whether a file that a revision was made of is not there any more.
func (s *Safe) incomplete(ctx context.Context, r *route.Revision) (bool, error) {
	v, err := s.Models.Version(ctx, r.Model, registry.Ref{Number: r.Version})
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return true, nil // it was deleted, so its copies may go
	}
	if err != nil {
		return false, err
	}
	missing, err := s.Blobs.Missing(ctx, Files(v.Files))
	return len(missing) > 0, err
}

func (s *Safe) remains(live []string) (out []string) {
	if len(live) > 0 {
		out = append(out, strings.Join(live, ", ")+" go on serving from unpacked copies in "+s.config.Revisions()+", which go when they serve something else")
	}
	if strings.HasPrefix(s.config.KeyService, "aws-kms") {
		out = append(out, "AWS deletes the keys in seven days; until then an administrator of AWS could take that back")
	}
	if s.config.KeyService == "" || s.config.KeyService == "local" {
		out = append(out, "copies of the key file "+s.config.RootKey()+" that were made before open old backups: destroy them, and keep a copy of the new one")
	}
	return out
}

// dead is the version below which the keys of a space open nothing any more.
func dead(all []keys.Key) int {
	below := 0
	for _, k := range all {
		if k.State.Opens() {
			return k.Version
		}
		below = k.Version + 1
	}
	return below
}

// dropShredded removes what no key opens any more.
func (s *Safe) dropShredded(ctx context.Context) error {
	all, err := s.store.Keys(ctx, "")
	if err != nil {
		return err
	}
	bySpace := map[keys.Space][]keys.Key{}
	for _, k := range all {
		bySpace[k.Space] = append(bySpace[k.Space], k)
	}
	var errs []error
	for space, versions := range bySpace {
		below := dead(versions)
		for {
			left, err := s.objects.Drop(ctx, space, below, func(ctx context.Context, object string) error { return s.Blobs.Remove(ctx, slipway.Digest(object)) })
			if err != nil || left == 0 {
				errs = append(errs, err)
				break
			}
		}
		errs = append(errs, s.dropSecrets(ctx, space, below))
	}
	return errors.Join(errs...)
}

// sealed are the secrets of a space that a version below the given one has sealed.
func (s *Safe) sealed(ctx context.Context, space keys.Space, below int) (out []keys.Secret, err error) {
	if space != keys.Team(space.Owner()) {
		return nil, nil
	}
	all, err := s.store.Secrets(ctx, space.Owner())
	for _, k := range all {
		if version, ok := keys.VersionOf(k.Sealed); ok && version < below {
			out = append(out, k)
		}
	}
	return out, err
}

func (s *Safe) dropSecrets(ctx context.Context, space keys.Space, below int) error {
	gone, err := s.sealed(ctx, space, below)
	for _, k := range gone {
		err = errors.Join(err, s.store.DeleteSecret(ctx, k.Team, k.Name))
	}
	return err
}
