package app

import (
	"context"
	"io"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
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
	v, added, err := m.a.models.Register(ctx, p, model, files, r.Source)
	if err != nil {
		return api.Version{}, err
	}
	out := versionView(v)
	out.New = added
	return out, nil
}

// Version finds a version by number, @alias or latest.
func (m modelsAPI) Version(ctx context.Context, model, ref string) (api.Version, error) {
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

// Models lists models by name; the cursor is the last name.
func (m modelsAPI) Models(ctx context.Context, cursor string, limit int) (api.Page[api.Model], error) {
	found, err := m.a.models.Models(ctx, cursor, limit+1)
	page := api.Page[api.Model]{Items: []api.Model{}}
	for _, v := range found[:min(limit, len(found))] {
		page.Items = append(page.Items, api.Model{Name: v.Name, Latest: v.Latest})
	}
	if len(found) > limit {
		page.Next = page.Items[limit-1].Name
	}
	return page, err
}

// Versions lists versions, newest first; the cursor is the last number.
func (m modelsAPI) Versions(ctx context.Context, model, cursor string, limit int) (api.Page[api.Version], error) {
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
	return m.a.models.SetAlias(ctx, p, model, alias, r.Version, r.Reason)
}

// maxHistory bounds how many moves of aliases are listed.
const maxHistory = 1000

// AliasHistory lists the newest moves first.
func (m modelsAPI) AliasHistory(ctx context.Context, model string) ([]api.AliasChange, error) {
	moves, err := m.a.models.AliasHistory(ctx, model, maxHistory)
	out := []api.AliasChange{}
	for _, c := range moves {
		out = append(out, api.AliasChange{Alias: c.Alias, From: c.From, To: c.To, By: c.By, Reason: c.Reason, Time: c.Time})
	}
	return out, err
}

// blobsAPI is httpapi.Blobs.
type blobsAPI struct{ dir *blob.Dir }

// Missing lists the digests that are not there.
func (b blobsAPI) Missing(ctx context.Context, digests []string) ([]string, error) {
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
func (b blobsAPI) Put(ctx context.Context, digest string, size int64, r io.Reader) error {
	d, err := slipway.ParseDigest(digest)
	if err != nil {
		return err
	}
	return b.dir.Put(ctx, d, size, r)
}
