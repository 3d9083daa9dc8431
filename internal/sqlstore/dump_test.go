package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// filled has rows in several tables, which refer to each other, with texts of every kind.
func filled(t *testing.T, db *sqlstore.DB) {
	t.Helper()
	for i := range 3 {
		err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, fmt.Sprint(i))}, func(tx *sqlstore.Tx) error {
			name := fmt.Sprintf("m%d", i)
			_, err := tx.Exec(`INSERT INTO model (name, latest, team) VALUES ($1, 500, 'risk')`, name)
			for n := range 500 {
				if err == nil {
					_, err = tx.Exec(`INSERT INTO version (model, number, digest, files, source, created, actor) VALUES ($1, $2, $3, '[]', $4, $5, 'ada')`, name, n+1, fmt.Sprint(n), "a \"<&>\n\u2028é", int64(1)<<60)
				}
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO alias (model, alias, number) VALUES ($1, 'champion', 7)`, name)
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO endpoint (key, document) VALUES ($1, '{"dir":"/old/home/revisions/x"}')`, name)
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO experiment (id, team, name, location, stage, created, updated, tags) VALUES ($1, 'risk', $2, '', 'active', 0, 0, '[]')`, i, name)
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO run (num, id, experiment, name, user_id, status, start_time, end_time, artifact_uri, stage, linked) VALUES ($1, $2, $3, '', '', '', 5, NULL, '', 'active', 0)`, i, name, i)
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO run_state (run, segments, unindexed, state, tail) VALUES ($1, 0, 1, $2, $3)`, i, []byte{1, 0, 255}, []byte{})
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO run_metric (run, key, experiment, value, nan) VALUES ($1, 'm', $2, $3, 0)`, i, i, 1.0/3)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dump(t *testing.T, db *sqlstore.DB) (string, sqlstore.Dumped) {
	t.Helper()
	var b bytes.Buffer
	d, err := db.Dump(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), d
}

func loading(mark string) sqlstore.Loading {
	return sqlstore.Loading{Home: "/new", Mark: mark, Edit: func(s string) string { return strings.ReplaceAll(s, "/old/home", "/new") }}
}

func load(o sqlstore.Options, text, mark string) error {
	_, err := sqlstore.Load(context.Background(), o, strings.NewReader(text), loading(mark))
	return err
}

// What is dumped from either database comes back in either, and gives the same dump.
func TestDumpAndLoad(t *testing.T) {
	cluster := storetest.StartPostgres(t)
	kinds := map[string]func() sqlstore.Options{"sqlite": func() sqlstore.Options { return storetest.File(t) }, "postgres": cluster.Database}
	for from, source := range kinds {
		for to, target := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) {
				db := storetest.Open(t, source())
				filled(t, db)
				text, d := dump(t, db)
				if d.Seq != 3 || d.Schema != sqlstore.Schema() {
					t.Errorf("%+v", d)
				}
				o := target()
				if err := load(o, text, "one"); err != nil {
					t.Fatal(err, slipway.AsError(err).Cause)
				}
				again := storetest.Open(t, o)
				got, _ := dump(t, again)
				if diff := cmp.Diff(strings.ReplaceAll(text, "/old/home", "/new"), got); diff != "" {
					t.Error(diff)
				}
				eventtest.All(t, event.New(again))
				if bound, err := again.Claim(t.Context(), "/other"); bound != "/new" || err != nil {
					t.Errorf("bound to %s, %v", bound, err)
				}
				// A restore that was broken off begins again, another one is refused.
				if err := load(o, text, "two"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotEmpty}) {
					t.Errorf("over another restore: %v", err)
				}
				if err := load(o, text, "one"); err != nil {
					t.Errorf("over its own half: %v", err)
				}
				if err := again.Finish(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := load(o, text, "one"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotEmpty}) {
					t.Errorf("over what is in use: %v", err)
				}
			})
		}
	}
}

// A dump taken while others write is of one moment: as many rows as events, and writers do
// not wait for it.
func TestDumpOfOneMoment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					ev := eventtest.At(start, "x")
					if err := db.Write(t.Context(), []slipway.Event{ev}, insert(fmt.Sprintf("%d-%d", w, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 20 {
			// A slow reader: the writers go on meanwhile.
			w := &slow{during: func() {
				if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "y")}, insert(slipway.NewID("x", time.Now()))); err != nil {
					t.Error(err)
				}
			}}
			d, err := db.Dump(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			if rows := len(vetoRow.FindAllString(w.String(), -1)); int64(rows) != d.Seq {
				t.Errorf("%d rows and %d events", rows, d.Seq)
			}
		}
		stop()
		wg.Wait()
	})
}

var vetoRow = regexp.MustCompile(`(?m)^\["[^"]*",1\]$`)

type slow struct {
	bytes.Buffer

	during func()
}

func (s *slow) Write(p []byte) (int, error) { s.during(); return s.Buffer.Write(p) }

// A dump that is not whole fills nothing.
func TestLoadRefuses(t *testing.T) {
	db := storetest.SQLite(t)
	filled(t, db)
	text, _ := dump(t, db)
	lines := strings.SplitAfter(text, "\n")
	join := strings.Join
	for name, bad := range map[string]string{
		"nothing":      "",
		"cut":          join(lines[:len(lines)-2], ""),
		"in a line":    text[:len(text)/2],
		"a row less":   join(append(append([]string{}, lines[:40]...), lines[41:]...), ""),
		"another kind": "{\"slipway\":\"other\"}\n",
		"newer":        strings.Replace(text, fmt.Sprintf(`"schema":%d`, sqlstore.Schema()), `"schema":99`, 1),
		"a table":      strings.Replace(text, `"table":"model"`, `"table":"goose_db_version"`, 1),
		"a column":     strings.Replace(text, `"latest"`, `"la\" test"`, 1),
		"a value":      strings.Replace(text, `["m0",500`, `["m0",{"x":1}`, 1),
		"a float":      strings.Replace(text, `["m0",500`, `["m0",5e2`, 1),
	} {
		o := storetest.File(t)
		if err := load(o, bad, "one"); err == nil {
			t.Errorf("%s: loaded", name)
			continue
		}
		o.Now, o.Log = time.Now, slog.New(slog.DiscardHandler)
		if schema, err := sqlstore.SchemaOf(t.Context(), o); err != nil || schema == 0 {
			continue // not even begun
		}
		after := storetest.Open(t, o)
		n := 0
		if err := after.Query(t.Context(), func(*sql.Rows) error { n++; return nil }, `SELECT name FROM model`); err != nil || n != 0 {
			t.Errorf("%s: %d rows are there, %v", name, n, err)
		}
	}
}

// FuzzLoad: any bytes are either a dump or refused with an error of ours.
func FuzzLoad(f *testing.F) {
	head := fmt.Sprintf("{\"slipway\":\"database\",\"format\":1,\"schema\":%d,\"seq\":0}\n", sqlstore.Schema())
	f.Add([]byte(head + "{\"table\":\"model\",\"columns\":[\"name\",\"latest\",\"team\"]}\n[\"a\",1,\"\"]\n{\"rows\":1}\n"))
	f.Add([]byte(head + "{\"table\":\"model\",\"columns\":[\"name\"]}\n[{\"base64\":\"AA==\"}]\n[{\"float\":\"NaN\"}]\n[null]\n"))
	f.Add([]byte("{}\n[]\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows := 0
		err := sqlstore.ReadDump(bytes.NewReader(b), []string{"model"}, func(_ string, columns []string, batch [][]any) error {
			for _, row := range batch {
				if rows++; len(row) != len(columns) {
					t.Errorf("%d values for %d columns", len(row), len(columns))
				}
			}
			return nil
		})
		if e := new(slipway.Error); err != nil && !errors.As(err, &e) {
			t.Error(err)
		}
	})
}
