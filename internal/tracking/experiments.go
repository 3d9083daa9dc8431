package tracking

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

// CreateExperiment makes an experiment of a team. location is where its artifacts go, empty
// for the place of the platform. It answers CodeExists for a name that the team has.
func (s *Service) CreateExperiment(ctx context.Context, p slipway.Principal, team, name, location string, tags []Tag) (Experiment, error) {
	if err := checkExperimentName(name); err != nil {
		return Experiment{}, err
	}
	if err := checkLocation(location); err != nil {
		return Experiment{}, err
	}
	set := map[string]string{}
	for _, t := range tags {
		if err := checkExperimentTag(t); err != nil {
			return Experiment{}, err
		}
		set[t.Key] = t.Value
	}
	if team == DefaultTeam && name != DefaultName {
		if _, err := s.Default(ctx, p, team); err != nil { // MLflow's clients know it as the oldest
			return Experiment{}, err
		}
	}
	return s.addExperiment(ctx, p, Experiment{Name: name, Team: team, ArtifactLocation: location, Tags: sortedTags(set)}, s.millis())
}

func (s *Service) addExperiment(ctx context.Context, p slipway.Principal, e Experiment, created int64) (Experiment, error) {
	e.Stage, e.Created, e.Updated = Active, created, created
	place := func(id string) string { return s.root + "/" + id }
	out, err := s.stores.Experiments.AddExperiment(ctx, e, place, s.event(p, "experiment.created", "", map[string]string{"team": e.Team}))
	if errors.Is(err, &slipway.Error{Code: slipway.CodeExists}) {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeExists, "use it, or choose another name", "Experiment(name=%s) already exists.", short(e.Name))
	}
	return out, err
}

// Default is the id of a team's Default experiment, which is made on first use.
func (s *Service) Default(ctx context.Context, p slipway.Principal, team string) (string, error) {
	if id, ok := s.defaults.Load(team); ok {
		return id.(string), nil
	}
	e, err := s.stores.Experiments.ExperimentByName(ctx, team, DefaultName)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		e, err = s.addExperiment(ctx, p, Experiment{Name: DefaultName, Team: team}, s.millis()-1) // before what it is made for
		if errors.Is(err, &slipway.Error{Code: slipway.CodeExists}) {                             // somebody was faster
			e, err = s.stores.Experiments.ExperimentByName(ctx, team, DefaultName)
		}
	}
	if err != nil {
		return "", err
	}
	s.defaults.Store(team, e.ID)
	return e.ID, nil
}

// ExperimentID is what an id in a request of a team stands for: DefaultID, or none, for the
// team's Default.
func (s *Service) ExperimentID(ctx context.Context, p slipway.Principal, team, id string) (string, error) {
	if id == "" || id == DefaultID {
		return s.Default(ctx, p, team)
	}
	return id, nil
}

// Experiment finds an experiment, deleted or not.
func (s *Service) Experiment(ctx context.Context, teams []string, id string) (Experiment, error) {
	if _, ok := number(id); !ok {
		return Experiment{}, invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", short(id))
	}
	e, err := s.stores.Experiments.Experiment(ctx, teams, id)
	return e, missing(err, "No Experiment with id=%s exists", id)
}

// ExperimentByName finds an experiment of a team, deleted or not.
func (s *Service) ExperimentByName(ctx context.Context, team, name string) (Experiment, error) {
	e, err := s.stores.Experiments.ExperimentByName(ctx, team, name)
	return e, missing(err, "Could not find experiment with name '%s'", short(name))
}

// RenameExperiment gives an active experiment another name.
func (s *Service) RenameExperiment(ctx context.Context, p slipway.Principal, id, name string) error {
	if err := checkExperimentName(name); err != nil {
		return err
	}
	err := s.changeExperiment(ctx, id, []slipway.Event{s.event(p, "experiment.renamed", id, nil)}, func(e *Experiment) error {
		if e.Stage != Active {
			return stale("Cannot rename a non-active experiment.")
		}
		e.Name, e.Updated = name, s.millis()
		return nil
	})
	if errors.Is(err, &slipway.Error{Code: slipway.CodeExists}) {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeExists, "choose another name", "Experiment(name=%s) already exists.", short(name))
	}
	return err
}

// DeleteExperiment hides an active experiment and its runs until RestoreExperiment.
func (s *Service) DeleteExperiment(ctx context.Context, p slipway.Principal, id string) error {
	return s.move(ctx, p, id, "experiment.deleted", Active, Deleted)
}

// RestoreExperiment brings a deleted experiment and its runs back.
func (s *Service) RestoreExperiment(ctx context.Context, p slipway.Principal, id string) error {
	return s.move(ctx, p, id, "experiment.restored", Deleted, Active)
}

func (s *Service) move(ctx context.Context, p slipway.Principal, id, action, from, to string) error {
	return s.changeExperiment(ctx, id, []slipway.Event{s.event(p, action, id, nil)}, func(e *Experiment) error {
		if e.Stage != from {
			return gone("No Experiment with id=%s exists", id)
		}
		e.Stage, e.Updated = to, s.millis()
		return nil
	})
}

// SetExperimentTag gives an active experiment a tag.
func (s *Service) SetExperimentTag(ctx context.Context, id string, t Tag) error {
	if err := checkExperimentTag(t); err != nil {
		return err
	}
	return s.changeExperiment(ctx, id, nil, func(e *Experiment) error {
		if err := mustBeActive(e.ID, e.Stage); err != nil {
			return err
		}
		e.Tags = withTag(e.Tags, t)
		return nil
	})
}

// DeleteExperimentTag takes a tag from an active experiment.
func (s *Service) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return s.changeExperiment(ctx, id, nil, func(e *Experiment) error {
		if err := mustBeActive(e.ID, e.Stage); err != nil {
			return err
		}
		rest, had := withoutTag(e.Tags, key)
		if !had {
			return gone("No tag with name: %s in experiment with id %s", short(key), id)
		}
		e.Tags = rest
		return nil
	})
}

func (s *Service) changeExperiment(ctx context.Context, id string, events []slipway.Event, change func(*Experiment) error) error {
	if _, ok := number(id); !ok {
		return invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", short(id))
	}
	found := false
	err := s.stores.Experiments.ChangeExperiment(ctx, id, events, func(e *Experiment) error {
		found = true
		return change(e)
	})
	if !found {
		err = missing(err, "No Experiment with id=%s exists", id)
	}
	return err
}

// mustBeActive refuses to work on a deleted experiment.
func mustBeActive(id, stage string) error {
	if stage == Active {
		return nil
	}
	return stale("The experiment %s must be in the 'active' state. Current state is %s.", id, stage)
}

// SearchExperiments finds experiments of teams, and the token of the next page, empty for
// the last.
func (s *Service) SearchExperiments(ctx context.Context, teams []string, in Search) ([]Experiment, string, error) {
	if in.Max < 1 || in.Max > maxExperiments {
		return nil, "", invalid("Invalid value %d for parameter 'max_results' supplied: It must be a positive integer, at most %d", in.Max, maxExperiments)
	}
	where, err := query.Experiments.Filter(in.Filter)
	if err != nil {
		return nil, "", err
	}
	for i, c := range where {
		if where[i], err = experimentClause(c); err != nil {
			return nil, "", err
		}
	}
	order, err := query.Experiments.OrderBy(in.OrderBy)
	if err != nil {
		return nil, "", err
	}
	return s.stores.Experiments.SearchExperiments(ctx, ExperimentSearch{Teams: teams, View: in.View, Where: where, Order: order,
		Page: Page{in.Token, in.Max}, Question: query.Fingerprint([]any{"experiments", in.View, in.Filter, in.OrderBy})})
}

// experimentClause makes numbers of ids, which filters write as texts.
func experimentClause(c query.Clause) (query.Clause, error) {
	if c.Entity != query.Attribute {
		return c, nil
	}
	if c.Key != "experiment_id" {
		if c.Op == query.In || c.Op == query.NotIn {
			return c, invalid("Invalid comparator for string attribute: %s", c.Op)
		}
		return c, nil
	}
	if c.Op == query.Like || c.Op == query.ILike {
		return c, invalid("Invalid comparator for experiment_id: %s", c.Op)
	}
	ids, list := c.Value.([]string)
	if !list {
		ids = []string{c.Value.(string)}
	}
	numbers := make([]int64, len(ids))
	for i, id := range ids {
		n, ok := number(id)
		if !ok {
			return c, invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", short(id))
		}
		numbers[i] = n
	}
	c.Value = any(numbers)
	if !list {
		c.Value = numbers[0]
	}
	return c, nil
}

func sortedTags(set map[string]string) []Tag {
	out := make([]Tag, 0, len(set))
	for k, v := range set {
		out = append(out, Tag{k, v})
	}
	slices.SortFunc(out, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func searchTag(tags []Tag, key string) (int, bool) {
	return slices.BinarySearchFunc(tags, key, func(t Tag, key string) int { return strings.Compare(t.Key, key) })
}

// withTag sets a tag in a sorted list, which it may change.
func withTag(tags []Tag, t Tag) []Tag {
	i, found := searchTag(tags, t.Key)
	if found {
		tags[i].Value = t.Value
		return tags
	}
	return slices.Insert(tags, i, t)
}

func withoutTag(tags []Tag, key string) ([]Tag, bool) {
	i, found := searchTag(tags, key)
	if !found {
		return tags, false
	}
	return slices.Delete(tags, i, i+1), true
}
