// Package policysettest is the conformance suite of policyset.Store.
package policysettest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func proposal(number int) policyset.Version {
	return policyset.Version{Number: number, Status: policyset.Proposed, Text: "// nothing\n", By: "ada", Reason: "a test", Created: start}
}

// Run tests a store; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (policyset.Store, eventtest.Reader)) {
	t.Run("keeps what was decided, in order", func(t *testing.T) { testOrder(t, open) })
	t.Run("has one proposal at a time, decided once", func(t *testing.T) { testOnce(t, open) })
}

func testOrder(t *testing.T, open func(t *testing.T) (policyset.Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	if all, err := s.Versions(ctx); err != nil || len(all) != 0 || policyset.InForce(all).Number != 0 {
		t.Fatalf("an empty store: %v, %v", all, err)
	}
	want := []policyset.Version{}
	for i, status := range []string{policyset.Approved, policyset.Rejected, policyset.Approved} {
		v := proposal(i + 1)
		if err := s.Propose(ctx, v, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
		v.Status, v.Decider, v.Why, v.Decided = status, "bob", "so", start.Add(time.Hour)
		if err := s.Decide(ctx, v, eventtest.At(start, "bob")); err != nil {
			t.Fatal(err)
		}
		want = append(want, v)
	}
	want[0].Approval, want[2].Approval = 1, 2
	got, err := s.Versions(ctx)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if v := policyset.InForce(got); v.Number != 3 {
		t.Errorf("version %d is in force", v.Number)
	}
	if n := len(eventtest.All(t, events)); n != 6 {
		t.Errorf("%d events of 6 changes", n)
	}
}

func testOnce(t *testing.T, open func(t *testing.T) (policyset.Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	if err := s.Propose(ctx, proposal(1), eventtest.At(start, "ada")); err != nil {
		t.Fatal(err)
	}
	for _, number := range []int{1, 2} {
		if err := s.Propose(ctx, proposal(number), eventtest.At(start, "eve")); !errors.Is(err, &slipway.Error{Code: slipway.CodePolicyOpen}) {
			t.Errorf("a second proposal: %v", err)
		}
	}
	decided := decideAtOnce(ctx, s)
	if decided != 1 {
		t.Errorf("decided %d times", decided)
	}
	if err := s.Decide(ctx, proposal(7), eventtest.At(start, "eve")); !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
		t.Errorf("one that there is not: %v", err)
	}
	if n := len(eventtest.All(t, events)); n != 2 {
		t.Errorf("%d events of 2 changes", n)
	}
}

// decideAtOnce lets ten decide at the same time, and counts those who did.
func decideAtOnce(ctx context.Context, s policyset.Store) (n int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			v := proposal(1)
			v.Status = []string{policyset.Approved, policyset.Rejected}[i%2]
			if s.Decide(ctx, v, eventtest.At(start, "bob")) == nil {
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return n
}
