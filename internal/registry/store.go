package registry

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// Store keeps models, versions and aliases. Every method is safe for concurrent use. What
// is not there, or was deleted, is NotFound: NoModel, NoVersion or NoAlias. A change that is
// acknowledged is durable together with its event; one that fails has left neither.
type Store interface {
	ModelStore
	VersionStore
	AliasStore
	Lists
	Finder
}

// ModelStore changes models.
type ModelStore interface {
	// AddModel makes a model without versions; CodeExists if there is one of that name. Its
	// numbers go on from those that a model of this name has had.
	AddModel(ctx context.Context, m Model, tags map[string]string, ev slipway.Event) error
	// ChangeModel answers NotFound or changes what is said of a model.
	ChangeModel(ctx context.Context, name string, c Change, ev slipway.Event) error
	// RenameModel gives a model another name, and its versions, tags, aliases and their
	// history with it; CodeExists if there is one of that name.
	RenameModel(ctx context.Context, name, to string, at time.Time, ev slipway.Event) error
	// DeleteModel removes a model with its versions, tags and aliases; their history stays.
	DeleteModel(ctx context.Context, name string, by AliasChange, ev slipway.Event) error
}

// VersionStore changes versions.
type VersionStore interface {
	// AddVersion gives the newest version of v.Model that has v.Digest and records nothing,
	// or adds v with the model's next number, which starts at 1 and has no gaps,
	// and records ev with that number as its detail "number". added tells which. The
	// answer has the files and the time as they were stored. A model that is new is v.Team's.
	AddVersion(ctx context.Context, v Version, ev slipway.Event) (out Version, added bool, err error)
	// AppendVersion adds v, with its tags, to a model that is there, whatever its digest is,
	// and records the number likewise.
	AppendVersion(ctx context.Context, v Version, ev slipway.Event) (Version, error)
	// ChangeVersion answers NotFound or changes what is said of a version. A stage that
	// changes adds the one before to ev as its detail "from".
	ChangeVersion(ctx context.Context, model string, number int, c Change, ev slipway.Event) error
	// DeleteVersion hides a version for good, with its aliases, which by records, and
	// forgets what was said of it.
	DeleteVersion(ctx context.Context, model string, number int, by AliasChange, ev slipway.Event) error
	// Version gives a version with its files; number 0 is the newest.
	Version(ctx context.Context, model string, number int) (Version, error)
}

// AliasStore changes aliases.
type AliasStore interface {
	// Alias is the number that an alias points at.
	Alias(ctx context.Context, model, alias string) (int, error)
	// SetAlias points an alias at c.To, or removes it for 0, and appends c to its history,
	// From being what it was before. It answers Conflict when there is no version c.To. An
	// alias that is not there is removed without a record.
	SetAlias(ctx context.Context, c AliasChange, ev slipway.Event) error
}

// Change is what changes of a model or a version; nil and empty stay as they are.
type Change struct {
	Description *string
	Tags        map[string]*string // nil: removed
	Stage       string             // of a version
	Archive     bool               // what was in that stage goes to Archived
	Touch       bool               // it counts as updated; a stage updates the model, too
	Time        time.Time
}

// Lists gives pages of at most limit entries, and limit is at least 1. A model that is not
// there has none.
type Lists interface {
	// Model finds a model; NotFound if there is none.
	Model(ctx context.Context, name string) (Model, error)
	// Models lists by name, after the given one; "" is before all.
	Models(ctx context.Context, after string, limit int) ([]Model, error)
	// Versions lists newest first, below a number (0: from the newest), without files and
	// what is said of them.
	Versions(ctx context.Context, model string, before, limit int) ([]Version, error)
	// AliasHistory lists the newest moves of all aliases of a model first, in the order in
	// which they were made, whatever their times are.
	AliasHistory(ctx context.Context, model string, limit int) ([]AliasChange, error)
}

// Finder reads with all that is said of models and versions, but without files.
type Finder interface {
	// Entry finds a model.
	Entry(ctx context.Context, name string) (Entry, error)
	// Detail finds a version; number 0 is the newest.
	Detail(ctx context.Context, model string, number int) (Version, error)
	// SearchModels and SearchVersions give at most q.Limit.
	SearchModels(ctx context.Context, q Query) ([]Entry, error)
	SearchVersions(ctx context.Context, q Query) ([]Version, error)
	// Teams are those that own models; "" owns what is older than teams.
	Teams(ctx context.Context) ([]string, error)
}

// Blobs tells which bytes have arrived and will stay.
type Blobs interface {
	// Sizes gives the sizes in bytes of those blobs that are there.
	Sizes(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error)
}
