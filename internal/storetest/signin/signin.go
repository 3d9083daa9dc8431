// Package signintest is the conformance suite of identity.Records.
package signintest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func session(id string) identity.Record {
	return identity.Record{Kind: "session", ID: id, Key: "key of " + id, Account: "ada", Expires: start.Add(time.Hour), Document: []byte(`{"of":"` + id + `"}`)}
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// Run tests a store of records; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	t.Run("finds what was saved by id, key and account", func(t *testing.T) { testFind(t, open) })
	t.Run("replaces", func(t *testing.T) { testReplace(t, open) })
	t.Run("does all or nothing, with its events", func(t *testing.T) { testAtomic(t, open) })
	t.Run("lets what is used once be used once", func(t *testing.T) { testOnce(t, open) })
	t.Run("sweeps what has expired", func(t *testing.T) { testSweep(t, open) })
}

func testFind(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := session("a"), session("b")
	b.Account, b.Key, b.Expires = "bob", "", time.Time{}
	other := session("a")
	other.Kind = "device" // the same id and key
	if err := s.WriteRecords(ctx, nil, []identity.Record{b, a, other}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []identity.Record{a, b, other} {
		got, err := s.Record(ctx, want.Kind, want.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	got, err := s.RecordByKey(ctx, "session", a.Key)
	if diff := cmp.Diff(a, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for account, want := range map[string][]identity.Record{"": {a, b}, "ada": {a}, "eve": nil} {
		got, err := s.RecordsOf(ctx, "session", account)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("of %q: %v %s", account, err, diff)
		}
	}
	_, err = s.Record(ctx, "session", "c")
	wantCode(t, "an unknown id", err, slipway.CodeNotFound)
	_, err = s.RecordByKey(ctx, "session", "key of c")
	wantCode(t, "an unknown key", err, slipway.CodeNotFound)
	_, err = s.RecordByKey(ctx, "session", "")
	wantCode(t, "no key", err, slipway.CodeNotFound)
}

func testReplace(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	if err := s.WriteRecords(ctx, nil, []identity.Record{session("a")}); err != nil {
		t.Fatal(err)
	}
	want := session("a")
	want.Key, want.Account, want.Expires, want.Document = "another", "bob", start, []byte(`{}`)
	if err := s.WriteRecords(ctx, nil, []identity.Record{want}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Record(ctx, "session", "a")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = s.RecordByKey(ctx, "session", "key of a")
	wantCode(t, "the key that it had", err, slipway.CodeNotFound)
}

func testAtomic(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	first := eventtest.At(start, "ada")
	if err := s.WriteRecords(ctx, nil, []identity.Record{session("a")}, first); err != nil {
		t.Fatal(err)
	}
	twin := session("b")
	twin.Key = session("a").Key
	wantCode(t, "a key of another", s.WriteRecords(ctx, nil, []identity.Record{session("c"), twin}, eventtest.At(start, "ada")), slipway.CodeConflict)
	wantCode(t, "removing what is not there", s.WriteRecords(ctx, []identity.Record{session("a"), session("d")}, []identity.Record{session("c")}, eventtest.At(start, "ada")), slipway.CodeNotFound)
	if err := s.WriteRecords(ctx, nil, []identity.Record{session("c")}, first); err == nil {
		t.Error("an event was recorded twice")
	}
	all, err := s.RecordsOf(ctx, "session", "")
	if diff := cmp.Diff([]identity.Record{session("a")}, all); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if n := len(eventtest.All(t, events)); n != 1 {
		t.Errorf("%d events, want that of the one change", n)
	}
}

func testOnce(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	s, _ := open(t)
	if err := s.WriteRecords(t.Context(), nil, []identity.Record{session("a")}); err != nil {
		t.Fatal(err)
	}
	var used atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			switch err := s.WriteRecords(t.Context(), []identity.Record{session("a")}, nil); {
			case err == nil:
				used.Add(1)
			default:
				wantCode(t, "the second use", err, slipway.CodeNotFound)
			}
		})
	}
	wg.Wait()
	if used.Load() != 1 {
		t.Errorf("used %d times", used.Load())
	}
}

func testSweep(t *testing.T, open func(t *testing.T) (identity.Records, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	never, later := session("never"), session("later")
	never.Expires, later.Expires = time.Time{}, start.Add(2*time.Hour)
	if err := s.WriteRecords(ctx, nil, []identity.Record{session("a"), never, later}); err != nil {
		t.Fatal(err)
	}
	if err := s.SweepRecords(ctx, start.Add(90*time.Minute)); err != nil {
		t.Fatal(err)
	}
	all, err := s.RecordsOf(ctx, "session", "")
	if diff := cmp.Diff([]identity.Record{later, never}, all); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
