// Package trackingtest is the conformance suite of the stores of tracking, tested through
// the service that works on them.
package trackingtest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slipway-ml/slipway"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Open gives empty stores and the record of their events.
type Open func(t *testing.T) (tracking.Stores, eventtest.Reader)

// Run tests stores of experiments, runs and logged models.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"experiments live, die and come back", testExperiments},
		{"every team has its Default", testDefault},
		{"the Default of the default team is the oldest", testOldest},
		{"experiments are found in pages", testExperimentSearch},
		{"what a team may not see is not there", testTeams},
		{"a run lives, dies and comes back", testRun},
		{"runs are validated as MLflow does", testRunRefused},
		{"what is logged comes back", testLog},
		{"the latest of a metric", testLatest},
		{"parameters do not change", testParams},
		{"a batch is logged whole or not at all", testBatch},
		{"long histories come in pages", testHistory},
		{"histories of many runs, and samples", testHistories},
		{"inputs and outputs", testLinks},
		{"filters of runs", testFilters},
		{"searches that cannot be read", testSearchRefused},
		{"orders of runs", testOrders},
		{"pages of runs", testPages},
		{"logged models", testModels},
		{"searches for logged models", testModelSearch},
		{"searches agree with a model", testAgainstModel},
		{"what is logged at once by many is all there", testConcurrently},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores, events := open(t)
			f := &fixture{T: t, stores: stores, events: events, now: time.UnixMilli(1_800_000_000_000)}
			f.s = tracking.New(stores, "mlflow-artifacts:", func() time.Time { f.now = f.now.Add(time.Millisecond); return f.now })
			c.test(f)
		})
	}
}

type fixture struct {
	*testing.T

	s      *tracking.Service
	stores tracking.Stores
	events eventtest.Reader
	now    time.Time
}

var ada = slipway.Principal{ID: "ada", Kind: slipway.Person}

func (f *fixture) same(what string, want, got any, err error) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); err != nil || diff != "" {
		f.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
}

// refused wants an error of a kind whose message has a text.
func (f *fixture) refused(what string, err error, kind slipway.Kind, text string) {
	f.Helper()
	e := &slipway.Error{}
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message, text) || e.Next == "" {
		f.Errorf("%s: %v, want kind %d with %q", what, err, kind, text)
	}
}

func (f *fixture) ok(what string, err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v %v", what, err, slipway.AsError(err).Cause)
	}
}

func (f *fixture) experiment(team, name string) string {
	f.Helper()
	e, err := f.s.CreateExperiment(f.Context(), ada, team, name, "", nil)
	f.ok("experiment "+name, err)
	return e.ID
}

func (f *fixture) run(experiment, name string, tags ...tracking.Tag) string {
	f.Helper()
	r, err := f.s.CreateRun(f.Context(), ada, nil, tracking.NewRun{Experiment: experiment, User: "ada", Name: name, Start: f.now.UnixMilli(), Tags: tags})
	f.ok("run "+name, err)
	return r.ID
}

func (f *fixture) log(run string, metrics map[string]float64, params map[string]string) {
	f.Helper()
	var b tracking.Batch
	for k, v := range metrics {
		b.Metrics = append(b.Metrics, tracking.Metric{Key: k, Value: v, Timestamp: 1, Step: 0})
	}
	for k, v := range params {
		b.Params = append(b.Params, tracking.Param{Key: k, Value: v})
	}
	f.ok("log", f.s.LogBatch(f.Context(), run, b))
}

// actions are those of all events.
func (f *fixture) actions() (out []string) {
	f.Helper()
	for _, e := range eventtest.All(f.T, f.events) {
		out = append(out, e.Action+" "+e.Subject)
	}
	return out
}

func testExperiments(f *fixture) {
	ctx := f.Context()
	e, err := f.s.CreateExperiment(ctx, ada, "risk", "fraud ü", "", []tracking.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}})
	want := tracking.Experiment{ID: "1", Name: "fraud ü", Team: "risk", ArtifactLocation: "mlflow-artifacts:/1", Stage: "active", Created: 1_800_000_000_001, Updated: 1_800_000_000_001,
		Tags: []tracking.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}}
	f.same("created", want, e, err)
	got, err := f.s.Experiment(ctx, nil, "1")
	f.same("found", want, got, err)
	got, err = f.s.ExperimentByName(ctx, "risk", "fraud ü")
	f.same("found by name", want, got, err)
	_, err = f.s.CreateExperiment(ctx, ada, "risk", "fraud ü", "", nil)
	f.refused("twice", err, slipway.Conflict, "Experiment(name=fraud ü) already exists.")
	f.same("its code", true, errors.Is(err, &slipway.Error{Code: slipway.CodeExists}), nil)
	other, err := f.s.CreateExperiment(ctx, ada, "ads", "fraud ü", "s3://bucket/x", nil)
	f.same("of another team", "2 s3://bucket/x", other.ID+" "+other.ArtifactLocation, err)

	run := f.run("1", "one")
	f.ok("rename", f.s.RenameExperiment(ctx, ada, "1", "new"))
	f.refused("rename to what is there", f.s.RenameExperiment(ctx, ada, "1", strings.Repeat("x", 501)), slipway.Invalid, "'name' exceeds the maximum length of 500 characters")
	f.ok("tag", f.s.SetExperimentTag(ctx, "1", tracking.Tag{Key: "a", Value: "3"}))
	f.ok("untag", f.s.DeleteExperimentTag(ctx, "1", "b"))
	f.refused("untag again", f.s.DeleteExperimentTag(ctx, "1", "b"), slipway.NotFound, "No tag with name: b in experiment with id 1")
	f.ok("delete", f.s.DeleteExperiment(ctx, ada, "1"))
	f.refused("delete again", f.s.DeleteExperiment(ctx, ada, "1"), slipway.NotFound, "No Experiment with id=1 exists")
	f.refused("tag", f.s.SetExperimentTag(ctx, "1", tracking.Tag{Key: "a", Value: "3"}), slipway.Invalid, "The experiment 1 must be in the 'active' state. Current state is deleted.")
	f.refused("rename", f.s.RenameExperiment(ctx, ada, "1", "x"), slipway.Invalid, "Cannot rename a non-active experiment.")
	_, err = f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: "1"})
	f.refused("a run of it", err, slipway.Invalid, "The experiment 1 must be in the 'active' state. Current state is deleted.")
	got, err = f.s.ExperimentByName(ctx, "risk", "new")
	f.same("still there", "deleted", got.Stage, err)
	f.same("tags", []tracking.Tag{{Key: "a", Value: "3"}}, got.Tags, nil)
	r, err := f.s.Run(ctx, nil, run)
	f.same("its run", "deleted", r.Stage, err)
	f.ok("restore", f.s.RestoreExperiment(ctx, ada, "1"))
	r, err = f.s.Run(ctx, nil, run)
	f.same("its run", "active", r.Stage, err)
	f.refused("restore again", f.s.RestoreExperiment(ctx, ada, "1"), slipway.NotFound, "No Experiment with id=1 exists")
	for _, id := range []string{"9", "99999999999999999999", "x", "-1", ""} {
		_, err := f.s.Experiment(ctx, nil, id)
		if kind := slipway.AsError(err).Kind; err == nil || kind != slipway.NotFound && kind != slipway.Invalid {
			f.Errorf("experiment %q: %v", id, err)
		}
	}
	f.same("events", []string{"experiment.created 1", "experiment.created 2", "run.created " + run, "experiment.renamed 1", "experiment.deleted 1", "experiment.restored 1"}, f.actions(), nil)
	for location, text := range map[string]string{"s3://b/x#y": "can't include fragments or params", "s3://b/x?y=1": "fragments or params", "runs:/x": "cannot be a runs:/ URI", "http://[::1": "not a valid URI"} {
		_, err = f.s.CreateExperiment(ctx, ada, "risk", "l", location, nil)
		f.refused(location, err, slipway.Invalid, text)
	}
	_, err = f.s.CreateExperiment(ctx, ada, "risk", "", "", nil)
	f.refused("no name", err, slipway.Invalid, "Invalid experiment name: ''")
	_, err = f.s.CreateExperiment(ctx, ada, "risk", "a\x00b", "", nil)
	f.refused("NUL", err, slipway.Invalid, "NUL")
}

func testDefault(f *fixture) {
	ctx := f.Context()
	for range 2 {
		id, err := f.s.Default(ctx, ada, "default")
		f.same("of the default team", "0", id, err)
		id, err = f.s.ExperimentID(ctx, ada, "risk", "0")
		f.same("of another", "1", id, err)
		id, err = f.s.ExperimentID(ctx, ada, "ads", "")
		f.same("of a third", "2", id, err)
	}
	e, err := f.s.Experiment(ctx, []string{"risk"}, "1")
	f.same("its name", "Default of risk in mlflow-artifacts:/1", e.Name+" of "+e.Team+" in "+e.ArtifactLocation, err)
	id, err := f.s.ExperimentID(ctx, ada, "risk", "7")
	f.same("another id", "7", id, err)
}

func testOldest(f *fixture) {
	f.s = tracking.New(f.stores, "mlflow-artifacts:", func() time.Time { return f.now }) // in one millisecond
	f.experiment("default", "one")
	f.same("names", []string{"one", "Default"}, f.names(nil, tracking.Search{Max: 5}), nil)
}

func (f *fixture) names(teams []string, in tracking.Search) (out []string) {
	f.Helper()
	for {
		page, token, err := f.s.SearchExperiments(f.Context(), teams, in)
		f.ok("search", err)
		if len(page) > in.Max {
			f.Errorf("a page has %d", len(page))
		}
		for _, e := range page {
			out = append(out, e.Name)
		}
		if in.Token = token; token == "" {
			return out
		}
	}
}

func testExperimentSearch(f *fixture) {
	ctx := f.Context()
	for i := range 7 {
		_, err := f.s.CreateExperiment(ctx, ada, []string{"risk", "ads"}[i%2], fmt.Sprintf("e%d", i), "", []tracking.Tag{{Key: "n", Value: fmt.Sprint(i)}, {Key: fmt.Sprintf("k-%d.x", i), Value: "A"}})
		f.ok("create", err)
	}
	f.ok("delete", f.s.DeleteExperiment(ctx, ada, "4"))
	for filter, want := range map[string][]string{
		"":                                 {"e6", "e5", "e4", "e2", "e1", "e0"},
		"name = 'e1'":                      {"e1"},
		"name LIKE 'E%'":                   nil,
		"name ILIKE 'E%' AND name != 'e0'": {"e6", "e5", "e4", "e2", "e1"},
		"tags.n = '2'":                     {"e2"},
		"tags.n != '2'":                    {"e6", "e5", "e4", "e1", "e0"},
		"tags.`k-1.x` ILIKE 'a'":           {"e1"},
		"tags.`k-1.x` IS NULL":             {"e6", "e5", "e4", "e2", "e0"},
		"tags.`k-1.x` IS NOT NULL":         {"e1"},
		"experiment_id = '2'":              {"e1"},
		"experiment_id IN ('1', '3')":      {"e2", "e0"},
		"name LIKE 'e\\%'":                 nil,
		"name = 'x'' OR 1=1 --'":           nil,
	} {
		f.same(filter, want, f.names(nil, tracking.Search{Filter: filter, Max: 2}), nil)
	}
	e, err := f.s.Experiment(ctx, nil, "5")
	f.ok("experiment", err)
	f.same("by time", []string{"e6", "e5", "e4"}, f.names(nil, tracking.Search{Filter: fmt.Sprintf("creation_time >= %d", e.Created), Max: 2}), nil)
	f.same("deleted", []string{"e3"}, f.names(nil, tracking.Search{View: tracking.DeletedOnly, Max: 5}), nil)
	f.same("all", 7, len(f.names(nil, tracking.Search{View: tracking.All, Max: 3})), nil)
	f.same("by name", []string{"e0", "e1", "e2", "e4", "e5", "e6"}, f.names(nil, tracking.Search{OrderBy: []string{"name ASC"}, Max: 4}), nil)
	f.same("of a team", []string{"e5", "e1"}, f.names([]string{"ads"}, tracking.Search{Max: 1}), nil)
	f.same("of no team", []string(nil), f.names([]string{}, tracking.Search{Max: 1}), nil)
	_, token, err := f.s.SearchExperiments(ctx, nil, tracking.Search{Max: 2})
	f.ok("search", err)
	_, _, err = f.s.SearchExperiments(ctx, nil, tracking.Search{Max: 2, Token: token, Filter: "name != 'x'"})
	f.refused("another query's token", err, slipway.Invalid, "Invalid page token")
	for in, text := range map[*tracking.Search]string{
		{}: "max_results", {Max: 50_001}: "max_results", {Max: 1, Filter: "experiment_id = 'x'"}: "Invalid experiment ID 'x'", {Max: 1, Filter: "experiment_id LIKE '1'"}: "Invalid comparator for experiment_id",
	} {
		_, _, err = f.s.SearchExperiments(ctx, nil, *in)
		f.refused(text, err, slipway.Invalid, text)
	}
}

func testTeams(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "secret")
	run := f.run(e, "one")
	m, err := f.s.CreateModel(ctx, ada, nil, tracking.NewModel{Experiment: e})
	f.ok("model", err)
	for _, teams := range [][]string{{"ads"}, {}} {
		_, err = f.s.Experiment(ctx, teams, e)
		f.refused("experiment", err, slipway.NotFound, "No Experiment with id=1 exists")
		_, err = f.s.Run(ctx, teams, run)
		f.refused("run", err, slipway.NotFound, "Run with id="+run+" not found")
		_, _, err = f.s.RunOwner(ctx, teams, run)
		f.refused("owner", err, slipway.NotFound, "not found")
		_, err = f.s.Model(ctx, teams, m.ID)
		f.refused("model", err, slipway.NotFound, "Logged model with ID '"+m.ID+"' not found.")
		_, err = f.s.CreateRun(ctx, ada, teams, tracking.NewRun{Experiment: e})
		f.refused("create", err, slipway.NotFound, "No Experiment with id=1 exists")
		runs, token, err := f.s.SearchRuns(ctx, teams, []string{e}, tracking.Search{})
		f.same("runs", 0, len(runs)+len(token), err)
		models, token, err := f.s.SearchModels(ctx, teams, tracking.ModelsSearch{Experiments: []string{e}})
		f.same("models", 0, len(models)+len(token), err)
		history, err := f.s.MetricHistories(ctx, teams, []string{run}, "x", 10)
		f.same("histories", 0, len(history), err)
		_, err = f.s.SampleHistories(ctx, teams, []string{run}, "x", nil, nil, 10)
		f.refused("samples", err, slipway.NotFound, "not found")
		sets, err := f.s.SearchDatasets(ctx, teams, []string{e})
		f.same("data sets", 0, len(sets), err)
	}
	_, err = f.s.Run(ctx, []string{"ads", "risk"}, run)
	f.ok("of one of two teams", err)
	// A model is measured by runs of its own team only.
	other := f.run(f.experiment("ads", "e"), "two")
	err = f.s.LogMetric(ctx, other, tracking.Metric{Key: "x", Value: 1, Timestamp: 1, ModelID: m.ID})
	f.refused("a metric of another team's model", err, slipway.NotFound, "Logged model with ID")
	r, err := f.s.Run(ctx, nil, other)
	f.same("nothing of it", 0, len(r.Metrics), err)
}

var inf = math.Inf(1)
