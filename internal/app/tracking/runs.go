package tracking

import (
	"context"
	"slices"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// CreateRun begins a run.
func (s *Service) CreateRun(ctx context.Context, c mlflowapi.Caller, n tracking.NewRun) (tracking.Run, error) {
	id, err := s.writable(ctx, c, authz.ExperimentWrite, n.Experiment)
	if err != nil {
		return tracking.Run{}, err
	}
	n.Experiment = id
	return s.tracking.CreateRun(ctx, c.Principal, nil, n)
}

// Run finds one.
func (s *Service) Run(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Run, error) {
	r, err := s.tracking.Run(ctx, nil, id)
	if err == nil && !s.sees(c, r.Team) {
		return s.tracking.Run(ctx, nobody, id)
	}
	return r, err
}

// owner gives the experiment and the team of a run that the caller may see.
func (s *Service) owner(ctx context.Context, c mlflowapi.Caller, run string) (experiment, team string, err error) {
	experiment, team, err = s.tracking.RunOwner(ctx, nil, run)
	if err == nil && !s.sees(c, team) {
		return s.tracking.RunOwner(ctx, nobody, run)
	}
	return experiment, team, err
}

// may answers Denied, or NotFound, unless the caller may do something with a run.
func (s *Service) may(ctx context.Context, c mlflowapi.Caller, a authz.Action, run string) error {
	experiment, team, err := s.owner(ctx, c, run)
	if err != nil {
		return err
	}
	return s.check(ctx, c, a, experiment, team)
}

// UpdateRun changes one.
func (s *Service) UpdateRun(ctx context.Context, c mlflowapi.Caller, id string, u tracking.RunUpdate) (tracking.Run, error) {
	if err := s.may(ctx, c, authz.ExperimentWrite, id); err != nil {
		return tracking.Run{}, err
	}
	return s.tracking.UpdateRun(ctx, c.Principal, id, u)
}

// MoveRun deletes one, or restores it.
func (s *Service) MoveRun(ctx context.Context, c mlflowapi.Caller, id string, restore bool) error {
	if err := s.may(ctx, c, authz.ExperimentDelete, id); err != nil {
		return err
	}
	if restore {
		return s.tracking.RestoreRun(ctx, c.Principal, id)
	}
	return s.tracking.DeleteRun(ctx, c.Principal, id)
}

// SearchRuns finds runs of experiments that the caller may see.
func (s *Service) SearchRuns(ctx context.Context, c mlflowapi.Caller, experiments []string, in tracking.Search) ([]tracking.Run, string, error) {
	teams, experiments, err := s.among(ctx, c, experiments)
	if err != nil {
		return nil, "", err
	}
	return s.tracking.SearchRuns(ctx, teams, experiments, in)
}

// among gives the teams whose things may be in a list, and what the ids of experiments in a
// request stand for.
func (s *Service) among(ctx context.Context, c mlflowapi.Caller, experiments []string) (teams, ids []string, err error) {
	if teams, err = s.visible(ctx, c, authz.ExperimentRead); err != nil {
		return nil, nil, err
	}
	if len(teams) == 0 {
		teams = nobody
	}
	at := slices.Index(experiments, tracking.DefaultID)
	if at < 0 {
		return teams, experiments, nil
	}
	ids = slices.Clone(experiments)
	if ids[at], err = s.id(ctx, c, tracking.DefaultID, false); notThere(err) {
		return teams, slices.Delete(ids, at, at+1), nil
	}
	return teams, ids, err
}

// LogBatch logs in a run.
func (s *Service) LogBatch(ctx context.Context, c mlflowapi.Caller, run string, b tracking.Batch) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogBatch(ctx, run, b)
}

// LogMetric logs one measurement.
func (s *Service) LogMetric(ctx context.Context, c mlflowapi.Caller, run string, m tracking.Metric) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogMetric(ctx, run, m)
}

// LogParam logs one parameter.
func (s *Service) LogParam(ctx context.Context, c mlflowapi.Caller, run string, p tracking.Param) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogParam(ctx, run, p)
}

// SetTag sets one tag.
func (s *Service) SetTag(ctx context.Context, c mlflowapi.Caller, run string, t tracking.Tag) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.SetTag(ctx, run, t)
}

// DeleteTag takes a tag away.
func (s *Service) DeleteTag(ctx context.Context, c mlflowapi.Caller, run, key string) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.DeleteTag(ctx, run, key)
}

// LogModelRecord notes a model of MLflow 2.
func (s *Service) LogModelRecord(ctx context.Context, c mlflowapi.Caller, run, model string) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogModelRecord(ctx, run, model)
}

// LogInputs notes what a run used.
func (s *Service) LogInputs(ctx context.Context, c mlflowapi.Caller, run string, datasets []tracking.DatasetInput, models []string) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogInputs(ctx, run, datasets, models)
}

// LogOutputs notes what a run made.
func (s *Service) LogOutputs(ctx context.Context, c mlflowapi.Caller, run string, models []tracking.ModelOutput) error {
	if err := s.may(ctx, c, authz.ExperimentWrite, run); err != nil {
		return err
	}
	return s.tracking.LogOutputs(ctx, run, models)
}
