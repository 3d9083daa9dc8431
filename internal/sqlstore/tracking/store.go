// Package tracking keeps experiments, runs and logged models in SQLite or PostgreSQL.
//
// What was logged in a run is one document, its state: it is read whole for pages of runs
// and changed whole by each batch, and the tables run_metric, run_param and run_tag repeat
// it for searches, in the same transaction. Measurements are appended to a tail beside the
// state, which becomes a segment of a few hundred once it is full, so that a batch writes a
// few rows, whatever its size.
package tracking

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Store implements all of tracking's stores.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

// Stores is the store in each of its roles.
func (s *Store) Stores() tracking.Stores {
	return tracking.Stores{Experiments: s, Runs: s, Log: s, History: s, Models: s}
}

// visible limits a statement to experiments e of teams.
func visible(teams []string, a *query.Args) string {
	switch {
	case teams == nil:
		return "1 = 1"
	case len(teams) == 0:
		return "1 = 0"
	}
	return "e.team IN (" + query.List(a, teams) + ")"
}

// numbers reads ids of experiments. Those that are none are nobody's.
func numbers(ids []string) []int64 {
	out := make([]int64, 0, len(ids))
	for _, id := range ids {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// Rows that one statement inserts: so many, or those that are left if they are few. There
// are few different statements then, which are kept prepared, and PostgreSQL is asked seldom.
const (
	manyRows = 64
	someRows = 16
)

// insert runs an insert for many rows of as many columns as each has; tail is what follows
// the values.
func insert(tx *sqlstore.Tx, head, tail string, rows [][]any) error {
	for len(rows) > 0 {
		size := min(len(rows), someRows)
		if len(rows) >= manyRows {
			size = manyRows
		}
		var args []any
		for _, r := range rows[:size] {
			args = append(args, r...)
		}
		if _, err := tx.Exec(head+places(size, len(rows[0]))+tail, args...); err != nil {
			return err
		}
		rows = rows[size:]
	}
	return nil
}

// places are the parameters of rows: ($1, $2), ($3, $4).
func places(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteByte(')')
	return b.String()
}

// one says what is missing when a row is not there.
func one(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return sqlstore.Missing(what)
	}
	return err
}

// exists is the answer to a name that is taken.
func exists() error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeExists, "use it, or choose another name", "there is one of that name already")
}

// change runs fn in a transaction and records the events that it gives with it.
func (s *Store) change(ctx context.Context, fn func(*sqlstore.Tx) ([]slipway.Event, error)) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		events, err := fn(tx)
		for _, ev := range events {
			if err == nil {
				err = tx.Also(ev)
			}
		}
		return err
	})
}
