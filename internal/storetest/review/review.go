// Package reviewtest is the conformance suite of review.Store.
package reviewtest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/review"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 12, 17, 0, 0, 0, 123456000, time.UTC)

// Run tests a store; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (review.Store, eventtest.Reader)) {
	t.Run("keeps reviews, one open at a time", func(t *testing.T) {
		s, events := open(t)
		ctx := t.Context()
		first := review.Review{ID: "rev_1", Number: 1, Status: review.Open, Quarter: "2026-Q4", By: "system", Started: start, Due: start.Add(review.Window),
			Items: []review.Item{{ID: "1", Account: "ada", Kind: slipway.Person, Team: "risk", Role: slipway.Role{Name: slipway.RoleEngineer, Team: "risk"}, Status: review.Waiting}}}
		second := review.Review{ID: "rev_2", Number: 2, Status: review.Open, Quarter: "2027-Q1", Started: start, Due: start, Items: []review.Item{}}
		if err := s.SaveReview(ctx, first, eventtest.At(start, "system")); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveReview(ctx, second, eventtest.At(start, "system")); !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			t.Errorf("a second one that is open: %v", err)
		}
		first.Status, first.Items[0].Status, first.Items[0].By = review.Closed, review.Attested, "lea"
		if err := s.SaveReview(ctx, first, eventtest.At(start, "lea"), eventtest.At(start, "pat")); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveReview(ctx, second, eventtest.At(start, "system")); err != nil {
			t.Fatal(err)
		}
		got, err := s.Reviews(ctx)
		if diff := cmp.Diff([]review.Review{first, second}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		if n := len(eventtest.All(t, events)); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
	})
}
