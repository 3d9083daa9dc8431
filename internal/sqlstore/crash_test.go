package sqlstore_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// childDatabase tells a copy of the test binary to write to a database until it is killed.
const childDatabase = "SLIPWAY_TEST_CHILD_DATABASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childDatabase); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

// writeForEver prints the name of each row after it was acknowledged.
func writeForEver(path string) {
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{Path: path, Now: time.Now, Log: slog.Default()})
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		wg.Go(func() {
			for {
				ev := eventtest.At(time.Now(), "child")
				if err := db.Write(context.Background(), []slipway.Event{ev}, insert(ev.ID)); err != nil {
					panic(err)
				}
				mu.Lock()
				fmt.Println(ev.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// A process that is killed at any moment loses nothing that it acknowledged, and a change
// never comes without its event.
func TestKill(t *testing.T) {
	path := storetest.File(t).Path
	rng := rand.New(rand.NewPCG(1, 2))
	var acked []string
	for range 12 {
		acked = append(acked, killed(t, path, rng.IntN(60))...)
		check(t, path, acked)
	}
	t.Logf("%d rows were acknowledged", len(acked))
}

// killed runs a child, kills it at a random moment after some acknowledged rows, and
// gives all that it acknowledged.
func killed(t *testing.T, path string, after int) (acked []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), childDatabase+"="+path), t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil { // a torn line was not heard by anybody
			break
		}
		acked = append(acked, strings.TrimSpace(line))
		if n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if len(acked) <= after {
		t.Fatalf("the child ended by itself after %d rows", len(acked))
	}
	return acked
}

func check(t *testing.T, path string, acked []string) {
	t.Helper()
	db := storetest.Open(t, sqlstore.Options{Path: path})
	defer db.Close()
	integrity(t, db)
	there := rows(t, db)
	for _, id := range acked {
		if _, found := slices.BinarySearch(there, id); !found {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	var events []string
	for _, e := range eventtest.All(t, event.New(db)) {
		events = append(events, e.ID)
	}
	slices.Sort(events)
	if !slices.Equal(events, there) {
		t.Errorf("%d events for %d rows", len(events), len(there))
	}
}

func integrity(t *testing.T, db *sqlstore.DB) {
	t.Helper()
	var answer string
	if err := db.QueryRow(t.Context(), "answer", []any{&answer}, `PRAGMA integrity_check`); err != nil || answer != "ok" {
		t.Errorf("integrity: %s, %v", answer, err)
	}
}

// A full disk is told to each caller whose row is not there, and to no other.
func TestDiskFull(t *testing.T) {
	db := storetest.SQLite(t)
	pages := func(n string) {
		t.Helper()
		var now int
		if err := db.Write(t.Context(), nil, func(tx *sqlstore.Tx) error { return tx.QueryRow([]any{&now}, `PRAGMA max_page_count = `+n) }); err != nil {
			t.Fatal(err)
		}
	}
	pages("60")
	var mu sync.Mutex
	var acked []string
	full := 0
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 30 {
				ev := eventtest.At(start, fmt.Sprintf("%d-%d", w, i))
				row, text := ev.ID, strings.Repeat("x", 100*(1+(w+i)%40))
				if i%2 == 0 { // SQLite ends the whole transaction, not the statement only
					row += text
				} else {
					ev.Detail = map[string]string{"text": text}
				}
				err := db.Write(t.Context(), []slipway.Event{ev}, insert(row))
				mu.Lock()
				switch e := slipway.AsError(err); {
				case err == nil:
					acked = append(acked, row)
				case e.Code == slipway.CodeDiskFull && e.Kind == slipway.Exhausted && strings.Contains(e.Next, "free space"):
					full++
				default:
					t.Errorf("answered %v, cause %v", err, e.Cause)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if full == 0 || len(acked) == 0 {
		t.Fatalf("%d rows were acknowledged and %d refused, want some of both", len(acked), full)
	}
	slices.Sort(acked)
	if there := rows(t, db); !slices.Equal(there, acked) {
		t.Errorf("%d rows, %d were acknowledged", len(there), len(acked))
	}
	integrity(t, db)

	pages("100000") // somebody freed space
	if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "after")}, insert("after")); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
	if n := len(eventtest.All(t, event.New(db))); n != len(acked)+1 {
		t.Errorf("%d events, want %d", n, len(acked)+1)
	}
}
