package sqlstore_test

import (
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// TestEmergencyIsMarked: every event that is written in an emergency says so, whoever
// writes it, and what the caller has is left as it was.
func TestEmergencyIsMarked(t *testing.T) {
	db := storetest.SQLite(t)
	nothing := func(*sqlstore.Tx) error { return nil }
	in, bare := eventtest.At(start, "in"), eventtest.At(start, "bare")
	bare.Detail = nil
	ctx := slipway.WithBreakGlass(t.Context(), "bgl_1")
	if err := db.Write(ctx, []slipway.Event{in, bare}, nothing); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "out")}, nothing); err != nil {
		t.Fatal(err)
	}
	for _, e := range eventtest.All(t, event.New(db)) {
		want := map[string]string{"in": "bgl_1", "bare": "bgl_1", "out": ""}[e.Subject]
		if e.Detail["break_glass"] != want {
			t.Errorf("%s says %q, want %q", e.Subject, e.Detail["break_glass"], want)
		}
	}
	if _, changed := in.Detail["break_glass"]; changed || bare.Detail != nil {
		t.Error("the caller's events were changed")
	}
}
