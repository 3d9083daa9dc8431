package tracking

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Batch is what is logged in a run at once.
type Batch struct {
	Metrics []Metric
	Params  []Param
	Tags    []Tag
}

// LogBatch logs in an active run, all of it or nothing. Parameters that have the value
// already are accepted, those with another are CodeImmutable.
func (s *Service) LogBatch(ctx context.Context, run string, b Batch) error {
	if !runID.MatchString(run) {
		return invalid("Invalid value %s for parameter 'run_id' supplied.", quote(run))
	}
	b, err := b.checked()
	if err != nil {
		return err
	}
	return s.write(ctx, run, b, batched)
}

// LogMetric logs one measurement.
func (s *Service) LogMetric(ctx context.Context, run string, m Metric) error {
	if err := checkMetric(m, ""); err != nil {
		return err
	}
	m.Value = finite(m.Value)
	return s.write(ctx, run, Batch{Metrics: []Metric{m}}, batched)
}

// LogParam logs one parameter.
func (s *Service) LogParam(ctx context.Context, run string, p Param) error {
	p, err := checkParam(p, "")
	if err != nil {
		return err
	}
	return s.write(ctx, run, Batch{Params: []Param{p}}, alone)
}

// SetTag sets one tag.
func (s *Service) SetTag(ctx context.Context, run string, t Tag) error {
	t, err := checkTag(t, "")
	if err != nil {
		return err
	}
	return s.write(ctx, run, Batch{Tags: []Tag{t}}, batched)
}

// DeleteTag takes a tag away.
func (s *Service) DeleteTag(ctx context.Context, run, key string) error {
	return s.logged(ctx, run, func(_ string, now State) (Change, error) {
		rest, had := withoutTag(slices.Clone(now.Tags), key)
		if !had {
			return Change{}, gone("No tag with name: %s in run with id %s", short(key), run)
		}
		now.Tags = rest
		return Change{State: now, Untagged: []string{key}}, nil
	})
}

// ModelsTag is the tag in which MLflow 2 lists the models that a run logged, in JSON.
const ModelsTag = "mlflow.log-model.history"

// LogModelRecord notes a model of MLflow 2, described by the JSON of its MLmodel file.
func (s *Service) LogModelRecord(ctx context.Context, run, model string) error {
	record, err := modelRecord(model)
	if err != nil {
		return err
	}
	return s.logged(ctx, run, func(_ string, now State) (Change, error) {
		var history []json.RawMessage
		if before, ok := now.Tag(ModelsTag); ok {
			if err := json.Unmarshal([]byte(before), &history); err != nil {
				history = nil // a user has set the tag to something else
			}
		}
		b, err := json.Marshal(append(history, record))
		if err != nil {
			return Change{}, err
		}
		if len(b) > maxModelsTag {
			return Change{}, invalid("'%s' exceeds the maximum length of %d characters", ModelsTag, maxModelsTag)
		}
		return Batch{Tags: []Tag{{ModelsTag, string(b)}}}.change(run, now, batched)
	})
}

// modelRecord is what of a model's description MLflow keeps in the tag.
func modelRecord(model string) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(model), &all); err != nil {
		return nil, invalid("Malformed model info. \n %s \n is not a valid JSON.", short(model))
	}
	var lacks []string
	for _, k := range []string{"artifact_path", "flavors", "run_id", "utc_time_created"} {
		if _, ok := all[k]; !ok {
			lacks = append(lacks, "'"+k+"'")
		}
	}
	if lacks != nil {
		return nil, invalid("Model json is missing mandatory fields: {%s}", strings.Join(lacks, ", "))
	}
	var flavors map[string]map[string]json.RawMessage
	if err := json.Unmarshal(all["flavors"], &flavors); err != nil {
		return nil, invalid("Malformed model info. \n %s \n is not a valid JSON.", short(model))
	}
	for _, f := range flavors {
		delete(f, "config")
	}
	out := map[string]any{"flavors": flavors}
	for _, k := range []string{"run_id", "artifact_path", "utc_time_created", "model_uuid"} {
		if v, ok := all[k]; ok {
			out[k] = v
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(out)
	return bytes.TrimSpace(b.Bytes()), err
}

// How a conflict of parameters is told: MLflow has two ways.
type manner int

const (
	batched manner = iota
	alone
)

func (s *Service) write(ctx context.Context, run string, b Batch, how manner) error {
	return s.logged(ctx, run, func(_ string, now State) (Change, error) { return b.change(run, now, how) })
}

// logged runs decide on an active run.
func (s *Service) logged(ctx context.Context, run string, decide func(stage string, now State) (Change, error)) error {
	found := false
	err := s.stores.Log.Log(ctx, run, func(stage string, now State) (Change, error) {
		found = true
		if err := mustRun(run, stage); err != nil {
			return Change{}, err
		}
		return decide(stage, now)
	})
	if !found {
		err = missing(err, "Run with id=%s not found", short(run))
	}
	return err
}

// change decides what a batch changes in a run.
func (b Batch) change(run string, now State, how manner) (Change, error) {
	c := Change{State: State{Metrics: slices.Clone(now.Metrics), Params: slices.Clone(now.Params), Tags: slices.Clone(now.Tags)}, History: b.Metrics}
	var other []Param
	for _, p := range b.Params {
		i, found := slices.BinarySearchFunc(c.State.Params, p.Key, func(x Param, key string) int { return strings.Compare(x.Key, key) })
		switch {
		case !found:
			c.State.Params = slices.Insert(c.State.Params, i, p)
			c.Params = append(c.Params, p)
		case c.State.Params[i].Value != p.Value:
			other = append(other, c.State.Params[i], p)
		}
	}
	if other != nil {
		return Change{}, immutable(run, other, how)
	}
	c.latest(b.Metrics)
	for _, t := range b.Tags {
		if before, ok := c.State.Tag(t.Key); ok && before == t.Value {
			continue
		}
		c.State.Tags = withTag(c.State.Tags, t)
		c.Tags = append(slices.DeleteFunc(c.Tags, func(x Tag) bool { return x.Key == t.Key }), t)
		if t.Key == RunName {
			c.Name = t.Value
		}
	}
	return c, nil
}

// latest finds which measurements are the latest now, one of each key.
func (c *Change) latest(metrics []Metric) {
	changed := map[string]bool{}
	for _, m := range metrics {
		m = Metric{Key: m.Key, Value: m.Value, Timestamp: m.Timestamp, Step: m.Step}
		i, found := slices.BinarySearchFunc(c.State.Metrics, m.Key, func(x Metric, key string) int { return strings.Compare(x.Key, key) })
		switch {
		case !found:
			c.State.Metrics = slices.Insert(c.State.Metrics, i, m)
		case later(m, c.State.Metrics[i]):
			c.State.Metrics[i] = m
		default:
			continue
		}
		changed[m.Key] = true
	}
	for _, m := range c.State.Metrics {
		if changed[m.Key] {
			c.Latest = append(c.Latest, m)
		}
	}
}

// later says whether a measurement takes the place of another as the latest. NaN counts as
// zero, as MLflow stores it.
func later(a, b Metric) bool {
	zero := func(v float64) float64 {
		if math.IsNaN(v) {
			return 0
		}
		return v
	}
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(zero(a.Value), zero(b.Value))) > 0
}

// immutable tells of parameters that have another value: pairs of the old and the new.
func immutable(run string, pairs []Param, how manner) error {
	const next = "log it under another name, or in another run"
	if how == alone {
		return slipway.Errorf(slipway.Invalid, slipway.CodeImmutable, next,
			"Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run ID='%s'. Attempted logging new value '%s'.",
			pairs[0].Key, short(pairs[0].Value), run, short(pairs[1].Value))
	}
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, fmt.Sprintf("{'key': '%s', 'old_value': '%s', 'new_value': '%s'}", pairs[i].Key, short(pairs[i].Value), short(pairs[i+1].Value)))
	}
	return slipway.Errorf(slipway.Invalid, slipway.CodeImmutable, next,
		"Changing param values is not allowed. Params were already logged='[%s]' for run ID='%s'.", strings.Join(list, ", "), run)
}

// LogInputs notes what data sets and logged models an active run used.
func (s *Service) LogInputs(ctx context.Context, run string, datasets []DatasetInput, models []string) error {
	if !runID.MatchString(run) {
		return invalid("Invalid value %s for parameter 'run_id' supplied.", quote(run))
	}
	if err := checkInputs(datasets, models); err != nil {
		return err
	}
	return s.linked(run, func(check func(string) error) error {
		return s.stores.Log.AddInputs(ctx, run, datasets, models, check)
	})
}

// LogOutputs notes what logged models an active run made.
func (s *Service) LogOutputs(ctx context.Context, run string, models []ModelOutput) error {
	if err := checkOutputs(models); err != nil {
		return err
	}
	return s.linked(run, func(check func(string) error) error {
		return s.stores.Log.AddOutputs(ctx, run, models, check)
	})
}

func (s *Service) linked(run string, add func(check func(stage string) error) error) error {
	found := false
	err := add(func(stage string) error {
		found = true
		return mustRun(run, stage)
	})
	if !found {
		err = missing(err, "Run with id=%s not found", short(run))
	}
	return err
}
