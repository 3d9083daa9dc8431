// Package tracking decides who may do what with experiments, runs and logged models, and
// whose they are.
package tracking

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Access decides.
type Access interface {
	// Check answers Denied, once that is recorded, unless the principal may do the action.
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
	// Visible gives those of some teams with whose resources the principal may do the action.
	Visible(p slipway.Principal, a authz.Action, teams []string) []string
}

// Service is what MLflow's clients do with experiments, as far as they may. What a caller may
// not see is answered as if it were not there.
type Service struct {
	tracking *tracking.Service
	access   Access
	teams    func(context.Context) ([]string, error)
	now      func() time.Time

	mu    sync.Mutex
	known []string  // teams that have experiments
	until time.Time // that known is good
}

// New makes a Service. teams gives those that have experiments.
func New(t *tracking.Service, a Access, teams func(context.Context) ([]string, error), now func() time.Time) *Service {
	return &Service{tracking: t, access: a, teams: teams, now: now}
}

// freshness is how long a team whose first experiment was made elsewhere stays out of lists.
const freshness = time.Second

// Teams gives those that have experiments.
func (s *Service) Teams(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.After(s.until) {
		known, err := s.teams(ctx)
		if err != nil {
			return nil, err
		}
		s.known, s.until = known, now.Add(freshness)
	}
	return s.known, nil
}

// forget lets a new team be in lists at once.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
}

// visible are the teams in whose experiments a caller may do something, of those that a list
// is about.
func (s *Service) visible(ctx context.Context, c mlflowapi.Caller, a authz.Action) ([]string, error) {
	if c.Named {
		return s.access.Visible(c.Principal, a, []string{c.Team}), nil
	}
	known, err := s.Teams(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(known, c.Team) {
		known = append(slices.Clone(known), c.Team)
	}
	return s.access.Visible(c.Principal, a, known), nil
}

// nobody sees nothing. Who may not see something gets the answer that nobody gets.
var nobody = []string{""}

func (s *Service) sees(c mlflowapi.Caller, team string) bool {
	return len(s.access.Visible(c.Principal, authz.ExperimentRead, []string{team})) > 0
}

// check answers Denied unless a caller may do something with an experiment of a team. Who has
// not said which team, and has nothing to do with the one that was taken, is told how to.
func (s *Service) check(ctx context.Context, c mlflowapi.Caller, a authz.Action, id, team string) error {
	err := s.access.Check(ctx, c.Principal, a, authz.ExperimentOf(id, team))
	if e := slipway.AsError(err); err != nil && e.Kind == slipway.Denied && !c.Named && team == c.Team {
		hint := *e
		hint.Message += ". To name another team, end MLFLOW_TRACKING_URI in /teams/TEAM, or set MLFLOW_WORKSPACE"
		return &hint
	}
	return err
}

func notThere(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }
