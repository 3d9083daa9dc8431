package app

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
)

// layersAPI is httpapi.Layers.
type layersAPI struct{ a *App }

// Layer makes the layer of the model of an image again, and records that somebody got it.
func (l layersAPI) Layer(ctx context.Context, p slipway.Principal, model, ref, image string, begin func(size int64) io.Writer) error {
	if err := l.a.access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return err
	}
	r, err := registry.ParseRef(ref)
	if err != nil {
		return err
	}
	v, err := l.a.models.Version(ctx, model, r)
	if err != nil {
		return err
	}
	return l.a.safe.Layer(ctx, v, slipway.Digest(image), func(size int64) (io.Writer, error) {
		now := time.Now()
		err := l.a.events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: "version.exported", Subject: v.Model,
			Detail: map[string]string{"version": strconv.Itoa(v.Number), "image": image}})
		if err != nil {
			return nil, err
		}
		return begin(size), nil
	})
}
