// Package storetest opens databases for tests: an empty one of every kind that sqlstore
// supports. The conformance suites of the ports lie in its subpackages.
package storetest

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Each runs a test against SQLite and, where its programs are installed, against a real
// PostgreSQL that lives as long as the test. open gives an empty database, closed at the
// end of the test that asks for it.
func Each(t *testing.T, test func(t *testing.T, open func(t *testing.T) *sqlstore.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite) })
	t.Run("postgres", func(t *testing.T) {
		cluster := StartPostgres(t)
		test(t, func(t *testing.T) *sqlstore.DB {
			t.Helper()
			return Open(t, cluster.create(t))
		})
	})
}

// SQLite opens an empty SQLite database.
func SQLite(t *testing.T) *sqlstore.DB {
	t.Helper()
	return Open(t, File(t))
}

// File is where a test may keep a SQLite database.
func File(t *testing.T) sqlstore.Options {
	t.Helper()
	return sqlstore.Options{Path: filepath.Join(t.TempDir(), "platform.db")}
}

// Postgres is an empty database of a PostgreSQL server that lives as long as the test. It
// skips the test when PostgreSQL is not installed.
func Postgres(t *testing.T) sqlstore.Options {
	t.Helper()
	return StartPostgres(t).create(t)
}

// Open opens a database and closes it when the test ends.
func Open(t *testing.T, o sqlstore.Options) *sqlstore.DB {
	t.Helper()
	o.Now, o.Log = time.Now, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
