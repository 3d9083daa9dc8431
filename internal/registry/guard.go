package registry

import (
	"context"

	"github.com/slipway-ml/slipway"
)

// Guard stands before every change that others rely on, whichever front door it comes
// through. It either answers why not, or runs do once, under the context that it is given,
// and answers what do answers: do is one change of the store, with which the guard may have
// more committed.
type Guard interface {
	// Move lets an alias point at a version; 0 removes it.
	Move(ctx context.Context, p slipway.Principal, model, alias string, version int, do func(context.Context) error) error
	// Stage brings a version to one of MLflow's stages, which is an alias by another name.
	Stage(ctx context.Context, p slipway.Principal, model, stage string, version int, do func(context.Context) error) error
	// Add adds a version, whose number is not known yet. do may find that it is there already.
	Add(ctx context.Context, p slipway.Principal, v Version, do func(context.Context) error) error
	// Remove removes a version; 0 removes the model.
	Remove(ctx context.Context, p slipway.Principal, model string, version int, do func(context.Context) error) error
	// Rename gives a model another name.
	Rename(ctx context.Context, p slipway.Principal, model, to string, do func(context.Context) error) error
}

// Unguarded is the same registry without its guard, for the guard itself.
func (s *Service) Unguarded() *Service {
	out := *s
	out.Guard = open{}
	return &out
}

// open is a Guard that lets everything pass.
type open struct{}

func (open) Move(ctx context.Context, _ slipway.Principal, _, _ string, _ int, do func(context.Context) error) error {
	return do(ctx)
}

func (open) Stage(ctx context.Context, _ slipway.Principal, _, _ string, _ int, do func(context.Context) error) error {
	return do(ctx)
}

func (open) Add(ctx context.Context, _ slipway.Principal, _ Version, do func(context.Context) error) error {
	return do(ctx)
}

func (open) Remove(ctx context.Context, _ slipway.Principal, _ string, _ int, do func(context.Context) error) error {
	return do(ctx)
}

func (open) Rename(ctx context.Context, _ slipway.Principal, _, _ string, do func(context.Context) error) error {
	return do(ctx)
}
