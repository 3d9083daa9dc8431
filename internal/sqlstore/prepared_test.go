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

// TestPrepared: statements are kept up to a number, and those beyond it work all the same,
// by many at once, and while one of the same text is being read.
func TestPrepared(t *testing.T) {
	db, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "state.db"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range maxPrepared + 20 {
				var got int
				if err := db.QueryRow(context.Background(), "number", []any{&got}, fmt.Sprintf("SELECT %d + $1", i), 1); err != nil || got != i+1 {
					t.Errorf("%d: %d, %v", i, got, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(db.prepared.text); n != maxPrepared {
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
	if err := db.QueryRow(t.Context(), "number", []any{new(int)}, "SELECT 1 +"); err == nil {
		t.Error("what is no statement is answered")
	}
}
