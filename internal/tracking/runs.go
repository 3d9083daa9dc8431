package tracking

import (
	"context"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

// NewRun is a run that begins.
type NewRun struct {
	Experiment string // its id
	User       string
	Name       string // empty: a name is made
	Start      int64
	Tags       []Tag
}

// CreateRun begins a run in an active experiment that one of the teams has.
func (s *Service) CreateRun(ctx context.Context, p slipway.Principal, teams []string, n NewRun) (Run, error) {
	e, err := s.Experiment(ctx, teams, n.Experiment)
	if err != nil {
		return Run{}, err
	}
	if err := mustBeActive(e.ID, e.Stage); err != nil {
		return Run{}, err
	}
	tags := map[string]string{}
	for i, t := range n.Tags {
		if t, err = checkTag(t, place("tags", i)); err != nil {
			return Run{}, err
		}
		tags[t.Key] = t.Value
	}
	name, tagged := n.Name, tags[RunName]
	if name != "" && tagged != "" && name != tagged {
		return Run{}, invalid("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='%s', mlflow.runName='%s').", short(name), short(tagged))
	}
	switch {
	case name != "":
		name = cut(name, maxTagValue)
	case tagged != "":
		name = tagged
	default:
		name = randomName()
	}
	tags[RunName] = name
	r := Run{ID: id(), Name: name, ExperimentID: e.ID, Team: e.Team, User: cut(n.User, maxUser), Status: Running, Start: n.Start, Stage: Active,
		State: State{Tags: sortedTags(tags)}}
	r.ArtifactURI = below(e.ArtifactLocation, r.ID, "artifacts")
	err = s.stores.Runs.AddRun(ctx, r, s.event(p, "run.created", r.ID, map[string]string{"experiment": e.ID, "team": e.Team}),
		func(stage string) error { return mustBeActive(e.ID, stage) })
	return r, err
}

// Run finds a run with all that was logged in it, deleted or not.
func (s *Service) Run(ctx context.Context, teams []string, id string) (Run, error) {
	r, err := s.stores.Runs.Run(ctx, teams, id)
	return r, missing(err, "Run with id=%s not found", short(id))
}

// RunOwner finds the experiment and the team of a run.
func (s *Service) RunOwner(ctx context.Context, teams []string, id string) (experiment, team string, err error) {
	experiment, team, err = s.stores.Runs.RunOwner(ctx, teams, id)
	return experiment, team, missing(err, "Run with id=%s not found", short(id))
}

// RunUpdate is what changes of a run; what is empty stays.
type RunUpdate struct {
	Status string
	End    *int64
	Name   string
}

// UpdateRun changes an active run.
func (s *Service) UpdateRun(ctx context.Context, p slipway.Principal, id string, u RunUpdate) (out Run, err error) {
	if u.Status != "" && !slices.Contains([]string{Running, Scheduled, Finished, Failed, Killed}, u.Status) {
		return Run{}, invalid("Invalid value %s for parameter 'status' supplied.", quote(u.Status))
	}
	err = s.changeRun(ctx, id, func(r *Run) (events []slipway.Event, err error) {
		if err := mustRun(r.ID, r.Stage); err != nil {
			return nil, err
		}
		if u.Status != "" && u.Status != r.Status {
			r.Status = u.Status
			if r.Ended() {
				events = append(events, s.event(p, "run.ended", r.ID, map[string]string{"status": u.Status}))
			}
		}
		if u.End != nil {
			r.End = u.End
		}
		if u.Name != "" {
			r.Name = cut(u.Name, maxTagValue)
			r.Tags = withTag(r.Tags, Tag{RunName, r.Name})
		}
		out = *r
		return events, nil
	})
	return out, err
}

// DeleteRun hides a run until RestoreRun.
func (s *Service) DeleteRun(ctx context.Context, p slipway.Principal, id string) error {
	return s.moveRun(ctx, p, id, Deleted, "run.deleted")
}

// RestoreRun brings a deleted run back.
func (s *Service) RestoreRun(ctx context.Context, p slipway.Principal, id string) error {
	return s.moveRun(ctx, p, id, Active, "run.restored")
}

func (s *Service) moveRun(ctx context.Context, p slipway.Principal, id, to, action string) error {
	return s.changeRun(ctx, id, func(r *Run) ([]slipway.Event, error) {
		if r.Stage == to {
			return nil, nil
		}
		r.Stage = to
		return []slipway.Event{s.event(p, action, r.ID, nil)}, nil
	})
}

func (s *Service) changeRun(ctx context.Context, id string, change func(*Run) ([]slipway.Event, error)) error {
	found := false
	err := s.stores.Runs.ChangeRun(ctx, id, func(r *Run) ([]slipway.Event, error) {
		found = true
		return change(r)
	})
	if !found {
		err = missing(err, "Run with id=%s not found", short(id))
	}
	return err
}

// mustRun refuses to change a deleted run.
func mustRun(id, stage string) error {
	if stage == Active {
		return nil
	}
	return stale("The run %s must be in the 'active' state. Current state is %s.", id, stage)
}

// SearchRuns finds runs of experiments, and the token of the next page, empty for the last.
func (s *Service) SearchRuns(ctx context.Context, teams, experiments []string, in Search) ([]Run, string, error) {
	limit, err := bounded(in.Max, usualRuns, maxRuns)
	if err != nil {
		return nil, "", err
	}
	if err := checkExperiments(experiments); err != nil {
		return nil, "", err
	}
	where, err := query.Runs.Filter(in.Filter)
	if err != nil {
		return nil, "", err
	}
	order, err := query.Runs.OrderBy(in.OrderBy)
	if err != nil || len(experiments) == 0 {
		return nil, "", err
	}
	return s.stores.Runs.SearchRuns(ctx, RunSearch{Teams: teams, Experiments: experiments, View: in.View, Where: where, Order: order,
		Page: Page{in.Token, limit}, Question: query.Fingerprint([]any{"runs", experiments, in.View, in.Filter, in.OrderBy})})
}
