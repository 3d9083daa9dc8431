package governance

import (
	"context"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Tracked are runs and experiments as a caller may see them.
type Tracked interface {
	ExperimentByName(ctx context.Context, c mlflowapi.Caller, name string) (tracking.Experiment, error)
	SearchExperiments(ctx context.Context, c mlflowapi.Caller, in tracking.Search) ([]tracking.Experiment, string, error)
	SearchRuns(ctx context.Context, c mlflowapi.Caller, experiments []string, in tracking.Search) ([]tracking.Run, string, error)
}

// maxExperiments is in how many experiments one search looks.
const maxExperiments = 1000

// ListRuns searches runs in an experiment, or in all that the principal may see.
func (s *Service) ListRuns(ctx context.Context, p slipway.Principal, q api.RunQuery) (api.Page[api.Run], error) {
	page := api.Page[api.Run]{Items: []api.Run{}}
	c := mlflowapi.Caller{Principal: p, Team: q.Team, Named: q.Team != ""}
	if c.Team == "" {
		c.Team = tracking.DefaultTeam
	}
	ids, err := s.experiments(ctx, c, q.Experiment)
	if err != nil || len(ids) == 0 {
		return page, err
	}
	in := tracking.Search{Filter: q.Filter, Max: q.Limit, Token: q.Cursor}
	if q.Order != "" {
		in.OrderBy = []string{q.Order}
	}
	found, next, err := s.Tracked.SearchRuns(ctx, c, ids, in)
	for _, r := range found {
		page.Items = append(page.Items, runView(r))
	}
	page.Next = next
	return page, err
}

// experiments are the ids of those that a search is about: of a name or an id, or all.
func (s *Service) experiments(ctx context.Context, c mlflowapi.Caller, experiment string) ([]string, error) {
	if _, err := strconv.ParseUint(experiment, 10, 63); err == nil {
		return []string{experiment}, nil
	}
	if experiment != "" {
		e, err := s.Tracked.ExperimentByName(ctx, c, experiment)
		return []string{e.ID}, err
	}
	all, _, err := s.Tracked.SearchExperiments(ctx, c, tracking.Search{Max: maxExperiments})
	out := make([]string, len(all))
	for i, e := range all {
		out[i] = e.ID
	}
	return out, err
}

func runView(r tracking.Run) api.Run {
	var l api.RunLineage
	fill(&l, r)
	out := api.Run{ID: r.ID, Name: r.Name, ExperimentID: r.ExperimentID, Team: r.Team, User: r.User, Status: r.Status, Deleted: r.Stage == tracking.Deleted,
		Started: l.Started, Metrics: l.Metrics, Params: l.Params, Tags: map[string]string{}, Datasets: append([]api.DatasetUse{}, l.Datasets...)}
	if r.End != nil {
		out.Ended = time.UnixMilli(*r.End).UTC()
	}
	for _, t := range r.Tags {
		out.Tags[t.Key] = t.Value
	}
	for _, m := range r.ModelOutputs {
		out.Models = append(out.Models, m.ModelID)
	}
	return out
}

// GetRun finds one run with all of it.
func (s *Service) GetRun(ctx context.Context, p slipway.Principal, id string) (api.Run, error) {
	r, err := s.run(ctx, p, id)
	if err != nil {
		return api.Run{}, err
	}
	return runView(r), nil
}

func (s *Service) run(ctx context.Context, p slipway.Principal, id string) (tracking.Run, error) {
	r, err := s.Runs.Run(ctx, nil, id)
	if err != nil && !gone(err) {
		return r, err
	}
	if denied := s.Access.Check(ctx, p, authz.ExperimentRead, authz.ExperimentOf(r.ExperimentID, r.Team)); denied != nil {
		return r, denied
	}
	if err != nil {
		return r, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform runs list", "there is no run %.64q", id)
	}
	return r, nil
}

// CompareRuns says what differs between two runs.
func (s *Service) CompareRuns(ctx context.Context, p slipway.Principal, from, to string) (api.RunComparison, error) {
	out := api.RunComparison{From: from, To: to}
	a, err := s.GetRun(ctx, p, from)
	if err != nil {
		return out, err
	}
	b, err := s.GetRun(ctx, p, to)
	if err != nil {
		return out, err
	}
	out.Metrics, out.Params = differences(texts(a.Metrics), texts(b.Metrics)), differences(a.Params, b.Params)
	out.Datasets, out.Tags = differences(byUse(a.Datasets), byUse(b.Datasets)), differences(a.Tags, b.Tags)
	return out, nil
}
