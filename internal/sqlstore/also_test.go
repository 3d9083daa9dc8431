package sqlstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// An event that is decided on with its change is recorded with it, says in which emergency,
// and is asked for at the gate; refused there, the change is undone.
func TestAlso(t *testing.T) {
	db := storetest.SQLite(t)
	change := func(ctx context.Context, key string) error {
		return db.Write(ctx, []slipway.Event{eventtest.At(start, "first")}, func(tx *sqlstore.Tx) error {
			if err := insert(key)(tx); err != nil {
				return err
			}
			return tx.Also(eventtest.At(start, "second"))
		})
	}
	if err := change(slipway.WithBreakGlass(t.Context(), "bg_1"), "a"); err != nil {
		t.Fatal(err)
	}
	full := &slipway.Error{Code: slipway.CodeAuditFull}
	db.Gate(func(events []slipway.Event) error {
		if events[0].Subject == "second" {
			return full
		}
		return nil
	})
	if err := change(t.Context(), "b"); !errors.Is(err, full) {
		t.Error(err)
	}
	all := eventtest.All(t, event.New(db))
	if len(all) != 2 || all[1].Subject != "second" || all[1].Detail["break_glass"] != "bg_1" {
		t.Errorf("%+v", all)
	}
	db.Gate(func([]slipway.Event) error { return nil })
	if err := change(t.Context(), "b"); err != nil { // it is not there
		t.Error(err)
	}
}
