package protect

import (
	"context"

	"github.com/slipway-ml/slipway"
)

// Store keeps rules and requests. Every method is safe for concurrent use; what is
// acknowledged is durable together with its event.
type Store interface {
	// Rules lists the rules of a model and of a team, oldest first: those that are in force,
	// and with lifted the others, too. Both empty: all, at most 1,000.
	Rules(ctx context.Context, model, team string, lifted bool) ([]Rule, error)
	// PutRule adds a rule, or replaces the one of its id.
	PutRule(ctx context.Context, r Rule, ev slipway.Event) error
	// PutRequest adds a request of revision 1 and gives it its number, or replaces that of
	// its id if its revision is one less: else it answers Conflict.
	PutRequest(ctx context.Context, r Request, ev slipway.Event) (Request, error)
	Requests
	Companions
}

// Companions are changes that commit with another's.
type Companions interface {
	// Together gives a context under which the next change of an alias commits with the
	// request, as PutRequest would, and bears the request's id in its history.
	Together(ctx context.Context, r Request, ev slipway.Event) context.Context
	// Renamed gives a context under which the next change commits with the rules and requests
	// of a model going over to its new name.
	Renamed(ctx context.Context, model, to string) context.Context
}

// Requests finds requests.
type Requests interface {
	// Request finds one by its id; NotFound if there is none.
	Request(ctx context.Context, id string) (Request, error)
	// Requests lists newest first, at most q.Limit.
	Requests(ctx context.Context, q Query) ([]Request, error)
}

// Query chooses requests; what is empty chooses all.
type Query struct {
	Model, Alias string
	Open         bool // neither done nor rejected; they may have expired
	Before       int  // only numbers below; 0: from the newest
	Limit        int
}
