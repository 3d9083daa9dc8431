package webhooks

import (
	"context"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Models is the registry.
type Models interface {
	Entry(ctx context.Context, name string) (registry.Entry, error)
	Detail(ctx context.Context, model string, number int) (registry.Version, error)
	AliasHistory(ctx context.Context, model string, limit int) ([]registry.AliasChange, error)
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
	m, err := f.Models.Entry(ctx, name)
	return webhook.Model{Team: m.Team, Description: m.Description, Tags: m.Tags}, err
}

// Version implements webhook.Facts.
func (f Facts) Version(ctx context.Context, model, number string) (webhook.Version, error) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return webhook.Version{}, err
	}
	v, err := f.Models.Detail(ctx, model, n)
	return webhook.Version{Source: v.Source, Run: v.RunID, Description: v.Description, Tags: v.Tags}, err
}

// recent is how many moves of aliases are looked through for one that was just made.
const recent = 200

// Alias implements webhook.Facts.
func (f Facts) Alias(ctx context.Context, model, alias string, at time.Time) (string, error) {
	moves, err := f.Models.AliasHistory(ctx, model, recent)
	for _, m := range moves {
		if m.Alias == alias && m.From > 0 && m.Time.Equal(at) { // both are kept to the microsecond
			return strconv.Itoa(m.From), err
		}
	}
	return "", err
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
