package webhook

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// Query asks for hooks, newest first.
type Query struct {
	Teams  []string // of these; nil: of every team, and of none
	Before *Hook    // those that come after this one, by Created and ID; nil: from the newest
	Active bool     // no others
	MLflow bool     // only those that are told of an event which MLflow knows
	Limit  int      // 0: all
}

// Hooks finds hooks. It is safe for concurrent use.
type Hooks interface {
	Hooks(ctx context.Context, q Query) ([]Hook, error)
	// Hook answers CodeNotFound if there is none.
	Hook(ctx context.Context, id string) (Hook, error)
	// Teams gives those that have hooks, sorted.
	Teams(ctx context.Context) ([]string, error)
}

// Changes keeps hooks. It is safe for concurrent use; what is acknowledged is durable, together
// with its event.
type Changes interface {
	// AddHook answers CodeWebhookMany for one more than a team may have.
	AddHook(ctx context.Context, h Hook, most int, ev slipway.Event) error
	// ChangeHook puts a hook in place of the one with its Revision, and counts that; it answers
	// Conflict when that has changed. One that becomes active is told of later events only. Of
	// one that is disabled nothing waits any more. Health is taken over only when the status
	// changes.
	ChangeHook(ctx context.Context, h Hook, ev slipway.Event) error
	// Reseal puts a secret in place of another one that it was sealed as; it answers Conflict
	// when that has changed.
	Reseal(ctx context.Context, hook string, was, now []byte) error
	// DeleteHook removes a hook with its deliveries, or answers CodeNotFound.
	DeleteHook(ctx context.Context, id string, ev slipway.Event) error
}

// Outbox is what waits to be sent. One process uses it at a time.
type Outbox interface {
	// Cursor is the last event that was looked at.
	Cursor(ctx context.Context) (seq int64, err error)
	// Queue adds deliveries and moves the cursor from one event to a later one, both or neither.
	// It answers Conflict if the cursor is behind the first of them already. What is for a hook that is not active, or
	// was not when the event came, is left out.
	Queue(ctx context.Context, from, to int64, all []Delivery) error
	// First is what waits longest for a hook, or CodeNotFound.
	First(ctx context.Context, hook string) (Delivery, error)
	// Busy gives the hooks for which something waits, sorted.
	Busy(ctx context.Context) ([]string, error)
	// Finish keeps a delivery as it is after an attempt, and how the hook is. With a reason it
	// disables the hook, and what waits for it has failed.
	Finish(ctx context.Context, d Delivery, h Health, disabled string, events ...slipway.Event) error
}

// Place is where a delivery stands in the order of its hook.
type Place struct {
	Seq  int64
	Part int
}

// Log is what was sent, or was to be.
type Log interface {
	// Deliveries gives the newest of a hook before a place, in one state or in any for "",
	// without their bodies. The zero Place is behind all.
	Deliveries(ctx context.Context, hook string, state State, before Place, limit int) ([]Delivery, error)
	// Delivery answers CodeNotFound if there is none, or no more.
	Delivery(ctx context.Context, hook, id string) (Delivery, error)
	// Waiting is how much waits for a hook, at most MaxWaiting+1.
	Waiting(ctx context.Context, hook string) (int, error)
	// Redeliver lets finished deliveries wait again; no id stands for all that have failed. It
	// answers how many those are, and CodeNotFound for an id that is not there.
	Redeliver(ctx context.Context, hook string, ids []string, now time.Time, ev slipway.Event) (int, error)
}
