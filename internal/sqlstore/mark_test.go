package sqlstore_test

import (
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// TestMarks: every event that is written in an emergency says so, and from which address it
// was asked if that is known, whoever writes it; what the caller has is left as it was.
func TestMarks(t *testing.T) {
	db := storetest.SQLite(t)
	nothing := func(*sqlstore.Tx) error { return nil }
	in, bare := eventtest.At(start, "in"), eventtest.At(start, "bare")
	bare.Detail = nil
	ctx := slipway.WithAddress(slipway.WithBreakGlass(t.Context(), "bgl_1"), "192.0.2.7")
	if err := db.Write(ctx, []slipway.Event{in, bare}, nothing); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), []slipway.Event{eventtest.At(start, "out")}, nothing); err != nil {
		t.Fatal(err)
	}
	for _, e := range eventtest.All(t, event.New(db)) {
		want := map[string]string{"in": "bgl_1", "bare": "bgl_1", "out": ""}[e.Subject]
		if from := e.Detail["address"]; (from == "192.0.2.7") != (want != "") {
			t.Errorf("%s was asked from %q", e.Subject, from)
		}
		if e.Detail["break_glass"] != want {
			t.Errorf("%s says %q, want %q", e.Subject, e.Detail["break_glass"], want)
		}
	}
	if _, changed := in.Detail["break_glass"]; changed || bare.Detail != nil {
		t.Error("the caller's events were changed")
	}
}

// TestMarksComeLast: what a change adds to the detail of its event is recorded, whoever asked
// for it and from where.
func TestMarksComeLast(t *testing.T) {
	db := storetest.SQLite(t)
	ev := eventtest.At(start, "x")
	ev.Detail = map[string]string{}
	ctx := slipway.WithAddress(t.Context(), "192.0.2.1")
	err := db.Write(ctx, []slipway.Event{ev}, func(*sqlstore.Tx) error {
		ev.Detail["number"] = "7"
		return nil
	})
	all := eventtest.All(t, event.New(db))
	if err != nil || len(all) != 1 || all[0].Detail["number"] != "7" || all[0].Detail["address"] != "192.0.2.1" {
		t.Errorf("%+v, %v", all, err)
	}
}
