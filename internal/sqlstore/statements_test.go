package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Statements are kept up to a number, and those beyond it work all the same, by many at
// once, and while one of the same text is being read.
func TestStatements(t *testing.T) {
	db, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "state.db"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 10 * (maxStatements + 20) {
				want := i % (maxStatements + 20)
				text := fmt.Sprintf("SELECT %d + $1", want)
				var got int
				if err := db.QueryRow(context.Background(), "number", []any{&got}, text, 1); err != nil || got != want+1 {
					t.Errorf("%d: %d, %v", want, got, err)
				}
				if i%10 > 0 {
					continue
				}
				err := db.Write(context.Background(), nil, func(tx *Tx) error { return tx.QueryRow([]any{&got}, text, 2) })
				if err != nil || got != want+2 {
					t.Errorf("%d, written: %d, %v", want, got, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(db.reads.known); n != maxStatements {
		t.Errorf("%d statements are kept", n)
	}
	const text = "SELECT 1 + $1"
	err = db.Query(t.Context(), func(*sql.Rows) error {
		var again int
		return db.QueryRow(t.Context(), "number", []any{&again}, text, 1)
	}, text, 1)
	if err != nil {
		t.Error(err)
	}
	for range oftenUsed + 1 {
		if err := db.QueryRow(t.Context(), "number", []any{new(int)}, "SELECT 1 +"); err == nil {
			t.Error("what is no statement is answered")
		}
		if err := db.Write(t.Context(), nil, func(tx *Tx) error { _, err := tx.Exec("DELETE FROM nothing"); return err }); err == nil {
			t.Error("what cannot be done is done")
		}
	}
}
