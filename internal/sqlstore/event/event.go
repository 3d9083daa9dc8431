// Package event reads the record of changes. Events are written by sqlstore.DB.Write, each
// in the transaction of the change that it describes.
package event

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Event is a recorded event. Seq counts from 1 without gaps, in the order of the commits,
// whatever the clock said. Time is kept to the microsecond, in UTC.
type Event struct {
	Seq int64
	slipway.Event
}

const columns = `SELECT seq, id, time, actor, action, subject, detail FROM event WHERE `

// Store reads events. Its methods are safe for concurrent use.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

// Append records events that come with no change.
func (s *Store) Append(ctx context.Context, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(*sqlstore.Tx) error { return nil })
}

// AppendFrom records events that come from a source with numbers of its own, up to one of
// them: once, however often they come.
func (s *Store) AppendFrom(ctx context.Context, source string, upTo uint64, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`INSERT INTO event_source (name, seq) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE event_source.seq < excluded.seq`, source, int64(upTo))
		if err == nil && n == 0 {
			err = sqlstore.ErrUnchanged
		}
		return err
	})
}

// LastFrom is the number up to which a source's events are recorded, 0 for none.
func (s *Store) LastFrom(ctx context.Context, source string) (seq uint64, err error) {
	return seq, s.db.QueryRow(ctx, "source", []any{&seq}, `SELECT COALESCE(MAX(seq), 0) FROM event_source WHERE name = $1`, source)
}

// List gives events above a sequence number, oldest first: at most limit, of one subject
// unless it is empty.
func (s *Store) List(ctx context.Context, after int64, limit int, subject string) ([]Event, error) {
	query, args := columns+`seq > $1 ORDER BY seq LIMIT $2`, []any{after, limit}
	if subject != "" {
		query, args = columns+`subject = $1 AND seq > $2 ORDER BY seq LIMIT $3`, []any{subject, after, limit}
	}
	return s.query(ctx, query, args...)
}

func (s *Store) query(ctx context.Context, query string, args ...any) ([]Event, error) {
	var out []Event
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var e Event
		var us int64
		var detail string
		if err := rows.Scan(&e.Seq, &e.ID, &us, &e.Actor, &e.Action, &e.Subject, &detail); err != nil {
			return err
		}
		e.Time = sqlstore.Time(us)
		if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
			return err
		}
		out = append(out, e)
		return nil
	}, query, args...)
	return out, err
}
