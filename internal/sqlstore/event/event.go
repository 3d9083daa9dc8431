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

// Append records an event that comes with no change.
func (s *Store) Append(ctx context.Context, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(*sqlstore.Tx) error { return nil })
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
