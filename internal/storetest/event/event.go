// Package eventtest is the conformance suite of the record of events.
package eventtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
)

// Reader reads events, as event.Store does.
type Reader interface {
	List(ctx context.Context, after int64, limit int, subject string) ([]event.Event, error)
}

// Record writes events together with a change, which fails if fail does.
type Record func(ctx context.Context, fail error, events ...slipway.Event) error

// At is an event at a time.
func At(t time.Time, subject string) slipway.Event {
	return slipway.Event{ID: slipway.NewID("evt", t), Time: t, Actor: "ada", Action: "thing.changed", Subject: subject,
		Detail: map[string]string{"from": "1", "to": "zwölf"}}
}

// All lists every event and fails the test if the sequence has a gap.
func All(t *testing.T, r Reader) []event.Event {
	t.Helper()
	var out []event.Event
	for after := int64(0); ; after = int64(len(out)) {
		page, err := r.List(t.Context(), after, 100, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			out = append(out, e)
			if e.Seq != int64(len(out)) {
				t.Fatalf("event %d has sequence %d", len(out), e.Seq)
			}
		}
		if len(page) == 0 {
			return out
		}
	}
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

// Run tests a record of events; open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) (Reader, Record)) {
	t.Run("gives back what was recorded", func(t *testing.T) { testRecord(t, open) })
	t.Run("pages and filters in order of commit though the clock jumps back", func(t *testing.T) { testPages(t, open) })
	t.Run("an event that cannot be recorded stops its change", func(t *testing.T) { testRefused(t, open) })
	t.Run("has no gaps under concurrent writers of which some fail", func(t *testing.T) { testConcurrently(t, open) })
}

func testRecord(t *testing.T, open func(t *testing.T) (Reader, Record)) {
	r, record := open(t)
	first, plain := At(start, "fraud"), slipway.Event{ID: "evt_plain", Actor: "system", Action: "denied", Subject: "x"}
	if err := record(t.Context(), nil, first, plain); err != nil {
		t.Fatal(err)
	}
	want := []event.Event{{Seq: 1, Event: first}, {Seq: 2, Event: plain}}
	if diff := cmp.Diff(want, All(t, r)); diff != "" {
		t.Error(diff)
	}
}

func testPages(t *testing.T, open func(t *testing.T) (Reader, Record)) {
	r, record := open(t)
	for i := range 10 {
		if err := record(t.Context(), nil, At(start.Add(-time.Duration(i)*time.Hour), fmt.Sprintf("s%d", i%2))); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		after   int64
		limit   int
		subject string
		want    []int64
	}{
		{0, 3, "", []int64{1, 2, 3}},
		{3, 3, "", []int64{4, 5, 6}},
		{8, 100, "", []int64{9, 10}},
		{10, 100, "", nil},
		{0, 2, "s1", []int64{2, 4}},
		{4, 100, "s1", []int64{6, 8, 10}},
		{0, 100, "s", nil},
	} {
		list, err := r.List(t.Context(), c.after, c.limit, c.subject)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range list {
			got = append(got, e.Seq)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("after %d, %d of subject %q: %s", c.after, c.limit, c.subject, diff)
		}
	}
}

func testRefused(t *testing.T, open func(t *testing.T) (Reader, Record)) {
	r, record := open(t)
	ev := At(start, "fraud")
	if err := record(t.Context(), nil, ev); err != nil {
		t.Fatal(err)
	}
	if err := record(t.Context(), nil, At(start, "other"), ev); !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
		t.Errorf("the same id again: %v, want a conflict", err)
	}
	nul := At(start, "a\x00b")
	if err := record(t.Context(), nil, nul); slipway.AsError(err).Kind != slipway.Invalid {
		t.Errorf("text with NUL: %v, want Invalid", err)
	}
	if n := len(All(t, r)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

var errRefused = errors.New("refused")

func testConcurrently(t *testing.T, open func(t *testing.T) (Reader, Record)) {
	r, record := open(t)
	const writers, each = 50, 8
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range each {
				ev := At(start.Add(time.Duration(rng.IntN(7200)-3600)*time.Second), strconv.Itoa(w))
				ev.Detail = map[string]string{"n": strconv.Itoa(i)}
				var fail error
				if rng.IntN(3) == 0 {
					fail = errRefused
				}
				err := record(t.Context(), fail, ev)
				if (err != nil) != (fail != nil) {
					t.Errorf("writer %d: answered %v, failed with %v", w, err, fail)
				}
				if err == nil {
					mu.Lock()
					acked[ev.ID] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	list := All(t, r)
	if len(list) != len(acked) {
		t.Errorf("%d events, %d were acknowledged", len(list), len(acked))
	}
	last := map[string]int{}
	for _, e := range list {
		if !acked[e.ID] {
			t.Errorf("event %d was not acknowledged", e.Seq)
		}
		n, err := strconv.Atoi(e.Detail["n"])
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := last[e.Subject]; ok && n <= before {
			t.Errorf("writer %s: event %d comes after %d", e.Subject, n, before)
		}
		last[e.Subject] = n
	}
}
