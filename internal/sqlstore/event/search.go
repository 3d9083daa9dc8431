package event

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Query is what is searched for. What is empty does not limit.
type Query struct {
	Actor, Action, Subject string
	Since, Until           time.Time // from the one to before the other
	Text                   string    // in the subject or in a detail, in the same case
	Before                 int64     // a sequence number
}

// Search gives the newest events that a query finds, newest first, at most limit.
func (s *Store) Search(ctx context.Context, q Query, limit int) ([]Event, error) {
	var where []string
	var args []any
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	for column, value := range map[string]string{"actor": q.Actor, "action": q.Action, "subject": q.Subject} {
		if value != "" {
			add(column+" = $%d", value)
		}
	}
	if !q.Since.IsZero() {
		add("time >= $%d", sqlstore.Micros(q.Since))
	}
	if !q.Until.IsZero() {
		add("time < $%d", sqlstore.Micros(q.Until))
	}
	if q.Text != "" {
		literal := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
		add(`(subject LIKE $%[1]d ESCAPE '\' OR detail LIKE $%[1]d ESCAPE '\')`, "%"+literal.Replace(q.Text)+"%")
	}
	if q.Before > 0 {
		add("seq < $%d", q.Before)
	}
	where = append(where, "1 = 1")
	args = append(args, limit)
	return s.query(ctx, columns+strings.Join(where, " AND ")+fmt.Sprintf(" ORDER BY seq DESC LIMIT $%d", len(args)), args...)
}

// Find gives an event by its id.
func (s *Store) Find(ctx context.Context, id string) (Event, error) {
	found, err := s.query(ctx, columns+`id = $1`, id)
	if err == nil && len(found) == 0 {
		err = sqlstore.Missing("event " + id)
	}
	if err != nil {
		return Event{}, err
	}
	return found[0], nil
}

// Last is the sequence number of the newest event, 0 if there is none.
func (s *Store) Last(ctx context.Context) (seq int64, err error) {
	err = s.db.QueryRow(ctx, "event", []any{&seq}, `SELECT COALESCE(MAX(seq), 0) FROM event`)
	return seq, err
}

// Since is the sequence number of the first event that is not older than a time, and
// whether there is one. Clocks may jump: events before it may be younger.
func (s *Store) Since(ctx context.Context, t time.Time) (seq int64, found bool, err error) {
	err = s.db.QueryRow(ctx, "event", []any{&seq}, `SELECT COALESCE(MIN(seq), 0) FROM event WHERE time >= $1`, sqlstore.Micros(t))
	return seq, seq > 0, err
}
