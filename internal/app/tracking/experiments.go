package tracking

import (
	"context"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// CreateExperiment implements mlflowapi/tracking.Experiments, as all that follows.
func (s *Service) CreateExperiment(ctx context.Context, c mlflowapi.Caller, name, location string, tags []tracking.Tag) (tracking.Experiment, error) {
	if err := s.check(ctx, c, authz.ExperimentWrite, "", c.Team); err != nil {
		return tracking.Experiment{}, err
	}
	if name == tracking.DefaultName { // which every team has
		if _, err := s.tracking.Default(ctx, c.Principal, c.Team); err != nil {
			return tracking.Experiment{}, err
		}
	}
	defer s.forget()
	return s.tracking.CreateExperiment(ctx, c.Principal, c.Team, name, location, tags)
}

// id is what an id in a request stands for: "0", or none, for the Default of the caller's
// team. It is made if he may make it; but where he names a team, only when he changes
// something: a name that is mistyped shall leave nothing behind.
func (s *Service) id(ctx context.Context, c mlflowapi.Caller, id string, changes bool) (string, error) {
	if id != "" && id != tracking.DefaultID {
		return id, nil
	}
	if (changes || !c.Named) && len(s.access.Visible(c.Principal, authz.ExperimentWrite, []string{c.Team})) > 0 {
		return s.tracking.Default(ctx, c.Principal, c.Team)
	}
	e, err := s.tracking.ExperimentByName(ctx, c.Team, tracking.DefaultName)
	if notThere(err) {
		_, err = s.tracking.Experiment(ctx, nobody, tracking.DefaultID)
	}
	return e.ID, err
}

// Experiment finds one.
func (s *Service) Experiment(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Experiment, error) {
	id, err := s.id(ctx, c, id, false)
	if err != nil {
		return tracking.Experiment{}, err
	}
	e, err := s.tracking.Experiment(ctx, nil, id)
	if err == nil && !s.sees(c, e.Team) {
		return s.tracking.Experiment(ctx, nobody, id)
	}
	return e, err
}

// ExperimentByName finds one in the caller's team, or in another one for which he may write,
// unless he has named the team.
func (s *Service) ExperimentByName(ctx context.Context, c mlflowapi.Caller, name string) (tracking.Experiment, error) {
	if name == tracking.DefaultName {
		return s.Experiment(ctx, c, tracking.DefaultID)
	}
	teams := []string{c.Team}
	if !s.sees(c, c.Team) {
		teams = nobody
	}
	e, err := s.tracking.ExperimentByName(ctx, teams[0], name)
	if !notThere(err) || c.Named {
		return e, err
	}
	others, failed := s.visible(ctx, c, authz.ExperimentWrite)
	if failed != nil {
		return e, failed
	}
	for _, team := range others {
		if found, failed := s.tracking.ExperimentByName(ctx, team, name); !notThere(failed) {
			return found, failed
		}
	}
	return e, err
}

// SearchExperiments finds those that the caller may see.
func (s *Service) SearchExperiments(ctx context.Context, c mlflowapi.Caller, in tracking.Search) ([]tracking.Experiment, string, error) {
	if _, err := s.id(ctx, c, "", false); err != nil && !notThere(err) { // the team's Default is in its list
		return nil, "", err
	}
	teams, err := s.visible(ctx, c, authz.ExperimentRead)
	if err != nil {
		return nil, "", err
	}
	if len(teams) == 0 {
		teams = nobody
	}
	return s.tracking.SearchExperiments(ctx, teams, in)
}

// writable gives the id of an experiment with which a caller may do something.
func (s *Service) writable(ctx context.Context, c mlflowapi.Caller, a authz.Action, id string) (string, error) {
	id, err := s.id(ctx, c, id, true)
	if err != nil {
		return "", err
	}
	e, err := s.Experiment(ctx, c, id)
	if err != nil {
		return "", err
	}
	return e.ID, s.check(ctx, c, a, e.ID, e.Team)
}

// RenameExperiment gives one another name.
func (s *Service) RenameExperiment(ctx context.Context, c mlflowapi.Caller, id, name string) error {
	id, err := s.writable(ctx, c, authz.ExperimentWrite, id)
	if err != nil {
		return err
	}
	return s.tracking.RenameExperiment(ctx, c.Principal, id, name)
}

// DeleteExperiment hides one.
func (s *Service) DeleteExperiment(ctx context.Context, c mlflowapi.Caller, id string) error {
	id, err := s.writable(ctx, c, authz.ExperimentDelete, id)
	if err != nil {
		return err
	}
	return s.tracking.DeleteExperiment(ctx, c.Principal, id)
}

// RestoreExperiment brings one back.
func (s *Service) RestoreExperiment(ctx context.Context, c mlflowapi.Caller, id string) error {
	id, err := s.writable(ctx, c, authz.ExperimentDelete, id)
	if err != nil {
		return err
	}
	return s.tracking.RestoreExperiment(ctx, c.Principal, id)
}

// SetExperimentTag gives one a tag.
func (s *Service) SetExperimentTag(ctx context.Context, c mlflowapi.Caller, id string, t tracking.Tag) error {
	id, err := s.writable(ctx, c, authz.ExperimentWrite, id)
	if err != nil {
		return err
	}
	return s.tracking.SetExperimentTag(ctx, id, t)
}

// DeleteExperimentTag takes a tag from one.
func (s *Service) DeleteExperimentTag(ctx context.Context, c mlflowapi.Caller, id, key string) error {
	id, err := s.writable(ctx, c, authz.ExperimentWrite, id)
	if err != nil {
		return err
	}
	return s.tracking.DeleteExperimentTag(ctx, id, key)
}
