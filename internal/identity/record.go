package identity

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// Record is what is kept of how somebody signs in: a credential, a session, a code. It is
// found by its id, by its account, and by its key.
type Record struct {
	Kind     string
	ID       string // unique in its kind
	Key      string // unique in its kind: the hash of a secret, say; empty: it has none
	Account  string
	Expires  time.Time // after which Sweep may remove it; zero: never
	Document []byte    // JSON
}

// Records keeps records. It is safe for concurrent use; what is acknowledged is durable,
// together with its events.
type Records interface {
	// Record finds one by its id; NotFound if there is none. Whether it has expired is the
	// caller's to say.
	Record(ctx context.Context, kind, id string) (Record, error)
	// RecordByKey finds one by its key; NotFound if there is none.
	RecordByKey(ctx context.Context, kind, key string) (Record, error)
	// RecordsOf gives those of a kind and an account, empty for all, by id.
	RecordsOf(ctx context.Context, kind, account string) ([]Record, error)
	// WriteRecords removes records, by kind and id, and then saves others, which replace those
	// of the same kind and id, all or nothing. NotFound if one to be removed is not there, so
	// that what is used once is used once; Conflict if a key is another record's.
	WriteRecords(ctx context.Context, remove, save []Record, events ...slipway.Event) error
	// SweepRecords removes those that have expired before a time. No event tells of it.
	SweepRecords(ctx context.Context, before time.Time) error
}
