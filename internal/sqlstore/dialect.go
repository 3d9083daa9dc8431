package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/slipway-ml/slipway"
)

// dialect is a database with everything in which SQLite and PostgreSQL differ.
type dialect struct {
	write, read *sql.DB
	goose       goose.Dialect
	lock        string             // first statement of a writing transaction, makes writers wait for each other
	clock       string             // microseconds since 1970, by the clock of the database
	snapshot    sql.IsolationLevel // in which a transaction sees one moment
	migrating   []goose.ProviderOption
}

const (
	readers      = 4
	connectLimit = 5 * time.Second
)

// connect prepares one connection that writes and some that only read.
func connect(o Options) (d dialect, err error) {
	if o.URL != "" {
		d, err = connectPostgres(o.URL, o.Plain)
	} else {
		d, err = connectSQLite(o.Path)
	}
	if err != nil {
		return d, err
	}
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	return d, nil
}

func (d *dialect) close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// connectSQLite uses a file in WAL mode that is durable at each commit. A writing
// transaction takes the write lock when it begins.
func connectSQLite(path string) (d dialect, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite would let everybody read it
	if err != nil {
		return d, err
	}
	if err := f.Close(); err != nil {
		return d, err
	}
	open := func(extra ...string) (*sql.DB, error) {
		q := url.Values{"mode": {"rw"}, "_txlock": {"immediate"},
			"_pragma": append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
				"case_sensitive_like(1)", // as PostgreSQL has it
			}, extra...)}
		u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
		return sql.Open("sqlite", u.String())
	}
	d.goose, d.clock = goose.DialectSQLite3, "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	if d.write, err = open(); err != nil {
		return d, err
	}
	d.read, err = open("query_only(1)")
	return d, err
}

// connectPostgres lets writers of several processes wait for each other by an advisory
// lock, whose number is only ours.
func connectPostgres(address string, plain bool) (d dialect, err error) {
	open := func(setting, value string) (*sql.DB, error) {
		c, err := pgx.ParseConfig(address)
		if err != nil {
			return nil, err
		}
		if err := encrypted(c, plain); err != nil {
			return nil, err
		}
		c.RuntimeParams[setting] = value
		c.RuntimeParams["idle_in_transaction_session_timeout"] = "5s" // of a process that was paused in the middle
		if c.ConnectTimeout == 0 {
			c.ConnectTimeout = connectLimit
		}
		return stdlib.OpenDB(*c), nil
	}
	d.goose, d.lock = goose.DialectPostgres, "SELECT pg_advisory_xact_lock(7306936)"
	d.snapshot = sql.LevelRepeatableRead
	d.clock = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT"
	one, err := lock.NewPostgresSessionLocker(lock.WithLockID(7306937)) // servers that start together migrate once
	if err != nil {
		return d, err
	}
	d.migrating = []goose.ProviderOption{goose.WithSessionLocker(one)}
	if d.write, err = open("synchronous_commit", "on"); err != nil {
		return d, err
	}
	d.read, err = open("default_transaction_read_only", "on")
	return d, err
}

// encrypted refuses a server beyond this machine whose certificate would not be checked:
// every secret that is kept would cross the network to whoever answers.
func encrypted(c *pgx.ConnConfig, plain bool) error {
	hosts := []*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}
	for _, f := range append(hosts, c.Fallbacks...) {
		ip := net.ParseIP(f.Host)
		if plain || strings.HasPrefix(f.Host, "/") || f.Host == "localhost" || ip != nil && ip.IsLoopback() {
			continue
		}
		if f.TLSConfig == nil || f.TLSConfig.InsecureSkipVerify { // as sslmode=verify-ca has it, which checks no name
			return slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "add sslmode=verify-full to the address, and sslrootcert=FILE for an authority of your own; or allow it: --database-unverified",
				"the database %s is not on this machine, and its certificate would not be checked", f.Host)
		}
	}
	return nil
}

// failure is why the database refused, as far as callers care.
type failure int

const (
	unknown  failure = iota
	diskFull         // no room
	taken            // a unique key is there already
	dangling         // a foreign key points nowhere
	busy             // locked, interrupted, or not reached
)

// failureOf reads the codes of SQLite (sqlite.org/rescode.html) and PostgreSQL (appendix A
// of its manual).
func failureOf(err error) failure {
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &lite):
		return sqliteFailure(lite.Code())
	case errors.As(err, &pg):
		return postgresFailure(pg.Code)
	case errors.Is(err, driver.ErrBadConn), errors.As(err, new(*pgconn.ConnectError)), errors.As(err, new(*net.OpError)), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, sql.ErrTxDone):
		return busy
	}
	return unknown
}

func sqliteFailure(code int) failure {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return taken
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return dangling
	}
	switch code & 0xff { // the primary code
	case sqlite3.SQLITE_FULL:
		return diskFull
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT:
		return busy
	}
	return unknown
}

func postgresFailure(code string) failure {
	switch code {
	case "53100":
		return diskFull
	case "23505":
		return taken
	case "23503":
		return dangling
	case "40001", "40P01", "55P03", "53300", "57014", "57P01", "57P02", "57P03":
		return busy
	}
	return unknown
}
