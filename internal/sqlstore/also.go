package sqlstore

import (
	"context"
	"slices"

	"github.com/slipway-ml/slipway"
)

type alsoKey struct{}

// addition is what a Write under a context commits beside its own.
type addition struct {
	events []slipway.Event
	fn     func(*Tx) error
}

// Also gives a context under which the next change commits more: fn runs after the change's
// own part in the same transaction, and its events follow. A change that finds nothing to do
// (ErrUnchanged) does not run it; an error of fn undoes both. It lets one feature make its
// record whole with the act of another that it does not know.
func Also(ctx context.Context, events []slipway.Event, fn func(*Tx) error) context.Context {
	events, fn = withAddition(ctx, events, fn) // of whoever asked for more before
	return context.WithValue(ctx, alsoKey{}, addition{events, fn})
}

// withAddition joins what a context brings to a change.
func withAddition(ctx context.Context, events []slipway.Event, fn func(*Tx) error) ([]slipway.Event, func(*Tx) error) {
	more, ok := ctx.Value(alsoKey{}).(addition)
	if !ok {
		return events, fn
	}
	return slices.Concat(events, more.events), func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return more.fn(tx)
	}
}
