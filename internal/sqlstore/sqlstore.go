// Package sqlstore keeps the platform's state in SQLite or PostgreSQL: one writer that
// groups commits, and readers beside it. The stores of the features lie in its
// subpackages, each with one SQL text for both databases.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/slipway-ml/slipway"
)

// Options say where the database is: a SQLite file, or the URL of a PostgreSQL database.
type Options struct {
	Path string // of the file, which is made when it is missing
	URL  string // "postgres://…"; it goes before Path
	// Plain allows a server beyond this machine whose certificate is not checked.
	Plain bool
	Now   func() time.Time
	Log   *slog.Logger
}

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	dialect
	jobs  chan *job
	fence atomic.Pointer[fence] // nil: there is no lease
	gate  atomic.Pointer[func([]slipway.Event) error]
	mu    sync.Mutex
	moved []chan struct{} // each has an item once events were committed

	statistics    statistics
	writes, reads *statements
	pending       []string // statements of the writer that are worth being prepared

	now func() time.Time
	log *slog.Logger

	stop    context.CancelFunc
	stopped <-chan struct{} // no job is taken any more
	wg      sync.WaitGroup
}

// Open opens the database and brings its schema up to date. It answers Conflict for a
// database of a newer schema. One process writes at a time: the caller holds a lock on it.
func Open(ctx context.Context, o Options) (*DB, error) {
	d, err := connect(o)
	if err != nil {
		return nil, openError(err)
	}
	db := &DB{dialect: d, jobs: make(chan *job), now: o.Now, log: o.Log}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(openError(err), db.dialect.close())
	}
	db.writes, db.reads = newStatements(db.write), newStatements(db.read)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	db.stop, db.stopped = stop, run.Done()
	db.statistics = statistics{next: firstLook, due: make(chan struct{}, 1)}
	db.wg.Go(func() { db.writeLoop(run) })
	if db.looks() {
		db.wg.Go(func() { db.look(run) })
	}
	return db, nil
}

// openError says of an unclassified error that the database could not be opened.
func openError(err error) error {
	if e := refusedByPostgres(err); e != nil {
		return e
	}
	e := slipway.AsError(classify(err))
	if e.Code == slipway.CodeInternal {
		return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "the database cannot be opened, or not be brought up to date",
			Next: "check that it is a database of the platform and that this user may write it", Cause: err}
	}
	return e
}

// How often, and after how long, what may be another server's doing is tried again.
const (
	bornTogether = 5
	bornPause    = 50 * time.Millisecond
)

func (db *DB) migrate(ctx context.Context) error {
	p, err := db.provider()
	if err != nil {
		return err
	}
	have, know, err := p.GetVersions(ctx)
	for range bornTogether { // servers that start on an empty database get in each other's way here
		if err == nil {
			break
		}
		time.Sleep(bornPause)
		have, know, err = p.GetVersions(ctx)
	}
	if err != nil {
		return err
	}
	if have > know {
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "start the newer platform; it takes the database back with: platform upgrade --to OLDER",
			"the database has schema %d of a newer platform; this one knows %d", have, know)
	}
	if have == know {
		return nil
	}
	done, err := p.Up(ctx)
	for _, m := range done {
		db.log.LogAttrs(ctx, slog.LevelInfo, "database schema changed", slog.Int64("schema", m.Source.Version), slog.Duration("took", m.Duration))
	}
	return err
}

// Check asks the database whether it is sound: SQLite reads all its pages, PostgreSQL
// answers.
func (db *DB) Check(ctx context.Context) error {
	if db.goose != goose.DialectSQLite3 {
		return classify(db.read.PingContext(ctx))
	}
	var said string
	if err := db.read.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return classify(err)
	}
	if said != "ok" {
		return slipway.Errorf(slipway.Internal, slipway.CodeIO, "bring back a copy", "the database is damaged: %s", slipway.OneLine(said, 200))
	}
	return nil
}

// Close ends the writer and closes the database. Calls of Write that still wait are
// answered Unavailable.
func (db *DB) Close() error {
	db.stop()
	db.wg.Wait()
	return errors.Join(db.writes.close(), db.reads.close(), db.dialect.close())
}

// readLimit bounds one reading: a database that hangs must not make its callers hang.
const readLimit = 10 * time.Second

// Query reads rows; scan is called for each. What a finished Write wrote is seen.
func (db *DB) Query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	if err := storable(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var rows *sql.Rows
	var err error
	if st := db.prepared(ctx, query); st != nil { //nolint:sqlclosecheck // it is kept
		rows, err = st.QueryContext(ctx, args...)
	} else {
		rows, err = db.read.QueryContext(ctx, query, args...)
	}
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return classify(err)
		}
	}
	return classify(rows.Err())
}

// prepared is a statement of a reader if it is asked often.
func (db *DB) prepared(ctx context.Context, query string) *sql.Stmt {
	if db.goose != goose.DialectSQLite3 {
		return nil // the driver of PostgreSQL does it by itself
	}
	st, due := db.reads.find(query)
	if due {
		st = db.reads.prepare(ctx, query)
	}
	return st
}

// QueryRow reads one row into dest. It answers NotFound, saying what is missing, if there
// is none.
func (db *DB) QueryRow(ctx context.Context, what string, dest []any, query string, args ...any) error {
	if err := storable(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var row *sql.Row
	if st := db.prepared(ctx, query); st != nil { //nolint:sqlclosecheck // it is kept
		row = st.QueryRowContext(ctx, args...)
	} else {
		row = db.read.QueryRowContext(ctx, query, args...)
	}
	err := row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return Missing(what)
	}
	return classify(err)
}

// Missing is the NotFound of a thing.
func Missing(what string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status", "no %s", what)
}

// Micros is a time as it is stored, in microseconds since 1970: 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the inverse of Micros, in UTC.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
