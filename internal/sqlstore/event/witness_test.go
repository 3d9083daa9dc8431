package event_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// TestWitness: of two that saw a log at once one is kept, with its event; who knows an older
// state than is there changes nothing.
func TestWitness(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s, ctx := event.New(open(t)), t.Context()
		if _, err := s.Witnessed(ctx, "other"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			t.Errorf("an unknown log: %v", err)
		}
		seen := func(size uint64) audit.Witnessed { return audit.Witnessed{Log: "other", Size: size} }
		race := func(known audit.Witnessed, size uint64) {
			t.Helper()
			var wg sync.WaitGroup
			var won atomic.Int32
			for range 8 {
				wg.Go(func() {
					err := s.Witness(ctx, known, seen(size), eventtest.At(t0, "other"))
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d of 8 kept what they saw, want 1", won.Load())
			}
		}
		race(audit.Witnessed{}, 1)
		race(seen(1), 2)
		if err := s.Witness(ctx, seen(1), seen(3), eventtest.At(t0, "other")); !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			t.Errorf("who knows an older state: %v", err)
		}
		got, err := s.Witnessed(ctx, "other")
		if diff := cmp.Diff(seen(2), got); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if n := len(eventtest.All(t, s)); n != 2 {
			t.Errorf("%d events, want one of each change", n)
		}
	})
}
