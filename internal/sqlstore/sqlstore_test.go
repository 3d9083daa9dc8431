package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// insert adds a row to a table without meaning.
func insert(gateway string) func(*sqlstore.Tx) error {
	return func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO veto (gateway, seq) VALUES ($1, 1)`, gateway)
		return err
	}
}

// rows lists what insert added.
func rows(t *testing.T, db *sqlstore.DB) (out []string) {
	t.Helper()
	err := db.Query(t.Context(), func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		out = append(out, s)
		return err
	}, `SELECT gateway FROM veto ORDER BY gateway`)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hasCode(err error, code string) bool { return errors.Is(err, &slipway.Error{Code: code}) }

func TestWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		if err := db.Write(t.Context(), nil, insert("a")); err != nil {
			t.Fatal(err)
		}
		swallow := func(tx *sqlstore.Tx) error {
			_ = insert("a")(tx) // is there already
			_ = insert("b")(tx)
			return nil
		}
		if err := db.Write(t.Context(), nil, swallow); !hasCode(err, slipway.CodeConflict) {
			t.Errorf("an error that fn kept to itself: %v, want Conflict", err)
		}
		dangling := func(tx *sqlstore.Tx) error {
			_, err := tx.Exec(`INSERT INTO alias (model, alias, number) VALUES ('none', 'champion', 1)`)
			return err
		}
		if err := db.Write(t.Context(), nil, dangling); !hasCode(err, slipway.CodeConflict) {
			t.Errorf("a foreign key that points nowhere: %v, want Conflict", err)
		}
		mistake := func(tx *sqlstore.Tx) error { _, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`); return err }
		if err := db.Write(t.Context(), nil, mistake); !hasCode(err, slipway.CodeInternal) || strings.Contains(err.Error(), "nowhere") {
			t.Errorf("a mistake of ours: %v, want Internal without its cause", err)
		}
		panics := func(tx *sqlstore.Tx) error { _ = insert("c")(tx); panic("oh") }
		if err := db.Write(t.Context(), nil, panics); !hasCode(err, slipway.CodeInternal) || !strings.Contains(errors.Unwrap(err).Error(), "oh") {
			t.Errorf("a panic: %v, want Internal with its cause", err)
		}
		unchanged := func(tx *sqlstore.Tx) error { _ = insert("d")(tx); return sqlstore.ErrUnchanged }
		if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "d")}, unchanged); err != nil {
			t.Errorf("unchanged: %v", err)
		}
		if got := rows(t, db); len(got) != 1 || len(eventtest.All(t, event.New(db))) != 0 {
			t.Errorf("rows %v and %d events, want only the first row", got, len(eventtest.All(t, event.New(db))))
		}
		if err := db.Query(t.Context(), func(*sql.Rows) error { return nil }, `DELETE FROM veto RETURNING gateway`); err == nil || len(rows(t, db)) != 1 {
			t.Error("a reader wrote")
		}
	})
}

// Several servers may share a PostgreSQL database for a moment: their writers wait for
// each other.
func TestWritersOfOneDatabase(t *testing.T) {
	o := storetest.Postgres(t)
	dbs := []*sqlstore.DB{storetest.Open(t, o), storetest.Open(t, o)}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := dbs[i%2].Write(t.Context(), []slipway.Event{eventtest.At(start, "x")}, func(*sqlstore.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(eventtest.All(t, event.New(dbs[0]))); n != 40 {
		t.Errorf("%d events, want 40", n)
	}
}

// A connection that is lost under way fails its callers only.
func TestConnectionLost(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t))
	lose := func(tx *sqlstore.Tx) error {
		if err := insert("a")(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`SELECT pg_terminate_backend(pg_backend_pid())`)
		return err
	}
	if err := db.Write(t.Context(), nil, lose); !hasCode(err, slipway.CodeUnavailable) {
		t.Errorf("%v, want Unavailable", err)
	}
	if err := db.Write(t.Context(), nil, insert("b")); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, db); len(got) != 1 || got[0] != "b" {
		t.Errorf("rows %v, want b", got)
	}
}

// Callers of the same moment share one commit, in which an error undoes one part only.
func TestGroupCommit(t *testing.T) {
	o := storetest.File(t)
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, o)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := db.Write(t.Context(), nil, func(tx *sqlstore.Tx) error { <-release; return insert("a")(tx) })
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // the first is under way
		refused := errors.New("refused")
		wg.Go(func() {
			err := db.Write(t.Context(), nil, func(tx *sqlstore.Tx) error { return errors.Join(insert("b")(tx), refused) })
			if !errors.Is(err, refused) {
				t.Errorf("answered %v, want its own error", err)
			}
		})
		synctest.Wait() // the second waits
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := db.Write(ctx, nil, insert("c")); !errors.Is(err, context.Canceled) {
				t.Errorf("answered %v, want that it was cancelled", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait() // the third gave up
		wg.Go(func() {
			err := db.Write(t.Context(), nil, func(tx *sqlstore.Tx) error {
				var n int
				if err := tx.QueryRow([]any{&n}, `SELECT COUNT(*) FROM veto`); err != nil {
					return err
				}
				if n != 1 || len(rows(t, db)) != 0 {
					t.Errorf("the fourth sees %d rows and a reader %d, want 1 that is not committed", n, len(rows(t, db)))
				}
				return insert("d")(tx)
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(release)
		wg.Wait()
		if got := strings.Join(rows(t, db), " "); got != "a d" {
			t.Errorf("rows %s, want a d", got)
		}
	})
}

// A commit that fails is answered to everyone in it, and leaves no transaction behind.
func TestCommitFails(t *testing.T) {
	db := storetest.SQLite(t)
	late := func(tx *sqlstore.Tx) error {
		if _, err := tx.Exec(`PRAGMA defer_foreign_keys = 1`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO alias (model, alias, number) VALUES ('none', 'champion', 1)`)
		return err
	}
	if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "late")}, late); err == nil {
		t.Error("what cannot be committed was acknowledged")
	}
	if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "next")}, insert("a")); err != nil {
		t.Fatal(err)
	}
	if list := eventtest.All(t, event.New(db)); len(list) != 1 || list[0].Subject != "next" {
		t.Errorf("events %v, want the second caller's", list)
	}
}

func TestClose(t *testing.T) {
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: storetest.File(t).Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), nil, insert("a")); !hasCode(err, slipway.CodeUnavailable) {
		t.Errorf("a write after the end: %v, want Unavailable", err)
	}
}

func TestReopen(t *testing.T) {
	reopen := func(t *testing.T, o sqlstore.Options) {
		if err := storetest.Open(t, o).Write(t.Context(), nil, insert("a")); err != nil {
			t.Fatal(err)
		}
		db := storetest.Open(t, o)
		if got := rows(t, db); len(got) != 1 {
			t.Fatalf("rows %v, want what was written before", got)
		}
		newer := func(tx *sqlstore.Tx) error {
			_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, '1')`)
			return err
		}
		if err := db.Write(t.Context(), nil, newer); err != nil {
			t.Fatal(err)
		}
		o.Now, o.Log = time.Now, slog.New(slog.DiscardHandler)
		if _, err := sqlstore.Open(t.Context(), o); slipway.AsError(err).Kind != slipway.Conflict {
			t.Errorf("a database of a newer platform: %v, want Conflict", err)
		}
	}
	t.Run("sqlite", func(t *testing.T) { reopen(t, storetest.File(t)) })
	t.Run("postgres", func(t *testing.T) { reopen(t, storetest.Postgres(t)) })
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]sqlstore.Options{
		"a directory":           {Path: dir},
		"no directory":          {Path: filepath.Join(dir, "none", "platform.db")},
		"another kind of file":  {Path: text},
		"no address":            {URL: "postgres://%zz"},
		"nobody at the address": {URL: "postgres:///x?host=" + dir},
	} {
		o.Now, o.Log = time.Now, slog.New(slog.DiscardHandler)
		_, err := sqlstore.Open(t.Context(), o)
		if e := slipway.AsError(err); err == nil || e.Code != slipway.CodeIO && e.Code != slipway.CodeDatabase || e.Next == "" {
			t.Errorf("%s: %v, want an error with a next step", name, err)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c%d.db") // not a URL
	db := storetest.Open(t, sqlstore.Options{Path: path})
	if err := db.Write(t.Context(), nil, insert("a")); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%q has mode %v, want that only its owner reads it", suffix, info.Mode())
		}
	}
}

func TestSlowCommitIsLogged(t *testing.T) {
	var log strings.Builder
	now := start
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: storetest.File(t).Path,
		Now: func() time.Time { now = now.Add(2 * time.Second); return now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Write(t.Context(), nil, insert("a")), db.Close()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `msg="slow commit" took=2s calls=1`) {
		t.Errorf("log: %s", log.String())
	}
}

func TestTimes(t *testing.T) {
	for _, want := range []time.Time{{}, start, start.Add(time.Microsecond), time.Date(1969, 1, 1, 0, 0, 0, 1000, time.UTC)} {
		if got := sqlstore.Time(sqlstore.Micros(want.In(time.FixedZone("", 3600)))); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%v became %v", want, got)
		}
	}
}
