package app

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/app/safe"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/registry"
)

// modelsAPI is httpapi.Models: the registry.
type modelsAPI struct{ a *App }

// Register makes a version of uploaded files.
func (m modelsAPI) Register(ctx context.Context, p slipway.Principal, model string, r api.RegisterVersion) (api.Version, error) {
	files := make([]registry.File, len(r.Files))
	for i, f := range r.Files {
		files[i] = registry.File{Path: f.Path, Digest: slipway.Digest(f.Digest), Size: f.Size, Executable: f.Executable}
	}
	team, err := m.owner(ctx, p, model, r.Team)
	if err != nil {
		return api.Version{}, err
	}
	v, added, err := m.a.models.Register(ctx, p, model, team, files, r.Source)
	if err != nil {
		return api.Version{}, err
	}
	m.a.safe.Adopt(ctx, team, safe.Files(v.Files)...)
	out := versionView(v)
	out.New = added
	return out, nil
}

// owner is the team whose model it is, or will be with its first version, if the principal
// may register versions of it.
func (m modelsAPI) owner(ctx context.Context, p slipway.Principal, model, team string) (string, error) {
	known, err := m.a.models.Model(ctx, model)
	if err == nil && known.Team == "" {
		known.Team, err = m.serves(ctx, model)
	}
	if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return "", err
	}
	if known.Team != "" {
		team = known.Team
	} else if team != "" {
		if _, err := slipway.ParseName(team); err != nil {
			return "", err
		}
	}
	return team, m.a.access.Check(ctx, p, authz.ModelRegister, access.ModelOf(model, team))
}

// serves finds the team on whose endpoint a model answers that is older than teams: another
// one does not make it its own by registering a version.
func (m modelsAPI) serves(ctx context.Context, model string) (team string, err error) {
	all, err := m.a.rollouts.Endpoints(ctx)
	for i := range all {
		if r := all[i].Serving(); r != nil && r.Model == model {
			return all[i].Owner, err
		}
	}
	return "", err
}

// Version finds a version by number, @alias or latest.
func (m modelsAPI) Version(ctx context.Context, p slipway.Principal, model, ref string) (api.Version, error) {
	if err := m.a.access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return api.Version{}, err
	}
	r, err := registry.ParseRef(ref)
	if err != nil {
		return api.Version{}, err
	}
	v, err := m.a.models.Version(ctx, model, r)
	if err != nil {
		return api.Version{}, err
	}
	return versionView(v), nil
}

// Layer makes the layer of the model of an image again, and records that somebody got it.
func (m modelsAPI) Layer(ctx context.Context, p slipway.Principal, model, ref, image string, begin func(size int64) io.Writer) error {
	if err := m.a.access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return err
	}
	r, err := registry.ParseRef(ref)
	if err != nil {
		return err
	}
	v, err := m.a.models.Version(ctx, model, r)
	if err != nil {
		return err
	}
	return m.a.safe.Layer(ctx, v, slipway.Digest(image), func(size int64) (io.Writer, error) {
		now := time.Now()
		err := m.a.events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: "version.exported", Subject: v.Model,
			Detail: map[string]string{"version": strconv.Itoa(v.Number), "image": image}})
		if err != nil {
			return nil, err
		}
		return begin(size), nil
	})
}

// Models lists models that the principal may see, by name; the cursor is the last name.
func (m modelsAPI) Models(ctx context.Context, p slipway.Principal, cursor string, limit int) (api.Page[api.Model], error) {
	page := api.Page[api.Model]{Items: []api.Model{}}
	for {
		found, err := m.a.models.Models(ctx, cursor, limit+1)
		if err != nil {
			return page, err
		}
		for _, v := range found {
			if !m.a.access.Allows(p, authz.ModelRead, access.ModelOf(v.Name, v.Team)) {
				continue
			}
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].Name
				return page, nil
			}
			page.Items = append(page.Items, api.Model{Name: v.Name, Latest: v.Latest, Team: v.Team})
		}
		if len(found) <= limit {
			return page, nil
		}
		cursor = found[limit].Name
	}
}

// Versions lists versions, newest first; the cursor is the last number.
func (m modelsAPI) Versions(ctx context.Context, p slipway.Principal, model, cursor string, limit int) (api.Page[api.Version], error) {
	if err := m.a.access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return api.Page[api.Version]{}, err
	}
	before := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 1 {
			return api.Page[api.Version]{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the cursor of the last page", "this is no cursor")
		}
		before = n
	}
	found, err := m.a.models.Versions(ctx, model, before, limit+1)
	page := api.Page[api.Version]{Items: []api.Version{}}
	for _, v := range found[:min(limit, len(found))] {
		page.Items = append(page.Items, versionView(v))
	}
	if len(found) > limit {
		page.Next = strconv.Itoa(page.Items[limit-1].Number)
	}
	return page, err
}

// SetAlias moves an alias.
func (m modelsAPI) SetAlias(ctx context.Context, p slipway.Principal, model, alias string, r api.SetAlias) error {
	if err := m.a.access.CheckNamed(ctx, p, authz.ModelAlias, model); err != nil {
		return err
	}
	return m.a.models.SetAlias(ctx, p, model, alias, r.Version, r.Reason)
}

// maxHistory bounds how many moves of aliases are listed.
const maxHistory = 1000

// AliasHistory lists the newest moves first.
func (m modelsAPI) AliasHistory(ctx context.Context, p slipway.Principal, model string) ([]api.AliasChange, error) {
	if err := m.a.access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return nil, err
	}
	moves, err := m.a.models.AliasHistory(ctx, model, maxHistory)
	out := []api.AliasChange{}
	for _, c := range moves {
		out = append(out, api.AliasChange{Alias: c.Alias, From: c.From, To: c.To, By: c.By, Reason: c.Reason, Time: c.Time})
	}
	return out, err
}

// blobsAPI is httpapi.Blobs.
type blobsAPI struct {
	dir    *blob.Dir
	access *access.Control
}

// Missing lists the digests that are not there.
func (b blobsAPI) Missing(ctx context.Context, p slipway.Principal, digests []string) ([]string, error) {
	if err := b.access.Check(ctx, p, authz.Upload, access.Server); err != nil {
		return nil, err
	}
	in := make([]slipway.Digest, len(digests))
	for i, s := range digests {
		d, err := slipway.ParseDigest(s)
		if err != nil {
			return nil, err
		}
		in[i] = d
	}
	missing, err := b.dir.Missing(ctx, in)
	out := []string{}
	for _, d := range missing {
		out = append(out, string(d))
	}
	return out, err
}

// Put stores an upload.
func (b blobsAPI) Put(ctx context.Context, p slipway.Principal, digest string, size int64, r io.Reader) error {
	if err := b.access.Check(ctx, p, authz.Upload, access.Server); err != nil {
		return err
	}
	d, err := slipway.ParseDigest(digest)
	if err != nil {
		return err
	}
	if err := b.dir.Put(ctx, d, size, r); err != nil {
		return err
	}
	// A blob that is there is not read. An answer before the end of the request would break the
	// connection of the gateway in between, which then says that the server is gone.
	_, _ = io.Copy(io.Discard, r)
	return nil
}
