package rollout

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// Store keeps deployments, endpoints and refusals. Every method is safe for concurrent
// use. Missing things are NotFound.
type Store interface {
	Endpoints(ctx context.Context) ([]Endpoint, error)
	Endpoint(ctx context.Context, key string) (Endpoint, error)
	Deployment(ctx context.Context, id string) (Deployment, error)
	// Deployments lists newest first: of one endpoint, or of all if key is empty; at most
	// limit, with numbers below before (0: from the newest).
	Deployments(ctx context.Context, key string, before, limit int) ([]Deployment, error)
	// Commit makes the whole change and its events durable, or nothing of it. A second
	// running deployment of one endpoint is a Conflict (CodeInProgress).
	Commit(ctx context.Context, c Change, events ...slipway.Event) error
}

// Ledger remembers what must not come again: refused digests, reconciled vetoes.
type Ledger interface {
	// Refusal finds the refusal of a digest on an endpoint, or nil.
	Refusal(ctx context.Context, key string, d slipway.Digest) (*Refusal, error)
	// LastVeto is the highest reconciled journal sequence of a gateway, 0 if none.
	LastVeto(ctx context.Context, gateway string) (uint64, error)
	// ByKey finds the deployment that a principal asked for with a key, or nil.
	ByKey(ctx context.Context, by, key string) (*Deployment, error)
}

// Change is one atomic change. Deployments without a number get the next one, which is
// written back into the value.
type Change struct {
	Deployments []*Deployment
	Endpoints   []*Endpoint
	Refuse      *Refusal
	Forgive     *Refusal // a forced deployment lifts the refusal of its digest
	Veto        *VetoKey // reconciled; a change with a known veto is not made again
}

// VetoKey identifies a journal entry: an entry is reconciled once.
type VetoKey struct {
	Gateway string
	Seq     uint64
}

// Gateway is the data plane as the controller sees it.
type Gateway interface {
	// Apply hands over a table and returns when the gateway has it durably. It answers
	// CodeVetoed when the gateway has taken the weight of a candidate away.
	Apply(ctx context.Context, t route.Table) error
	Observe(ctx context.Context) (route.Observation, error)
	// Fresh tells that the grants of the last table are still those of now.
	Fresh(ctx context.Context) error
	// Journal lists the vetoes after a sequence number, in order.
	Journal(ctx context.Context, after uint64) ([]route.Veto, error)
}

// Grants lists the tokens that the gateway shall honour.
type Grants func(ctx context.Context) ([]route.Grant, error)

// LiveCheck sends a deployment's goldens through the gateway's own path and tells whether
// they passed, with a sentence.
type LiveCheck func(ctx context.Context, d Deployment) (ok bool, note string, err error)
