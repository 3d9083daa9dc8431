package trackingtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tracking"
)

func sortMetrics(all []tracking.Metric) {
	slices.SortFunc(all, func(a, b tracking.Metric) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Value, b.Value))
	})
}

// found gives the names of the runs that all pages of a search have, in their order.
func (f *fixture) found(experiments []string, in tracking.Search) (out []string) {
	f.Helper()
	for {
		page, token, err := f.s.SearchRuns(f.Context(), nil, experiments, in)
		f.ok(in.Filter, err)
		for _, r := range page {
			out = append(out, r.Name)
		}
		if in.Token = token; token == "" {
			return out
		}
	}
}

func testFilters(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	other := f.experiment("risk", "other")
	a := f.run(e, "a", tracking.Tag{Key: "mlflow.user", Value: "ada"})
	b := f.run(e, "b", tracking.Tag{Key: "mlflow.user", Value: "BOB's"})
	c := f.run(e, "c")
	f.run(other, "d")
	f.log(a, map[string]float64{"acc": 0.5, "x y": 1}, map[string]string{"depth": "8", "w": "100%_\\"})
	f.log(b, map[string]float64{"acc": 0.75}, map[string]string{"depth": "16", "long": strings.Repeat("l", 300) + "1"})
	f.log(c, map[string]float64{"acc": math.NaN()}, map[string]string{"depth": "8", "long": strings.Repeat("l", 300) + "2"})
	_, err := f.s.UpdateRun(ctx, ada, b, tracking.RunUpdate{Status: "FINISHED", End: new(int64(77))})
	f.ok("end", err)
	for filter, want := range map[string]string{
		"":                       "c b a",
		"metrics.acc > 0.5":      "b",
		"metrics.acc >= 0.5":     "b a",
		"metrics.acc != 0.5":     "c b",
		"metrics.acc < 1e300":    "b a",
		"metrics.acc = 0":        "",
		"metrics.`x y` = 1":      "a",
		"metric.none > 0":        "",
		"params.depth = '8'":     "c a",
		"params.depth != '8'":    "b",
		"params.depth LIKE '1%'": "b",
		"params.long LIKE 'l%'":  "c b",
		`params.long = "` + strings.Repeat("l", 300) + `2"`: "c",
		`params.w LIKE '100\%\_\\'`:                         "",
		`params.w LIKE '100%_\'`:                            "a",
		"params.long IS NULL":                               "a",
		"params.long IS NOT NULL AND metrics.acc > 0":       "b",
		"tags.mlflow.user = 'ada'":                          "a",
		"tags.`mlflow.user` LIKE 'b%'":                      "",
		"tags.`mlflow.user` ILIKE 'b%'":                     "b",
		"tags.`mlflow.user` = \"BOB's\"":                    "b",
		"tags.`mlflow.user` != 'x'":                         "b a",
		"tag.none IS NULL":                                  "c b a",
		"status = 'FINISHED'":                               "b",
		"attributes.status != 'FINISHED'":                   "c a",
		"end_time > 76":                                     "b",
		"end_time != 3":                                     "b",
		"start_time < 1":                                    "",
		"run_id = '" + a + "'":                              "a",
		"run_id IN ('" + a + "', '" + c + "')":              "c a",
		"run_id NOT IN ('" + a + "')":                       "c b",
		"run_name ILIKE 'A'":                                "a",
		"attr.`run name` = 'c'":                             "c",
		"user_id = 'ada' AND artifact_uri LIKE 'mlflow-artifacts:/1/%/artifacts'": "c b a",
		"metrics.acc > 0 AND params.depth = '8' AND tags.mlflow.user = 'ada'":     "a",
		"params.depth = '8'' OR ''1''=''1'":                                       "",
		"params.`x'; DROP TABLE run; --` = 'y'":                                   "",
	} {
		for size := 1; size <= 3; size++ {
			f.same(filter, want, strings.Join(f.found([]string{e}, tracking.Search{Filter: filter, Max: size}), " "), nil)
		}
	}
	f.same("two experiments", "d c b a", strings.Join(f.found([]string{e, other}, tracking.Search{Max: 3}), " "), nil)
	f.same("no such experiment", "", strings.Join(f.found([]string{"77"}, tracking.Search{}), " "), nil)
	f.same("none", "", strings.Join(f.found(nil, tracking.Search{}), " "), nil)
	f.ok("delete", f.s.DeleteRun(ctx, ada, b))
	f.same("active", "c a", strings.Join(f.found([]string{e}, tracking.Search{}), " "), nil)
	f.same("deleted", "b", strings.Join(f.found([]string{e}, tracking.Search{View: tracking.DeletedOnly}), " "), nil)
	f.same("all", "c b a", strings.Join(f.found([]string{e}, tracking.Search{View: tracking.All, Max: 2}), " "), nil)
}

func testSearchRefused(f *fixture) {
	ctx, e := f.Context(), f.experiment("risk", "e")
	for filter, text := range map[string]string{"metrics.a = 'x'": "Expected numeric value type for metric", "x = 'y'": "Invalid attribute key"} {
		_, _, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Filter: filter})
		f.refused(filter, err, slipway.Invalid, text)
	}
	_, _, err := f.s.SearchRuns(ctx, nil, []string{"x"}, tracking.Search{})
	f.refused("experiment", err, slipway.Invalid, "Invalid experiment ID 'x'")
	_, _, err = f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Max: 50_001})
	f.refused("many", err, slipway.Invalid, "at most 50000")
}

func testOrders(f *fixture) {
	e := f.experiment("risk", "e")
	for name, m := range map[string]map[string]float64{"one": {"m": 1}, "two": {"m": 2}, "nan": {"m": math.NaN()}, "low": {"m": -inf}, "high": {"m": inf}} {
		run := f.run(e, name, tracking.Tag{Key: "t", Value: "t-" + name})
		f.log(run, m, map[string]string{"p": "p-" + name})
	}
	f.run(e, "none")
	for order, want := range map[string]string{
		"metrics.m":               "low one two high nan none",
		"metric.m DESC":           "high two one low nan none",
		"params.p":                "high low nan one two none",
		"params.`p` DESC":         "two one nan low high none",
		"tags.t desc":             "two one nan low high none",
		"run_name":                "high low nan none one two",
		"attribute.run_name DESC": "two one none nan low high",
	} {
		for size := 1; size <= 7; size++ {
			f.same(order, want, strings.Join(f.found([]string{e}, tracking.Search{OrderBy: []string{order}, Max: size}), " "), nil)
		}
	}
	f.same("two terms", "high low nan none one two", strings.Join(f.found([]string{e}, tracking.Search{OrderBy: []string{"status", "end_time DESC", "run_name ASC"}, Max: 2}), " "), nil)
	f.same("filtered", "two one", strings.Join(f.found([]string{e}, tracking.Search{Filter: "metrics.m > 0 AND metrics.m < 3", OrderBy: []string{"metrics.m DESC"}, Max: 1}), " "), nil)
}

func testPages(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	var want []string
	for i := range 25 {
		name := fmt.Sprint(i)
		r, err := f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: e, Name: name, Start: int64(i / 5)}) // many start together
		f.ok("run", err)
		f.log(r.ID, map[string]float64{"m": float64(i % 3)}, nil)
	}
	want = f.found([]string{e}, tracking.Search{})
	for _, size := range []int{1, 2, 5, 24, 25, 26} {
		f.same(fmt.Sprint("pages of ", size), want, f.found([]string{e}, tracking.Search{Max: size}), nil)
	}
	page, token, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Max: 25})
	f.same("an exact page has no next", "25 ", fmt.Sprint(len(page), " ", token), err)
	// What is written between two pages moves nothing.
	in := tracking.Search{Max: 10}
	first, token, err := f.s.SearchRuns(ctx, nil, []string{e}, in)
	f.ok("first", err)
	f.run(e, "new")
	f.ok("delete", f.s.DeleteRun(ctx, ada, first[3].ID))
	in.Token = token
	second, _, err := f.s.SearchRuns(ctx, nil, []string{e}, in)
	f.same("the second page", want[10], second[0].Name, err)
	for _, bad := range []string{"x", "e30=", token + "A", token[:10]} {
		_, _, err = f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Token: bad})
		f.refused("token "+bad, err, slipway.Invalid, "Invalid page token")
	}
	for what, in := range map[string]tracking.Search{"filter": {Filter: "metrics.m > 0"}, "order": {OrderBy: []string{"metrics.m"}}, "view": {View: tracking.All}} {
		in.Token = token
		_, _, err = f.s.SearchRuns(ctx, nil, []string{e}, in)
		f.refused("a token with another "+what, err, slipway.Invalid, "Invalid page token, it is of another query")
	}
	_, _, err = f.s.SearchRuns(ctx, nil, []string{f.experiment("risk", "other")}, tracking.Search{Token: token})
	f.refused("a token of another experiment", err, slipway.Invalid, "Invalid page token")
}

func testModels(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	run := f.run(e, "r")
	name := "trees"
	m, err := f.s.CreateModel(ctx, ada, []string{"risk"}, tracking.NewModel{Experiment: e, Name: &name, Type: "xgboost", SourceRun: run, Params: []tracking.Param{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}, Tags: []tracking.Tag{{Key: "t", Value: "v"}}})
	want := tracking.Model{ID: m.ID, Name: "trees", ExperimentID: e, Team: "risk", ArtifactURI: "mlflow-artifacts:/1/models/" + m.ID + "/artifacts", Created: m.Created, Updated: m.Created, Status: "LOGGED_MODEL_PENDING",
		Type: "xgboost", SourceRun: run, Creator: "ada", Stage: "active", Params: []tracking.Param{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, Tags: []tracking.Tag{{Key: "t", Value: "v"}}}
	f.same("created", want, m, err)
	f.same("id", true, len(m.ID) == 34 && strings.HasPrefix(m.ID, "m-"), nil)
	got, err := f.s.Model(ctx, nil, m.ID)
	f.same("found", want, got, err)

	f.ok("tags", f.s.SetModelTags(ctx, m.ID, []tracking.Tag{{Key: "t", Value: "w"}, {Key: "u", Value: "x"}}))
	f.ok("untag", f.s.DeleteModelTag(ctx, m.ID, "u"))
	f.refused("untag again", f.s.DeleteModelTag(ctx, m.ID, "u"), slipway.NotFound, "No tag with key 'u' found for model with ID '"+m.ID+"'.")
	f.ok("params", f.s.LogModelParams(ctx, m.ID, []tracking.Param{{Key: "c", Value: "3"}, {Key: "a", Value: "1"}}))
	f.refused("a param again", f.s.LogModelParams(ctx, m.ID, []tracking.Param{{Key: "c", Value: "4"}}), slipway.Invalid, "Changing param values is not allowed")
	got, err = f.s.FinalizeModel(ctx, ada, m.ID, "LOGGED_MODEL_READY")
	f.same("ready", "LOGGED_MODEL_READY", got.Status, err)
	_, err = f.s.FinalizeModel(ctx, ada, m.ID, "READY")
	f.refused("status", err, slipway.Invalid, `Invalid value "READY" for parameter 'status'`)

	metrics := []tracking.Metric{{Key: "acc", Value: 0.5, Timestamp: 1, ModelID: m.ID, DatasetName: "d", DatasetDigest: "1"}, {Key: "acc", Value: math.NaN(), Timestamp: 2, Step: 1, ModelID: m.ID}}
	f.ok("metrics", f.s.LogBatch(ctx, run, tracking.Batch{Metrics: append(metrics, tracking.Metric{Key: "own", Value: 1})}))
	f.ok("again", f.s.LogMetric(ctx, run, metrics[0]))
	f.refused("of nothing", f.s.LogMetric(ctx, run, tracking.Metric{Key: "x", ModelID: "m-x"}), slipway.NotFound, "Logged model with ID 'm-x' not found.")
	metrics[0].RunID, metrics[1].RunID = run, run
	got, err = f.s.Model(ctx, nil, m.ID)
	f.same("metrics", metrics, got.Metrics, err)
	f.same("tags", []tracking.Tag{{Key: "t", Value: "w"}}, got.Tags, nil)
	f.same("params", []tracking.Param{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}, got.Params, nil)
	r, err := f.s.Run(ctx, nil, run)
	f.same("of the run", 2, len(r.Metrics), err)

	f.ok("delete", f.s.DeleteModel(ctx, ada, m.ID))
	_, err = f.s.Model(ctx, nil, m.ID)
	f.refused("deleted", err, slipway.NotFound, "Logged model with ID '"+m.ID+"' not found.")
	f.refused("delete again", f.s.DeleteModel(ctx, ada, m.ID), slipway.NotFound, "not found")
	f.refused("nothing", f.s.DeleteModel(ctx, ada, "m-x"), slipway.NotFound, "Logged model with ID 'm-x' not found.")
	f.same("events", []string{"experiment.created 1", "run.created " + run, "logged_model.finalized " + m.ID, "logged_model.deleted " + m.ID}, f.actions(), nil)
	for _, bad := range []string{"", "a/b", "a:b", "a.b", "a%", `a"`, "a'"} {
		_, err := f.s.CreateModel(ctx, ada, nil, tracking.NewModel{Experiment: e, Name: &bad})
		f.refused("name "+bad, err, slipway.Invalid, "Model name must be a non-empty string and cannot contain the following characters")
	}
	nameless, err := f.s.CreateModel(ctx, ada, nil, tracking.NewModel{Experiment: e})
	f.same("a random name", 2, strings.Count(nameless.Name, "-"), err)
}

// models gives the names of the models that all pages of a search have.
func (f *fixture) models(in tracking.ModelsSearch) string {
	f.Helper()
	var out []string
	for {
		page, token, err := f.s.SearchModels(f.Context(), nil, in)
		f.ok(in.Filter, err)
		for _, m := range page {
			out = append(out, m.Name)
		}
		if in.Token = token; token == "" {
			return strings.Join(out, " ")
		}
	}
}

func testModelSearch(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	run := f.run(e, "r")
	for i, name := range []string{"a", "b", "c", "d"} {
		n := tracking.NewModel{Experiment: e, Name: &name, Type: "t" + name, Params: []tracking.Param{{Key: "lr", Value: fmt.Sprintf("0.0%d", i)}}, Tags: []tracking.Tag{{Key: "k", Value: name}}}
		if i < 2 {
			n.SourceRun = run
		}
		m, err := f.s.CreateModel(ctx, ada, nil, n)
		f.ok("model", err)
		if i == 3 {
			continue
		}
		for step := range int64(3) {
			f.ok("metric", f.s.LogMetric(ctx, run, tracking.Metric{Key: "acc", Value: float64(i) + 10*float64(step), Timestamp: step, Step: step, ModelID: m.ID, DatasetName: []string{"train", "test"}[i%2], DatasetDigest: "1"}))
		}
		_, err = f.s.FinalizeModel(ctx, ada, m.ID, "LOGGED_MODEL_READY")
		f.ok("ready", err)
	}
	for filter, want := range map[string]string{
		"": "d c b a", "name = 'a'": "a", "name IN ('a', 'd')": "d a", "name NOT IN ('a')": "d c b", "model_type LIKE 't%' AND attributes.name != 'b'": "d c a", "source_run_id = '" + run + "'": "b a",
		"status = 'READY'": "c b a", "status != 'LOGGED_MODEL_READY'": "d", "params.lr = 0.01": "b", "params.lr = '0.01'": "b", "tags.k ILIKE 'C'": "c", "metrics.acc > 21": "c", "metrics.acc >= 0": "c b a",
		"creation_timestamp > 5 AND last_updated_timestamp > 5": "d c b a", "metrics.acc > 21 AND name = 'a'": "",
	} {
		for size := 1; size <= 5; size++ {
			f.same(filter, want, f.models(tracking.ModelsSearch{Experiments: []string{e}, Filter: filter, Max: size}), nil)
		}
	}
	for want, order := range map[string]tracking.ModelTerm{
		"c b a d": {Field: "metrics.acc", Desc: true}, "a b c d": {Field: "name"}, "b d c a": {Field: "metrics.acc", Dataset: tracking.DatasetFilter{Name: "test"}}, "d c b a": {Field: "creation_time", Desc: true},
	} {
		for size := 1; size <= 5; size++ {
			f.same(order.Field, want, f.models(tracking.ModelsSearch{Experiments: []string{e}, OrderBy: []tracking.ModelTerm{order}, Max: size}), nil)
		}
	}
	f.same("on data", "c a", f.models(tracking.ModelsSearch{Experiments: []string{e}, Datasets: []tracking.DatasetFilter{{Name: "train"}}}), nil)
	f.same("on other data", "", f.models(tracking.ModelsSearch{Experiments: []string{e}, Datasets: []tracking.DatasetFilter{{Name: "train", Digest: "2"}}}), nil)
	f.same("measured on data", "b", f.models(tracking.ModelsSearch{Experiments: []string{e}, Filter: "metrics.acc > 20", Datasets: []tracking.DatasetFilter{{Name: "test"}}}), nil)
	for text, in := range map[string]tracking.ModelsSearch{
		"Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', 'tags'].": {Filter: "metric.x > 1"},
		"Only metrics are supported.":                            {OrderBy: []tracking.ModelTerm{{Field: "params.x"}}},
		"Invalid order by field name: x":                         {OrderBy: []tracking.ModelTerm{{Field: "x"}}},
		"`dataset_name` in the `datasets` clause":                {Datasets: []tracking.DatasetFilter{{Digest: "x"}}},
		"only be specified if `dataset_name` is also specified.": {OrderBy: []tracking.ModelTerm{{Field: "metrics.x", Dataset: tracking.DatasetFilter{Digest: "1"}}}},
	} {
		in.Experiments = []string{e}
		_, _, err := f.s.SearchModels(ctx, nil, in)
		f.refused(text, err, slipway.Invalid, text)
	}
}
