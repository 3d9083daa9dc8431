package tracking_test

import (
	"slices"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking"
	"github.com/slipway-ml/slipway/internal/storetest"
	core "github.com/slipway-ml/slipway/internal/tracking"
)

func TestTeams(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s := tracking.New(open(t))
		if got, err := s.Teams(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("at first: %v, %v", got, err)
		}
		for i, team := range []string{"risk", "growth", "risk", "a-team", "risk"} {
			e := core.Experiment{Name: string(rune('a' + i)), Team: team, Stage: core.Active}
			if _, err := s.AddExperiment(t.Context(), e, func(string) string { return "" }, slipway.Event{ID: string(rune('a' + i)), Actor: "ana", Action: "experiment.created"}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Teams(t.Context()); err != nil || !slices.Equal(got, []string{"a-team", "growth", "risk"}) {
			t.Errorf("%v, %v", got, err)
		}
	})
}
