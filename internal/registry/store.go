package registry

import (
	"context"

	"github.com/slipway-ml/slipway"
)

// Store keeps models, versions and aliases. Every method is safe for concurrent use. What
// is not there is NotFound. A change that is acknowledged is durable together with its
// event; one that fails has left neither.
type Store interface {
	// AddVersion gives the version of v.Model that has v.Digest already and records
	// nothing, or adds v with the model's next number, which starts at 1 and has no gaps,
	// and records ev with that number as its detail "number". added tells which. The
	// answer has the files and the time as they were stored.
	AddVersion(ctx context.Context, v Version, ev slipway.Event) (out Version, added bool, err error)
	// Version gives a version with its files; number 0 is the newest.
	Version(ctx context.Context, model string, number int) (Version, error)
	// Alias is the number that an alias points at.
	Alias(ctx context.Context, model, alias string) (int, error)
	// SetAlias points an alias at c.To and appends c to its history, From being what it
	// was before. It answers Conflict when there is no version c.To.
	SetAlias(ctx context.Context, c AliasChange, ev slipway.Event) error
	Lists
}

// Lists gives pages of at most limit entries, and limit is at least 1. A model that is not
// there has none.
type Lists interface {
	// Model finds a model; NotFound if there is none.
	Model(ctx context.Context, name string) (Model, error)
	// Models lists by name, after the given one; "" is before all.
	Models(ctx context.Context, after string, limit int) ([]Model, error)
	// Versions lists newest first, below a number (0: from the newest), without files.
	Versions(ctx context.Context, model string, before, limit int) ([]Version, error)
	// AliasHistory lists the newest moves of all aliases of a model first, in the order in
	// which they were made, whatever their times are.
	AliasHistory(ctx context.Context, model string, limit int) ([]AliasChange, error)
}

// Blobs tells which bytes have arrived and will stay.
type Blobs interface {
	// Sizes gives the sizes in bytes of those blobs that are there.
	Sizes(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error)
}
