package webhooks

import (
	"context"
	"strconv"

	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Models is the registry.
type Models interface {
	Model(ctx context.Context, name string) (registry.Model, error)
	Version(ctx context.Context, model string, ref registry.Ref) (registry.Version, error)
}

// Rollouts is what runs where.
type Rollouts interface {
	Endpoint(ctx context.Context, key string) (rollout.Endpoint, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
}

// Facts implements webhook.Facts.
type Facts struct {
	Models   Models
	Rollouts Rollouts
}

// Model implements webhook.Facts.
func (f Facts) Model(ctx context.Context, name string) (webhook.Model, error) {
	m, err := f.Models.Model(ctx, name)
	return webhook.Model{Team: m.Team}, err
}

// Version implements webhook.Facts.
func (f Facts) Version(ctx context.Context, model, number string) (webhook.Version, error) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return webhook.Version{}, err
	}
	v, err := f.Models.Version(ctx, model, registry.Ref{Number: n})
	return webhook.Version{Source: v.Source}, err
}

// Endpoint implements webhook.Facts.
func (f Facts) Endpoint(ctx context.Context, key string) (webhook.Resource, error) {
	e, err := f.Rollouts.Endpoint(ctx, key)
	return webhook.Resource{Kind: webhook.OfEndpoint, Name: e.Key, Team: e.Owner, Tier: e.Tier, Classification: e.Classification}, err
}

// Deployment implements webhook.Facts.
func (f Facts) Deployment(ctx context.Context, id string) (webhook.Deployment, error) {
	d, err := f.Rollouts.Deployment(ctx, id)
	return webhook.Deployment{Endpoint: d.Endpoint, Model: d.Model, Version: strconv.Itoa(d.Version)}, err
}
