package tracking

import (
	"context"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

// NewModel is a logged model that begins.
type NewModel struct {
	Experiment string // its id
	Name       *string
	Type       string
	SourceRun  string
	Params     []Param
	Tags       []Tag
}

// CreateModel makes a logged model whose files are still to come, in an active experiment
// that one of the teams has.
func (s *Service) CreateModel(ctx context.Context, p slipway.Principal, teams []string, n NewModel) (Model, error) {
	name, err := modelName(n.Name)
	if err != nil {
		return Model{}, err
	}
	e, err := s.Experiment(ctx, teams, n.Experiment)
	if err != nil {
		return Model{}, err
	}
	if err := mustBeActive(e.ID, e.Stage); err != nil {
		return Model{}, err
	}
	if err := checkModelText(n.Type, n.SourceRun); err != nil {
		return Model{}, err
	}
	now := s.millis()
	m := Model{ID: "m-" + id(), Name: name, ExperimentID: e.ID, Team: e.Team, Created: now, Updated: now, Status: Pending, Type: n.Type, SourceRun: n.SourceRun,
		Creator: p.ID, Stage: Active}
	m.ArtifactURI = below(e.ArtifactLocation, "models", m.ID, "artifacts")
	if m.Params, err = withParams(nil, n.Params); err != nil {
		return Model{}, err
	}
	if m.Tags, err = withModelTags(nil, n.Tags); err != nil {
		return Model{}, err
	}
	return m, s.stores.Models.AddModel(ctx, m, func(stage string) error { return mustBeActive(e.ID, stage) })
}

// Model finds a logged model that was not deleted.
func (s *Service) Model(ctx context.Context, teams []string, id string) (Model, error) {
	m, err := s.stores.Models.Model(ctx, teams, id)
	if err == nil && m.Stage != Active {
		err = noModel(id)
	}
	return m, missing(err, "Logged model with ID '%s' not found.", short(id))
}

func noModel(id string) error { return gone("Logged model with ID '%s' not found.", short(id)) }

// FinalizeModel says that a model's files have come, or failed to.
func (s *Service) FinalizeModel(ctx context.Context, p slipway.Principal, id, status string) (out Model, err error) {
	if !slices.Contains([]string{Pending, Ready, UploadFailed}, status) {
		return Model{}, invalid("Invalid value %s for parameter 'status' supplied.", quote(status))
	}
	err = s.changeModel(ctx, id, func(m *Model) ([]slipway.Event, error) {
		changed := m.Status != status
		m.Status, m.Updated = status, s.millis()
		out = *m
		if !changed {
			return nil, nil
		}
		return []slipway.Event{s.event(p, "logged_model.finalized", id, map[string]string{"experiment": m.ExperimentID, "status": status})}, nil
	})
	return out, err
}

// DeleteModel hides a logged model.
func (s *Service) DeleteModel(ctx context.Context, p slipway.Principal, id string) error {
	return s.changeModel(ctx, id, func(m *Model) ([]slipway.Event, error) {
		m.Stage, m.Updated = Deleted, s.millis()
		return []slipway.Event{s.event(p, "logged_model.deleted", id, map[string]string{"experiment": m.ExperimentID})}, nil
	})
}

// SetModelTags sets tags of a logged model.
func (s *Service) SetModelTags(ctx context.Context, id string, tags []Tag) error {
	return s.changeModel(ctx, id, func(m *Model) (_ []slipway.Event, err error) {
		m.Tags, err = withModelTags(m.Tags, tags)
		return nil, err
	})
}

// DeleteModelTag takes a tag from a logged model.
func (s *Service) DeleteModelTag(ctx context.Context, id, key string) error {
	return s.changeModel(ctx, id, func(m *Model) ([]slipway.Event, error) {
		rest, had := withoutTag(m.Tags, key)
		if !had {
			return nil, gone("No tag with key '%s' found for model with ID '%s'.", short(key), id)
		}
		m.Tags = rest
		return nil, nil
	})
}

// LogModelParams adds parameters to a logged model.
func (s *Service) LogModelParams(ctx context.Context, id string, params []Param) error {
	return s.changeModel(ctx, id, func(m *Model) (_ []slipway.Event, err error) {
		m.Params, err = withParams(m.Params, params)
		return nil, err
	})
}

// changeModel changes a model that was not deleted.
func (s *Service) changeModel(ctx context.Context, id string, change func(*Model) ([]slipway.Event, error)) error {
	found := false
	err := s.stores.Models.ChangeModel(ctx, id, func(m *Model) ([]slipway.Event, error) {
		found = true
		if m.Stage != Active {
			return nil, noModel(id)
		}
		return change(m)
	})
	if !found {
		err = missing(err, "Logged model with ID '%s' not found.", short(id))
	}
	return err
}

// ModelTerm is a term of an order of logged models, as MLflow's clients send it.
type ModelTerm struct {
	Field   string // an attribute, or "metrics." and a key
	Desc    bool
	Dataset DatasetFilter
}

// ModelsSearch is how logged models are searched for.
type ModelsSearch struct {
	Experiments []string
	Filter      string
	Datasets    []DatasetFilter
	OrderBy     []ModelTerm
	Max         int // 0: the default
	Token       string
}

// SearchModels finds logged models of experiments, and the token of the next page.
func (s *Service) SearchModels(ctx context.Context, teams []string, in ModelsSearch) ([]Model, string, error) {
	limit, err := bounded(in.Max, usualModels, maxModels)
	if err != nil {
		return nil, "", err
	}
	if err := checkExperiments(in.Experiments); err != nil {
		return nil, "", err
	}
	for _, d := range in.Datasets {
		if d.Name == "" {
			return nil, "", invalid("`dataset_name` in the `datasets` clause must be specified.")
		}
	}
	where, err := query.LoggedModels.Filter(in.Filter)
	if err != nil {
		return nil, "", err
	}
	for i, c := range where {
		where[i] = statusClause(c)
	}
	order, err := modelOrder(in.OrderBy)
	if err != nil || len(in.Experiments) == 0 {
		return nil, "", err
	}
	return s.stores.Models.SearchModels(ctx, ModelSearch{Teams: teams, Experiments: in.Experiments, Where: where, Datasets: in.Datasets, Order: order,
		Page: Page{in.Token, limit}, Question: query.Fingerprint([]any{"models", in.Experiments, in.Filter, in.Datasets, in.OrderBy})})
}

// statusClause takes the short names of statuses, which MLflow's own client shows.
func statusClause(c query.Clause) query.Clause {
	long := func(v string) string {
		if strings.HasPrefix(v, "LOGGED_MODEL_") {
			return v
		}
		return "LOGGED_MODEL_" + v
	}
	if c.Entity != query.Attribute || c.Key != "status" {
		return c
	}
	switch v := c.Value.(type) {
	case string:
		if c.Op == query.Equal || c.Op == query.NotEqual {
			c.Value = long(v)
		}
	case []string:
		out := make([]string, len(v))
		for i := range v {
			out[i] = long(v[i])
		}
		c.Value = out
	}
	return c
}

func modelOrder(terms []ModelTerm) ([]ModelOrder, error) {
	var out []ModelOrder
	for _, t := range terms {
		if t.Dataset.Digest != "" && t.Dataset.Name == "" {
			return nil, invalid("`dataset_digest` can only be specified if `dataset_name` is also specified.")
		}
		entity, key, dotted := strings.Cut(t.Field, ".")
		if dotted && entity != "metrics" {
			return nil, invalid("Invalid order by field name: %s. Only metrics are supported.", short(t.Field))
		}
		o := query.Order{Entity: query.Metric, Key: strings.Trim(key, "`\""), Desc: t.Desc}
		if !dotted {
			named, err := query.LoggedModels.OrderBy([]string{t.Field})
			if err != nil {
				return nil, err
			}
			o.Entity, o.Key = query.Attribute, named[0].Key
		}
		if slices.ContainsFunc(out, func(x ModelOrder) bool { return x.Order.Entity == o.Entity && x.Key == o.Key && x.Dataset == t.Dataset }) {
			continue // a second time it changes nothing
		}
		out = append(out, ModelOrder{Order: o, Dataset: t.Dataset})
	}
	return out, nil
}
