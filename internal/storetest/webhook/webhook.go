// Package webhooktest is the conformance suite of the stores of webhooks.
package webhooktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Store is what is tested.
type Store interface {
	webhook.Hooks
	webhook.Changes
	webhook.Outbox
	webhook.Log
}

// Opened is an empty store, with what its tests need beside it.
type Opened struct {
	Store
	Events eventtest.Reader
	Append func(ctx context.Context, events ...slipway.Event) error
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func hook(n int, team string) webhook.Hook {
	return webhook.Hook{ID: fmt.Sprintf("whk_%02d", n), Team: team, Name: "slack", URL: "https://hooks.example.com/T0", Description: "tells people", Events: []webhook.Event{webhook.ModelCreated, webhook.AliasMoved},
		Status: webhook.Active, Sealed: []byte{0, 1, 255}, Created: start.Add(time.Duration(n/2) * time.Second), Updated: start, By: "ada", Revision: 1}
}

func event() slipway.Event { return eventtest.At(start, "x") }

func delivery(hook string, seq int64, part int) webhook.Delivery {
	return webhook.Delivery{Hook: hook, Seq: seq, Part: part, ID: fmt.Sprintf("%s-%d-%d", hook, seq, part), Event: webhook.ModelCreated, Body: []byte(`{"é":1}`), State: webhook.Waiting, Next: start, Created: start}
}

// Run tests a store.
func Run(t *testing.T, open func(t *testing.T) Opened) {
	t.Run("lists hooks of teams, newest first, in pages", func(t *testing.T) { testList(t, open(t)) })
	t.Run("changes what has not changed", func(t *testing.T) { testChange(t, open(t)) })
	t.Run("bounds the hooks of a team", func(t *testing.T) { testMany(t, open(t)) })
	t.Run("queues once, for those who were there", func(t *testing.T) { testQueue(t, open(t)) })
	t.Run("keeps the order of a hook", func(t *testing.T) { testOrder(t, open(t)) })
	t.Run("drops what waits for a disabled hook", func(t *testing.T) { testDisable(t, open(t)) })
	t.Run("keeps a bounded log", func(t *testing.T) { testLog(t, open(t)) })
	t.Run("lets finished ones wait again", func(t *testing.T) { testRedeliver(t, open(t)) })
	t.Run("deletes a hook with all of it", func(t *testing.T) { testDelete(t, open(t)) })
}

func add(t *testing.T, s Store, all ...webhook.Hook) {
	t.Helper()
	for _, h := range all {
		if err := s.AddHook(t.Context(), h, webhook.MaxHooks, event()); err != nil {
			t.Fatal(err)
		}
	}
}

func has(t *testing.T, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%v, want %s", err, code)
	}
}

func testList(t *testing.T, s Opened) {
	ctx := t.Context()
	for n := range 5 {
		add(t, s, hook(n, []string{"risk", "growth"}[n%2]))
	}
	global := hook(7, "")
	global.Status, global.Sealed, global.Description, global.Events = webhook.Disabled, nil, "", []webhook.Event{webhook.AliasMoved}
	add(t, s, global)
	ids := func(q webhook.Query) (out []string) {
		t.Helper()
		all, err := s.Hooks(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			out = append(out, h.ID[4:])
		}
		return out
	}
	third, err := s.Hook(ctx, "whk_03")
	want := hook(3, "growth")
	want.Since = 3 // the events of those before
	if diff := cmp.Diff(want, third); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, c := range map[string]struct {
		q    webhook.Query
		want []string
	}{
		"all":         {webhook.Query{}, []string{"07", "04", "03", "02", "01", "00"}},
		"of a team":   {webhook.Query{Teams: []string{"risk"}}, []string{"04", "02", "00"}},
		"of two":      {webhook.Query{Teams: []string{"risk", ""}}, []string{"07", "04", "02", "00"}},
		"of none":     {webhook.Query{Teams: []string{}}, nil},
		"active":      {webhook.Query{Active: true, Limit: 2}, []string{"04", "03"}},
		"of MLflow":   {webhook.Query{MLflow: true, Limit: 1}, []string{"04"}},
		"a next page": {webhook.Query{Before: &third, Limit: 2}, []string{"02", "01"}},
		"its team's":  {webhook.Query{Before: &third, Teams: []string{"growth"}}, []string{"01"}},
		"a hostile":   {webhook.Query{Teams: []string{"risk') OR 1=1 --"}}, nil},
	} {
		if diff := cmp.Diff(c.want, ids(c.q)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if teams, err := s.Teams(ctx); err != nil || !slices.Equal(teams, []string{"", "growth", "risk"}) {
		t.Errorf("%q, %v", teams, err)
	}
	_, err = s.Hook(ctx, "whk_9")
	has(t, err, slipway.CodeNotFound)
	if n := len(eventtest.All(t, s.Events)); n != 6 {
		t.Errorf("%d events of 6 changes", n)
	}
}

func testChange(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"))
	h, _ := s.Hook(ctx, "whk_01")
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := h
			mine.Name, mine.Sealed = fmt.Sprint("by-", i), nil
			if err := s.ChangeHook(ctx, mine, event()); err == nil {
				won.Add(1)
			} else {
				has(t, err, slipway.CodeConflict)
			}
		})
	}
	wg.Wait()
	got, err := s.Hook(ctx, h.ID)
	if won.Load() != 1 || err != nil || got.Revision != 2 || got.Name == h.Name || got.Sealed != nil || got.Since != 0 {
		t.Errorf("%d of 8 changed it: %+v, %v", won.Load(), got, err)
	}
	has(t, s.Reseal(ctx, h.ID, []byte("another"), []byte("new")), slipway.CodeConflict)
	if err := s.Reseal(ctx, h.ID, nil, []byte("new")); err != nil {
		t.Error(err)
	}
	if sealed, err := s.Hook(ctx, h.ID); err != nil || string(sealed.Sealed) != "new" || sealed.Revision != 2 {
		t.Errorf("%+v, %v", sealed, err)
	}
	none := hook(2, "risk")
	has(t, s.ChangeHook(ctx, none, event()), slipway.CodeNotFound)
	if n := len(eventtest.All(t, s.Events)); n != 2 {
		t.Errorf("%d events of 2 changes", n)
	}
}

func testMany(t *testing.T, s Opened) {
	for n := range 3 {
		add(t, s, hook(n, "risk"))
	}
	has(t, s.AddHook(t.Context(), hook(4, "risk"), 3, event()), slipway.CodeWebhookMany)
	if err := s.AddHook(t.Context(), hook(4, "growth"), 3, event()); err != nil {
		t.Error(err)
	}
}

func waiting(t *testing.T, s Opened) map[string]int {
	t.Helper()
	busy, err := s.Busy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, id := range busy {
		if out[id], err = s.Waiting(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func testQueue(t *testing.T, s Opened) {
	ctx := t.Context()
	if err := s.Append(ctx, event(), event()); err != nil {
		t.Fatal(err)
	}
	asleep := hook(2, "risk")
	asleep.Status = webhook.Disabled
	add(t, s, hook(1, "risk"), asleep) // since 2
	if seq, err := s.Cursor(ctx); seq != 0 || err != nil {
		t.Errorf("the first cursor: %d, %v", seq, err)
	}
	all := []webhook.Delivery{delivery("whk_01", 2, 0), delivery("whk_01", 3, 0), delivery("whk_01", 3, 1), delivery("whk_02", 9, 0), delivery("whk_99", 9, 0)}
	if err := s.Queue(ctx, 2, 3, all); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"whk_01": 2}, waiting(t, s)); diff != "" {
		t.Error(diff)
	}
	has(t, s.Queue(ctx, 2, 4, []webhook.Delivery{delivery("whk_01", 4, 0)}), slipway.CodeConflict)
	again := delivery("whk_01", 3, 0)
	again.ID = "another"
	if err := s.Queue(ctx, 3, 5, []webhook.Delivery{again, delivery("whk_01", 5, 0)}); err != nil {
		t.Fatal(err)
	}
	if seq, err := s.Cursor(ctx); seq != 5 || err != nil || waiting(t, s)["whk_01"] != 3 {
		t.Errorf("the cursor: %d, %v; %v", seq, err, waiting(t, s))
	}
	got, err := s.First(ctx, "whk_01")
	if diff := cmp.Diff(delivery("whk_01", 3, 0), got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func testOrder(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"), hook(2, "risk"))
	if err := s.Queue(ctx, 0, 12, []webhook.Delivery{delivery("whk_01", 11, 1), delivery("whk_01", 12, 0), delivery("whk_01", 11, 0), delivery("whk_02", 5, 0)}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for {
		d, err := s.First(ctx, "whk_01")
		if err != nil {
			has(t, err, slipway.CodeNotFound)
			break
		}
		seen = append(seen, d.ID)
		retry := d
		retry.Tries, retry.Next, retry.Attempts = 1, start.Add(time.Minute), []webhook.Attempt{{Time: start, Took: 3 * time.Millisecond, Status: 503}}
		bad := webhook.Health{Failing: start, Failures: len(seen), Trouble: "status 503"}
		if err := s.Finish(ctx, retry, bad, ""); err != nil {
			t.Fatal(err)
		}
		again, err := s.First(ctx, "whk_01")
		if diff := cmp.Diff(retry, again); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if h, err := s.Hook(ctx, "whk_01"); err != nil || h.Health != bad {
			t.Errorf("%+v, %v", h.Health, err)
		}
		again.State, again.Next, again.Finished = webhook.Delivered, time.Time{}, start.Add(time.Hour)
		if err := s.Finish(ctx, again, webhook.Health{}, ""); err != nil {
			t.Fatal(err)
		}
		got, err := s.Delivery(ctx, "whk_01", d.ID)
		if diff := cmp.Diff(again, got); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if err := s.Finish(ctx, again, webhook.Health{}, ""); err == nil {
			t.Error("it was finished twice")
		}
	}
	if diff := cmp.Diff([]string{"whk_01-11-0", "whk_01-11-1", "whk_01-12-0"}, seen); diff != "" {
		t.Error(diff)
	}
	if h, err := s.Hook(ctx, "whk_01"); err != nil || h.Health != (webhook.Health{}) {
		t.Errorf("%+v, %v", h.Health, err)
	}
}

func testDisable(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"))
	if err := s.Queue(ctx, 0, 5, []webhook.Delivery{delivery("whk_01", 3, 0), delivery("whk_01", 4, 0)}); err != nil {
		t.Fatal(err)
	}
	d, _ := s.First(ctx, "whk_01")
	d.State, d.Finished, d.Next = webhook.Failed, start, time.Time{}
	bad := webhook.Health{Failing: start, Failures: 3, Trouble: "status 500"}
	if err := s.Finish(ctx, d, bad, "it is gone", event()); err != nil {
		t.Fatal(err)
	}
	h, err := s.Hook(ctx, "whk_01")
	if err != nil || h.Status != webhook.Disabled || h.Why != "it is gone" || h.Health != bad || h.Revision != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	if len(waiting(t, s)) != 0 || len(eventtest.All(t, s.Events)) != 2 {
		t.Error("something waits for a disabled hook, or its event is missing")
	}
	h.Status, h.Why, h.Health, h.Updated = webhook.Active, "", webhook.Health{}, start.Add(time.Hour)
	if err := s.ChangeHook(ctx, h, event()); err != nil {
		t.Fatal(err)
	}
	back, err := s.Hook(ctx, "whk_01")
	if err != nil || back.Since != 2 || back.Health != (webhook.Health{}) {
		t.Errorf("%+v, %v", back, err)
	}
	if err := s.Queue(ctx, 5, 6, []webhook.Delivery{delivery("whk_01", 6, 0)}); err != nil {
		t.Fatal(err)
	}
	back.Status = webhook.Disabled
	if err := s.ChangeHook(ctx, back, event()); err != nil || len(waiting(t, s)) != 0 {
		t.Errorf("disabled by its owner: %v, %v", err, waiting(t, s))
	}
	all, err := s.Deliveries(ctx, "whk_01", webhook.Failed, webhook.Place{}, 10)
	if err != nil || len(all) != 3 || all[0].Seq != 6 || !all[0].Finished.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v, %v", all, err)
	}
}

func testLog(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"))
	const more = 5
	var all []webhook.Delivery
	for i := range webhook.KeepDelivered + more {
		all = append(all, delivery("whk_01", int64(i+10), 0))
	}
	if err := s.Queue(ctx, 0, 20_000, all); err != nil {
		t.Fatal(err)
	}
	failed, err := s.First(ctx, "whk_01") // the oldest, and kept
	if err != nil {
		t.Fatal(err)
	}
	failed.State, failed.Finished = webhook.Failed, start
	var wg sync.WaitGroup // they share commits
	for i := range all {
		wg.Go(func() {
			d := all[i]
			if d.State, d.Finished = webhook.Delivered, start; i == 0 {
				d = failed
			}
			if err := s.Finish(ctx, d, webhook.Health{}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	pages := 0
	var before webhook.Place
	var seqs []int64
	for {
		page, err := s.Deliveries(ctx, "whk_01", "", before, 300)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			seqs = append(seqs, d.Seq)
			before = webhook.Place{Seq: d.Seq, Part: d.Part}
		}
		if pages++; len(page) < 300 {
			break
		}
	}
	if len(seqs) != webhook.KeepDelivered+1 || pages != 4 || seqs[0] != webhook.KeepDelivered+more+9 || seqs[len(seqs)-1] != 10 || seqs[len(seqs)-2] != 10+more {
		t.Errorf("%d deliveries in %d pages, from %d to %d", len(seqs), pages, seqs[0], seqs[len(seqs)-1])
	}
}

func testRedeliver(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"))
	if err := s.Queue(ctx, 0, 5, []webhook.Delivery{delivery("whk_01", 2, 0), delivery("whk_01", 3, 0), delivery("whk_01", 4, 0), delivery("whk_01", 5, 0)}); err != nil {
		t.Fatal(err)
	}
	for i, state := range []webhook.State{webhook.Delivered, webhook.Failed, webhook.Failed} {
		d := delivery("whk_01", int64(i+2), 0)
		d.State, d.Finished, d.Tries, d.Attempts = state, start, 2, []webhook.Attempt{{Time: start, Status: 500, Error: "x"}}
		if err := s.Finish(ctx, d, webhook.Health{}, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Redeliver(ctx, "whk_01", []string{"whk_01-2-0", "nothing"}, start, event())
	has(t, err, slipway.CodeNotFound)
	if n, err := s.Redeliver(ctx, "whk_01", []string{"whk_01-2-0", "whk_01-5-0"}, start.Add(time.Hour), event()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	d, err := s.First(ctx, "whk_01")
	if err != nil || d.ID != "whk_01-2-0" || d.Tries != 0 || len(d.Attempts) != 1 || !d.Next.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v, %v", d, err)
	}
	if n, err := s.Redeliver(ctx, "whk_01", nil, start, event()); n != 2 || err != nil || waiting(t, s)["whk_01"] != 4 {
		t.Errorf("%d, %v, %v", n, err, waiting(t, s))
	}
	if n, err := s.Redeliver(ctx, "whk_01", nil, start, event()); n != 0 || err != nil {
		t.Errorf("when none has failed: %d, %v", n, err)
	}
	if n := len(eventtest.All(t, s.Events)); n != 3 {
		t.Errorf("%d events of 3 changes", n)
	}
}

func testDelete(t *testing.T, s Opened) {
	ctx := t.Context()
	add(t, s, hook(1, "risk"), hook(2, "risk"))
	if err := s.Queue(ctx, 0, 5, []webhook.Delivery{delivery("whk_01", 3, 0), delivery("whk_02", 3, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteHook(ctx, "whk_01", event()); err != nil {
		t.Fatal(err)
	}
	has(t, s.DeleteHook(ctx, "whk_01", event()), slipway.CodeNotFound)
	d := delivery("whk_01", 3, 0)
	d.State = webhook.Delivered
	has(t, s.Finish(ctx, d, webhook.Health{}, ""), slipway.CodeNotFound)
	if diff := cmp.Diff(map[string]int{"whk_02": 1}, waiting(t, s)); diff != "" {
		t.Error(diff)
	}
}
