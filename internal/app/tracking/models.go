package tracking

import (
	"context"
	"slices"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// MetricHistory gives a key's measurements in a run.
func (s *Service) MetricHistory(ctx context.Context, c mlflowapi.Caller, run, key string, most int, token string) ([]tracking.Metric, string, error) {
	if _, _, err := s.owner(ctx, c, run); err != nil {
		return nil, "", err
	}
	return s.tracking.MetricHistory(ctx, run, key, most, token)
}

// MetricHistories gives a key's measurements in many runs, of those that the caller may see.
func (s *Service) MetricHistories(ctx context.Context, c mlflowapi.Caller, runs []string, key string, most int) ([]tracking.Metric, error) {
	teams, _, err := s.among(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	return s.tracking.MetricHistories(ctx, teams, runs, key, most)
}

// SampleHistories gives some of a key's measurements in many runs.
func (s *Service) SampleHistories(ctx context.Context, c mlflowapi.Caller, runs []string, key string, start, end *int64, most int) ([]tracking.Metric, error) {
	teams, _, err := s.among(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	return s.tracking.SampleHistories(ctx, teams, runs, key, start, end, most)
}

// SearchDatasets lists what data sets experiments used.
func (s *Service) SearchDatasets(ctx context.Context, c mlflowapi.Caller, experiments []string) ([]tracking.DatasetSummary, error) {
	teams, experiments, err := s.among(ctx, c, experiments)
	if err != nil {
		return nil, err
	}
	return s.tracking.SearchDatasets(ctx, teams, experiments)
}

// CreateModel makes a logged model.
func (s *Service) CreateModel(ctx context.Context, c mlflowapi.Caller, n tracking.NewModel) (tracking.Model, error) {
	id, err := s.writable(ctx, c, authz.ExperimentWrite, n.Experiment)
	if err != nil {
		return tracking.Model{}, err
	}
	n.Experiment = id
	return s.tracking.CreateModel(ctx, c.Principal, nil, n)
}

// Model finds one.
func (s *Service) Model(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Model, error) {
	m, err := s.tracking.Model(ctx, nil, id)
	if err == nil && !s.sees(c, m.Team) {
		return s.tracking.Model(ctx, nobody, id)
	}
	return m, err
}

// SearchModels finds logged models of experiments that the caller may see.
func (s *Service) SearchModels(ctx context.Context, c mlflowapi.Caller, in tracking.ModelsSearch) ([]tracking.Model, string, error) {
	teams, experiments, err := s.among(ctx, c, in.Experiments)
	if err != nil {
		return nil, "", err
	}
	in.Experiments = experiments
	return s.tracking.SearchModels(ctx, teams, in)
}

func (s *Service) mayModel(ctx context.Context, c mlflowapi.Caller, a authz.Action, id string) error {
	m, err := s.Model(ctx, c, id)
	if err != nil {
		return err
	}
	return s.check(ctx, c, a, m.ExperimentID, m.Team)
}

// FinalizeModel says that a model's files have come, or failed to.
func (s *Service) FinalizeModel(ctx context.Context, c mlflowapi.Caller, id, status string) (tracking.Model, error) {
	if err := s.mayModel(ctx, c, authz.ExperimentWrite, id); err != nil {
		return tracking.Model{}, err
	}
	return s.tracking.FinalizeModel(ctx, c.Principal, id, status)
}

// DeleteModel hides a logged model.
func (s *Service) DeleteModel(ctx context.Context, c mlflowapi.Caller, id string) error {
	if err := s.mayModel(ctx, c, authz.ExperimentDelete, id); err != nil {
		return err
	}
	return s.tracking.DeleteModel(ctx, c.Principal, id)
}

// SetModelTags sets tags of a logged model.
func (s *Service) SetModelTags(ctx context.Context, c mlflowapi.Caller, id string, tags []tracking.Tag) error {
	if err := s.mayModel(ctx, c, authz.ExperimentWrite, id); err != nil {
		return err
	}
	tags = slices.Clone(tags)
	for i, t := range tags {
		if t.Key == VersionsTag {
			tags[i].Value = EachOnce(t.Value)
		}
	}
	return s.tracking.SetModelTags(ctx, id, tags)
}

// DeleteModelTag takes a tag from a logged model.
func (s *Service) DeleteModelTag(ctx context.Context, c mlflowapi.Caller, id, key string) error {
	if err := s.mayModel(ctx, c, authz.ExperimentWrite, id); err != nil {
		return err
	}
	return s.tracking.DeleteModelTag(ctx, id, key)
}

// LogModelParams adds parameters to a logged model.
func (s *Service) LogModelParams(ctx context.Context, c mlflowapi.Caller, id string, params []tracking.Param) error {
	if err := s.mayModel(ctx, c, authz.ExperimentWrite, id); err != nil {
		return err
	}
	return s.tracking.LogModelParams(ctx, id, params)
}
