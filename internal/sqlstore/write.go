package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/slipway-ml/slipway"
)

// Limits of the writer.
const (
	maxGroup   = 256              // calls in one commit
	writeLimit = 10 * time.Second // for one group
	slowCommit = time.Second      // is logged: most likely the disk is in trouble
)

// ErrUnchanged is what the function given to Write answers when there is nothing to do:
// nothing is written, no event either, and Write answers nil.
var ErrUnchanged = errors.New("unchanged")

// job is one call of Write.
type job struct {
	ctx    context.Context
	events []slipway.Event
	fn     func(*Tx) error
	err    error
	done   chan struct{}
}

// Write runs fn and records the events in one transaction, which it shares with other
// callers of the same moment, each behind a savepoint of its own. It returns when all of
// it is durable, or with an error when none of it is; only if a PostgreSQL server is lost
// in a commit it answers Unavailable without knowing which. fn runs on the writer's
// goroutine: it must be quick and must not call Write.
func (db *DB) Write(ctx context.Context, events []slipway.Event, fn func(*Tx) error) error {
	events, fn = withAddition(ctx, events, fn)
	if gate := db.gate.Load(); gate != nil && len(events) > 0 {
		if err := (*gate)(events); err != nil {
			return err
		}
	}
	j := &job{ctx: ctx, events: events, fn: fn, done: make(chan struct{})}
	select {
	case db.jobs <- j:
		<-j.done // what has begun is waited for: its caller must know how it ended
		return j.err
	case <-ctx.Done():
		return classify(ctx.Err())
	case <-db.stopped:
		return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again in a second", "the server is stopping")
	}
}

// marked adds to events the emergency in which they happened, and from where it was asked.
func marked(ctx context.Context, events []slipway.Event) []slipway.Event {
	marks := map[string]string{}
	if id := slipway.BreakGlassOf(ctx); id != "" {
		marks["break_glass"] = id
	}
	if address := slipway.AddressOf(ctx); address != "" {
		marks["address"] = address
	}
	if len(marks) == 0 {
		return events
	}
	out := slices.Clone(events)
	for i := range out {
		out[i].Detail = maps.Clone(out[i].Detail)
		if out[i].Detail == nil {
			out[i].Detail = map[string]string{}
		}
		maps.Copy(out[i].Detail, marks)
	}
	return out
}

// Gate makes Write ask before each change that has events: an error refuses it.
func (db *DB) Gate(admit func(events []slipway.Event) error) { db.gate.Store(&admit) }

// Recorded gives a channel of the caller's own that has an item after events were committed
// since the last one was taken.
func (db *DB) Recorded() <-chan struct{} {
	c := make(chan struct{}, 1)
	db.mu.Lock()
	defer db.mu.Unlock()
	db.moved = append(db.moved, c)
	return c
}

func (db *DB) tell() {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, c := range db.moved {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// writeLoop is the one writer.
func (db *DB) writeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-db.jobs:
			db.group(first)
		}
	}
}

// group commits a job together with those that wait, and answers all of them. If the
// transaction itself fails, nobody's part is there, whatever it seemed to be before.
func (db *DB) group(first *job) {
	started := db.now()
	group := []*job{first}
	err := db.exclusive(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		if err := db.guard(ctx, tx); err != nil {
			return err
		}
		for i := 0; i < len(group); i++ {
			if err := group[i].run(ctx, &Tx{ctx: ctx, tx: tx, db: db, also: db.also(group[i])}); err != nil {
				return err
			}
			if len(group) == maxGroup {
				continue
			}
			select {
			case j := <-db.jobs:
				group = append(group, j)
			default:
			}
		}
		return nil
	})
	for _, j := range group {
		if err == nil && j.err == nil && len(j.events) > 0 {
			db.tell()
		}
		switch {
		case err != nil:
			j.err = classify(err)
		case errors.Is(j.err, ErrUnchanged):
			j.err = nil
		}
		close(j.done)
	}
	db.statistics.add(len(group))
	for _, query := range db.pending {
		db.writes.prepare(context.Background(), query)
	}
	db.pending = nil
	if took := db.now().Sub(started); took > slowCommit {
		db.log.Warn("slow commit", slog.Duration("took", took), slog.Int("calls", len(group)))
	}
}

// exclusive runs fn in a transaction, which is either committed or not there at all, and
// for which all others that write wait.
func (db *DB) exclusive(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if db.lock != "" {
		_, err = tx.ExecContext(ctx, db.lock)
	}
	if err == nil {
		err = fn(ctx, tx)
	}
	if err == nil {
		return tx.Commit()
	}
	if e := tx.Rollback(); e != nil {
		// SQLite may have rolled back by itself, and answers an error then.
		db.log.Debug("rollback", slog.Any("error", e))
	}
	return err
}

// run does one job behind a savepoint: its error, or its panic, undoes its part alone. It
// answers an error when the whole transaction is lost. SQLite ends a transaction by itself
// when the disk is full, and would commit whatever comes after it at once.
func (j *job) run(ctx context.Context, part *Tx) error {
	tx := part.tx
	if err := j.ctx.Err(); err != nil {
		j.err = classify(err)
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	err := j.do(part)
	if err != nil {
		if _, lost := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT job"); lost != nil {
			return err
		}
		j.err = err
		if !errors.Is(err, ErrUnchanged) {
			j.err = classify(err)
		}
	}
	_, err = tx.ExecContext(ctx, "RELEASE SAVEPOINT job")
	return err
}

func (j *job) do(tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := j.fn(tx); err != nil {
		return err
	}
	for _, ev := range marked(j.ctx, j.events) { // last: fn may have added to details what it has found
		if err := tx.record(ev); err != nil {
			return err
		}
	}
	return tx.err
}

// Tx is one caller's part of a transaction. After an error of the database every further
// call answers that error, and the part is undone.
type Tx struct {
	ctx context.Context // of the group
	tx  *sql.Tx
	err error

	db   *DB
	also func(slipway.Event) error
}

// Also adds an event to those that are recorded with the change: one that is known only
// once the change is decided on.
func (tx *Tx) Also(ev slipway.Event) error { return tx.also(ev) }

func (db *DB) also(j *job) func(slipway.Event) error {
	return func(ev slipway.Event) error {
		if gate := db.gate.Load(); gate != nil {
			if err := (*gate)([]slipway.Event{ev}); err != nil {
				return err
			}
		}
		j.events = append(j.events[:len(j.events):len(j.events)], ev)
		return nil
	}
}

// Query reads rows; scan is called for each.
func (tx *Tx) Query(scan func(*sql.Rows) error, query string, args ...any) error {
	if tx.err == nil {
		tx.err = storable(args)
	}
	if tx.err != nil {
		return tx.err
	}
	var rows *sql.Rows
	var err error
	if st := tx.prepared(query); st != nil {
		defer st.Close()
		rows, err = st.QueryContext(tx.ctx, args...)
	} else {
		rows, err = tx.tx.QueryContext(tx.ctx, query, args...)
	}
	if err != nil {
		tx.err = err
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	tx.err = rows.Err()
	return tx.err
}

// Exec runs a statement and counts the rows that it changed.
func (tx *Tx) Exec(query string, args ...any) (rows int64, err error) {
	if tx.err == nil {
		tx.err = storable(args)
	}
	if tx.err != nil {
		return 0, tx.err
	}
	var r sql.Result
	if st := tx.prepared(query); st != nil {
		defer st.Close()
		r, err = st.ExecContext(tx.ctx, args...)
	} else {
		r, err = tx.tx.ExecContext(tx.ctx, query, args...)
	}
	if err == nil {
		rows, err = r.RowsAffected()
	}
	tx.err = err
	return rows, err
}

// QueryRow reads one row into dest, or answers sql.ErrNoRows.
func (tx *Tx) QueryRow(dest []any, query string, args ...any) error {
	if tx.err == nil {
		tx.err = storable(args)
	}
	if tx.err != nil {
		return tx.err
	}
	var row *sql.Row
	if st := tx.prepared(query); st != nil {
		defer st.Close()
		row = st.QueryRowContext(tx.ctx, args...)
	} else {
		row = tx.tx.QueryRowContext(tx.ctx, query, args...)
	}
	err := row.Scan(dest...)
	if !errors.Is(err, sql.ErrNoRows) {
		tx.err = err
	}
	return err
}

// record appends an event. Its sequence has no gaps: writers wait for each other.
func (tx *Tx) record(ev slipway.Event) error {
	detail, err := json.Marshal(ev.Detail)
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertEvent, ev.ID, Micros(ev.Time), ev.Actor, ev.Action, ev.Subject, string(detail))
	return err
}

// prepared is a statement in this transaction if it is prepared. The driver of PostgreSQL
// does the same by itself.
func (tx *Tx) prepared(query string) *sql.Stmt {
	if tx.db.goose != goose.DialectSQLite3 {
		return nil
	}
	st, due := tx.db.writes.find(query)
	if due { // the connection is not free yet
		tx.db.pending = append(tx.db.pending, query)
	}
	if st == nil {
		return nil
	}
	return tx.tx.StmtContext(tx.ctx, st)
}

// insertEvent is the statement that every change runs.
const insertEvent = `INSERT INTO event (seq, id, time, actor, action, subject, detail)
	SELECT COALESCE(MAX(seq), 0) + 1, CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT)
	FROM event`
