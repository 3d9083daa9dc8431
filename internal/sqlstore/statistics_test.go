package sqlstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// TestPostgresLooksAtItsTables: soon after much was written PostgreSQL knows about how many
// rows there are.
func TestPostgresLooksAtItsTables(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t))
	for i := range 300 {
		err := db.Write(t.Context(), nil, func(tx *sqlstore.Tx) error {
			_, err := tx.Exec(`INSERT INTO model (name, latest) VALUES ($1, 0)`, fmt.Sprint("model-", i))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for known := -1.0; known < 200; time.Sleep(10 * time.Millisecond) {
		if err := t.Context().Err(); err != nil {
			t.Fatalf("PostgreSQL knows of %v rows", known)
		}
		if err := db.QueryRow(t.Context(), "table", []any{&known}, `SELECT reltuples FROM pg_class WHERE relname = 'model'`); err != nil {
			t.Fatal(err)
		}
	}
}
