package doctor

import (
	"context"
	"errors"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
)

// Registry is what the doctor reads of models.
type Registry interface {
	Models(ctx context.Context, after string, limit int) ([]registry.Model, error)
	// Versions lists newest first, below a number, without files.
	Versions(ctx context.Context, model string, before, limit int) ([]registry.Version, error)
	Version(ctx context.Context, model string, ref registry.Ref) (registry.Version, error)
}

const page = 50 // entries that are read at once

// Named gives the blobs that are files of a version, or of the validation of a deployment.
func (i Installation) Named(ctx context.Context) (map[slipway.Digest]bool, error) {
	out := map[slipway.Digest]bool{}
	for after, more := "", true; more; {
		models, err := i.Registry.Models(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, m := range models {
			if err := i.files(ctx, m, out); err != nil {
				return nil, err
			}
			after = m.Name
		}
		more = len(models) == page
	}
	for before, more := 0, true; more; {
		deployments, err := i.Store.Deployments(ctx, "", before, page)
		if err != nil {
			return nil, err
		}
		for _, d := range deployments {
			for _, f := range d.Files {
				out[f] = true
			}
			before = d.Number
		}
		more = len(deployments) == page
	}
	return out, nil
}

// files adds the files of all versions of a model. One that is deleted meanwhile has none.
func (i Installation) files(ctx context.Context, m registry.Model, out map[slipway.Digest]bool) error {
	for before, more := 0, true; more; {
		versions, err := i.Registry.Versions(ctx, m.Name, before, page)
		if err != nil {
			return err
		}
		for _, v := range versions {
			before = v.Number
			v, err := i.Registry.Version(ctx, m.Name, registry.Ref{Number: v.Number})
			if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
				return err
			}
			for _, f := range v.Files {
				out[f.Digest] = true
			}
		}
		more = len(versions) == page
	}
	return nil
}
