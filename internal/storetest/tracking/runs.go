package trackingtest

import (
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tracking"
)

func testRun(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	r, err := f.s.CreateRun(ctx, ada, []string{"risk"}, tracking.NewRun{Experiment: e, User: "ada", Name: "first", Start: 42, Tags: []tracking.Tag{{Key: "mlflow.user", Value: "ada"}}})
	want := tracking.Run{ID: r.ID, Name: "first", ExperimentID: e, Team: "risk", User: "ada", Status: "RUNNING", Start: 42, ArtifactURI: "mlflow-artifacts:/1/" + r.ID + "/artifacts", Stage: "active",
		State: tracking.State{Tags: []tracking.Tag{{Key: "mlflow.runName", Value: "first"}, {Key: "mlflow.user", Value: "ada"}}}}
	f.same("created", want, r, err)
	f.same("its id", 32, len(r.ID), nil)
	got, err := f.s.Run(ctx, []string{"risk"}, r.ID)
	f.same("found", want, got, err)
	experiment, team, err := f.s.RunOwner(ctx, nil, r.ID)
	f.same("owner", "1 risk", experiment+" "+team, err)

	end := int64(99)
	got, err = f.s.UpdateRun(ctx, ada, r.ID, tracking.RunUpdate{Name: "second"})
	want.Name, want.Tags[0].Value = "second", "second"
	f.same("renamed", want, got, err)
	got, err = f.s.UpdateRun(ctx, ada, r.ID, tracking.RunUpdate{Status: "FINISHED", End: &end})
	want.Status, want.End = "FINISHED", &end
	f.same("ended", want, got, err)
	got, err = f.s.UpdateRun(ctx, ada, r.ID, tracking.RunUpdate{Status: "FINISHED"})
	f.same("ended again", want, got, err)
	f.ok("tag", f.s.SetTag(ctx, r.ID, tracking.Tag{Key: "mlflow.runName", Value: "third"}))
	got, err = f.s.Run(ctx, nil, r.ID)
	f.same("renamed by a tag", "third", got.Name, err)

	f.ok("delete", f.s.DeleteRun(ctx, ada, r.ID))
	f.ok("delete again", f.s.DeleteRun(ctx, ada, r.ID))
	const deleted = "must be in the 'active' state. Current state is deleted."
	_, err = f.s.UpdateRun(ctx, ada, r.ID, tracking.RunUpdate{Name: "x"})
	f.refused("update", err, slipway.Invalid, "The run "+r.ID+" "+deleted)
	f.refused("tag", f.s.SetTag(ctx, r.ID, tracking.Tag{Key: "a"}), slipway.Invalid, deleted)
	f.refused("metric", f.s.LogMetric(ctx, r.ID, tracking.Metric{Key: "a"}), slipway.Invalid, deleted)
	f.refused("inputs", f.s.LogInputs(ctx, r.ID, nil, []string{"m"}), slipway.Invalid, deleted)
	f.refused("outputs", f.s.LogOutputs(ctx, r.ID, []tracking.ModelOutput{{ModelID: "m"}}), slipway.Invalid, deleted)
	f.ok("restore", f.s.RestoreRun(ctx, ada, r.ID))
	got, err = f.s.Run(ctx, nil, r.ID)
	f.same("restored", "active", got.Stage, err)
	f.same("events", []string{"experiment.created 1", "run.created " + r.ID, "run.ended " + r.ID, "run.deleted " + r.ID, "run.restored " + r.ID}, f.actions(), nil)

	named, err := f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: e, Tags: []tracking.Tag{{Key: "mlflow.runName", Value: "by tag"}}})
	f.same("named by a tag", "by tag", named.Name, err)
	random, err := f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: e})
	tag, _ := random.Tag(tracking.RunName)
	f.same("a random name", true, strings.Count(random.Name, "-") == 2 && tag == random.Name, err)
}

func testRunRefused(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	_, err := f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: e, Name: "a", Tags: []tracking.Tag{{Key: "mlflow.runName", Value: "b"}}})
	f.refused("two names", err, slipway.Invalid, "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='a', mlflow.runName='b').")
	_, err = f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: "7"})
	f.refused("no experiment", err, slipway.NotFound, "No Experiment with id=7 exists")
	_, err = f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: "seven"})
	f.refused("no number", err, slipway.Invalid, "Invalid experiment ID 'seven'. Experiment ID must be a valid integer.")
	run := f.run(e, "r")
	_, err = f.s.UpdateRun(ctx, ada, run, tracking.RunUpdate{Status: "DONE"})
	f.refused("status", err, slipway.Invalid, `Invalid value "DONE" for parameter 'status'`)
	for _, id := range []string{"nothing", ""} {
		_, err = f.s.Run(ctx, nil, id)
		f.refused("run", err, slipway.NotFound, "Run with id="+id+" not found")
		f.refused("delete", f.s.DeleteRun(ctx, ada, id), slipway.NotFound, "not found")
		f.refused("tag", f.s.SetTag(ctx, id, tracking.Tag{Key: "a"}), slipway.NotFound, "not found")
		f.refused("outputs", f.s.LogOutputs(ctx, id, []tracking.ModelOutput{{ModelID: "m"}}), slipway.NotFound, "not found")
	}
	for key, text := range map[string]string{
		"a//b": "This name would resolve to 'a/b'", "/a": "must not resolve to other names", "..": "must not resolve", "a/../b": "would resolve to 'b'", "": "would resolve to '.'",
		"a\nb": "Names may only contain", "a%": "Names may only contain", strings.Repeat("k", 251): "exceeds the maximum length of 250 characters",
	} {
		f.refused("tag "+key, f.s.SetTag(ctx, run, tracking.Tag{Key: key}), slipway.Invalid, text)
		f.refused("param "+key, f.s.LogParam(ctx, run, tracking.Param{Key: key}), slipway.Invalid, text)
		f.refused("metric "+key, f.s.LogMetric(ctx, run, tracking.Metric{Key: key}), slipway.Invalid, text)
	}
	f.refused("time", f.s.LogMetric(ctx, run, tracking.Metric{Key: "a", Timestamp: -1}), slipway.Invalid, "Timestamp must be a nonnegative long (64-bit integer)")
	f.refused("text", f.s.SetTag(ctx, run, tracking.Tag{Key: "a", Value: "\x00"}), slipway.Invalid, "NUL")
	f.refused("text", f.s.LogParam(ctx, run, tracking.Param{Key: "a", Value: "\xff"}), slipway.Invalid, "UTF-8")
	f.refused("untag", f.s.DeleteTag(ctx, run, "nothing"), slipway.NotFound, "No tag with name: nothing in run with id "+run)
	f.refused("model", f.s.LogModelRecord(ctx, run, "{"), slipway.Invalid, "is not a valid JSON")
	f.refused("model", f.s.LogModelRecord(ctx, run, `{"run_id": "x"}`), slipway.Invalid, "Model json is missing mandatory fields: {'artifact_path', 'flavors', 'utc_time_created'}")
	for what, b := range map[string]tracking.Batch{
		"A batch logging request can contain at most 1000 metrics. Got 1001 metrics.":                                    {Metrics: make([]tracking.Metric, 1001)},
		"A batch logging request can contain at most 100 params. Got 101 params.":                                        {Params: make([]tracking.Param, 101)},
		"A batch logging request can contain at most 100 tags. Got 101 tags.":                                            {Tags: make([]tracking.Tag, 101)},
		"A batch logging request can contain at most 1000 metrics, params, and tags. Got 1100 metrics, params, and tags": {Metrics: make([]tracking.Metric, 1000), Tags: make([]tracking.Tag, 100)},
		"Duplicate parameter keys have been submitted: ['a']":                                                            {Params: []tracking.Param{{Key: "a", Value: "1"}, {Key: "a", Value: "1"}}},
		"for parameter 'metrics[1].name' supplied":                                                                       {Metrics: []tracking.Metric{{Key: "a"}, {Key: "//"}}},
		"for parameter 'params[0].key' supplied":                                                                         {Params: []tracking.Param{{Key: "//"}}},
	} {
		f.refused(what, f.s.LogBatch(ctx, run, b), slipway.Invalid, what)
	}
	f.refused("run id", f.s.LogBatch(ctx, "../x", tracking.Batch{}), slipway.Invalid, `Invalid value "../x" for parameter 'run_id' supplied`)
}

func testLog(f *fixture) {
	ctx := f.Context()
	run := f.run(f.experiment("risk", "e"), "r")
	f.ok("batch", f.s.LogBatch(ctx, run, tracking.Batch{
		Metrics: []tracking.Metric{{Key: "b", Value: 2.5, Timestamp: 10, Step: 3}, {Key: "a/ü x", Value: -inf, Timestamp: 10}, {Key: "nan", Value: math.NaN(), Timestamp: 1, Step: -5}},
		Params:  []tracking.Param{{Key: "p", Value: "1"}, {Key: "long", Value: strings.Repeat("ä", 6001)}, {Key: "empty"}},
		Tags:    []tracking.Tag{{Key: "t", Value: "first"}, {Key: "t", Value: "second"}, {Key: "long", Value: strings.Repeat("ä", 8001)}},
	}))
	f.ok("metric", f.s.LogMetric(ctx, run, tracking.Metric{Key: "b", Value: inf, Timestamp: 11, Step: 4}))
	f.ok("param", f.s.LogParam(ctx, run, tracking.Param{Key: "q", Value: "x"}))
	f.ok("model", f.s.LogModelRecord(ctx, run, `{"run_id":"r","artifact_path":"model","utc_time_created":"2026","flavors":{"sklearn":{"config":1,"code":null}},"signature":"x"}`))
	f.ok("model", f.s.LogModelRecord(ctx, run, `{"run_id":"r","artifact_path":"other","utc_time_created":"2026","flavors":{}}`))
	f.ok("tag", f.s.SetTag(ctx, run, tracking.Tag{Key: "gone", Value: "x"}))
	f.ok("untag", f.s.DeleteTag(ctx, run, "gone"))
	r, err := f.s.Run(ctx, nil, run)
	f.same("state", tracking.State{
		Metrics: []tracking.Metric{{Key: "a/ü x", Value: -math.MaxFloat64, Timestamp: 10}, {Key: "b", Value: math.MaxFloat64, Timestamp: 11, Step: 4}, {Key: "nan", Value: math.NaN(), Timestamp: 1, Step: -5}},
		Params:  []tracking.Param{{Key: "empty"}, {Key: "long", Value: strings.Repeat("ä", 6000)}, {Key: "p", Value: "1"}, {Key: "q", Value: "x"}},
		Tags: []tracking.Tag{{Key: "long", Value: strings.Repeat("ä", 8000)},
			{Key: "mlflow.log-model.history", Value: `[{"artifact_path":"model","flavors":{"sklearn":{"code":null}},"run_id":"r","utc_time_created":"2026"},{"artifact_path":"other","flavors":{},"run_id":"r","utc_time_created":"2026"}]`},
			{Key: "mlflow.runName", Value: "r"}, {Key: "t", Value: "second"}},
	}, r.State, err)
}

func testLatest(f *fixture) {
	ctx := f.Context()
	run := f.run(f.experiment("risk", "e"), "r")
	for i, c := range []struct {
		value      float64
		time, step int64
		latest     float64
	}{
		{1, 100, 0, 1}, {2, 99, 0, 1}, {3, 100, 1, 3}, {9, 500, 0, 3}, {4, 100, 1, 4}, {3.5, 100, 1, 4}, {-1, 101, 1, -1}, {5, 1, 2, 5}, {5, 1, 2, 5},
		{math.NaN(), 1, 3, math.NaN()}, {-1, 1, 3, math.NaN()}, {1, 1, 3, 1}, {math.NaN(), 1, 3, 1},
	} {
		f.ok("log", f.s.LogMetric(ctx, run, tracking.Metric{Key: "m", Value: c.value, Timestamp: c.time, Step: c.step}))
		r, err := f.s.Run(ctx, nil, run)
		f.same(fmt.Sprint("after ", i), c.latest, r.Metrics[0].Value, err)
	}
	// The same in one batch, and of what is logged twice once.
	other := f.run("1", "r2")
	f.ok("batch", f.s.LogBatch(ctx, other, tracking.Batch{Metrics: []tracking.Metric{
		{Key: "m", Value: 1, Timestamp: 5, Step: 1}, {Key: "m", Value: 3, Timestamp: 5, Step: 2}, {Key: "m", Value: 2, Timestamp: 9, Step: 1}, {Key: "m", Value: 3, Timestamp: 5, Step: 2},
	}}))
	f.ok("again", f.s.LogBatch(ctx, other, tracking.Batch{Metrics: []tracking.Metric{{Key: "m", Value: 1, Timestamp: 5, Step: 1}}}))
	r, err := f.s.Run(ctx, nil, other)
	f.same("latest", []tracking.Metric{{Key: "m", Value: 3, Timestamp: 5, Step: 2}}, r.Metrics, err)
	history, token, err := f.s.MetricHistory(ctx, other, "m", 0, "")
	f.same("history", []tracking.Metric{{Key: "m", Value: 1, Timestamp: 5, Step: 1}, {Key: "m", Value: 3, Timestamp: 5, Step: 2}, {Key: "m", Value: 2, Timestamp: 9, Step: 1}}, history, err)
	f.same("no token", "", token, nil)
}

func testParams(f *fixture) {
	ctx := f.Context()
	run := f.run(f.experiment("risk", "e"), "r")
	f.log(run, nil, map[string]string{"a": "1", "b": "2"})
	f.ok("the same again", f.s.LogParam(ctx, run, tracking.Param{Key: "a", Value: "1"}))
	f.ok("the same again", f.s.LogBatch(ctx, run, tracking.Batch{Params: []tracking.Param{{Key: "a", Value: "1"}, {Key: "c", Value: "3"}}}))
	f.refused("another", f.s.LogParam(ctx, run, tracking.Param{Key: "a", Value: "x"}), slipway.Invalid,
		"Changing param values is not allowed. Param with key='a' was already logged with value='1' for run ID='"+run+"'. Attempted logging new value 'x'.")
	f.refused("others", f.s.LogBatch(ctx, run, tracking.Batch{Params: []tracking.Param{{Key: "a", Value: "x"}, {Key: "d", Value: "4"}}}), slipway.Invalid,
		"Changing param values is not allowed. Params were already logged='[{'key': 'a', 'old_value': '1', 'new_value': 'x'}]' for run ID='"+run+"'.")
	r, err := f.s.Run(ctx, nil, run)
	f.same("as they were", []tracking.Param{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}, r.Params, err)
}

func testBatch(f *fixture) {
	ctx := f.Context()
	run := f.run(f.experiment("risk", "e"), "r")
	f.log(run, nil, map[string]string{"p": "1"})
	b := tracking.Batch{Params: []tracking.Param{{Key: "p", Value: "2"}}, Tags: []tracking.Tag{{Key: "t", Value: "x"}}}
	for i := range 500 {
		b.Metrics = append(b.Metrics, tracking.Metric{Key: fmt.Sprintf("m%d", i), Value: float64(i), Timestamp: 1})
	}
	f.refused("a parameter", f.s.LogBatch(ctx, run, b), slipway.Invalid, "Changing param values")
	r, err := f.s.Run(ctx, nil, run)
	f.same("nothing", "0 metrics, 1 params, 1 tags", fmt.Sprintf("%d metrics, %d params, %d tags", len(r.Metrics), len(r.Params), len(r.Tags)), err)
	b.Params = nil
	f.ok("whole", f.s.LogBatch(ctx, run, b))
	r, err = f.s.Run(ctx, nil, run)
	f.same("all", "500 metrics, 1 params, 2 tags", fmt.Sprintf("%d metrics, %d params, %d tags", len(r.Metrics), len(r.Params), len(r.Tags)), err)
	found, _, err := f.s.SearchRuns(ctx, nil, []string{"1"}, tracking.Search{Filter: "metrics.m499 = 499 AND tags.t = 'x'"})
	f.same("found", 1, len(found), err)
}

func testHistory(f *fixture) {
	ctx := f.Context()
	run := f.run(f.experiment("risk", "e"), "r")
	// Two series, one of which goes back in time now and then.
	var want []tracking.Metric
	for batch := range 12 {
		var b tracking.Batch
		for i := range 100 {
			n := int64(batch*100 + i)
			m := tracking.Metric{Key: "m", Value: float64(n), Timestamp: 1000 + n, Step: n}
			if i%17 == 0 {
				m.Timestamp -= 150
			}
			want = append(want, m)
			b.Metrics = append(b.Metrics, m, tracking.Metric{Key: "other", Value: 1, Timestamp: n, Step: n})
		}
		f.ok("log", f.s.LogBatch(ctx, run, b))
		f.ok("again", f.s.LogBatch(ctx, run, tracking.Batch{Metrics: b.Metrics[:20]}))
	}
	sortMetrics(want)
	for _, size := range []int{1, 7, 250, 1199, 1200, 25_000} {
		var got []tracking.Metric
		for token, n := "", 0; ; n++ {
			page, next, err := f.s.MetricHistory(ctx, run, "m", size, token)
			f.ok("page", err)
			got = append(got, page...)
			if token = next; next == "" || size == 1 && n > 20 {
				break
			}
		}
		f.same(fmt.Sprint("pages of ", size), want[:len(got)], got, nil)
		if size > 1 && len(got) != len(want) {
			f.Errorf("pages of %d have %d", size, len(got))
		}
	}
	_, token, err := f.s.MetricHistory(ctx, run, "m", 5, "")
	f.ok("page", err)
	_, _, err = f.s.MetricHistory(ctx, run, "other", 5, token)
	f.refused("a token of another metric", err, slipway.Invalid, "Invalid page token")
	none, _, err := f.s.MetricHistory(ctx, run, "nothing", 5, "")
	f.same("no such metric", 0, len(none), err)
	_, _, err = f.s.MetricHistory(ctx, run, "m", 25_001, "")
	f.refused("too many", err, slipway.Invalid, "max_results")
}

func testHistories(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	runs := []string{f.run(e, "a"), f.run(e, "b"), f.run(e, "c")}
	for i, run := range runs {
		for s := range int64(300) {
			f.ok("log", f.s.LogMetric(ctx, run, tracking.Metric{Key: "m", Value: float64(i), Timestamp: s, Step: 2 * s}))
		}
	}
	all, err := f.s.MetricHistories(ctx, nil, runs, "m", 700)
	f.same("number", 700, len(all), err)
	for i, m := range all[1:] {
		if before := all[i]; before.RunID > m.RunID || before.RunID == m.RunID && before.Timestamp >= m.Timestamp {
			f.Fatalf("%v before %v", before, m)
		}
	}
	some, err := f.s.SampleHistories(ctx, nil, runs[:2], "m", nil, nil, 10)
	f.same("sampled", 22, len(some), err)
	f.same("the first", int64(0), some[0].Step, nil)
	f.same("the last", int64(598), some[10].Step, nil)
	f.same("the run", runs[1], some[11].RunID, nil)
	from, to := int64(100), int64(110)
	some, err = f.s.SampleHistories(ctx, nil, runs[:1], "m", &from, &to, 100)
	f.same("between", "100 110 6", fmt.Sprint(some[0].Step, some[5].Step, len(some)), err)
	_, err = f.s.SampleHistories(ctx, nil, runs[:1], "m", &from, nil, 100)
	f.refused("half", err, slipway.Invalid, "both must be specified")
	_, err = f.s.SampleHistories(ctx, nil, runs[:1], "m", &to, &from, 100)
	f.refused("backwards", err, slipway.Invalid, "end_step must be greater than start_step. Found start_step=110 and end_step=100.")
	_, err = f.s.MetricHistories(ctx, nil, make([]string, 101), "m", 10)
	f.refused("many", err, slipway.Invalid, "cannot specify more than 100 run_ids. Received 101 run_ids.")
}

func testLinks(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	one, two := f.run(e, "one"), f.run(e, "two")
	set := tracking.Dataset{Name: "claims", Digest: "d1", SourceType: "local", Source: "{}", Schema: "[]", Profile: "{\"rows\":1}"}
	other := tracking.Dataset{Name: "claims", Digest: "d2", SourceType: "s3", Source: "s3://x"}
	train := []tracking.Tag{{Key: "mlflow.data.context", Value: "training"}, {Key: "x", Value: "y"}}
	f.ok("inputs", f.s.LogInputs(ctx, one, []tracking.DatasetInput{{Dataset: set, Tags: train}, {Dataset: other}}, []string{"m-1"}))
	f.ok("again", f.s.LogInputs(ctx, one, []tracking.DatasetInput{{Dataset: set, Tags: train}}, []string{"m-1"}))
	f.ok("of another run", f.s.LogInputs(ctx, two, []tracking.DatasetInput{{Dataset: set}}, nil))
	f.ok("outputs", f.s.LogOutputs(ctx, one, []tracking.ModelOutput{{ModelID: "m-3", Step: 5}, {ModelID: "m-2", Step: 1}}))
	f.ok("again", f.s.LogOutputs(ctx, one, []tracking.ModelOutput{{ModelID: "m-3", Step: 5}}))
	r, err := f.s.Run(ctx, nil, one)
	f.same("data sets", []tracking.DatasetInput{{Dataset: set, Tags: train}, {Dataset: other}}, r.Datasets, err)
	f.same("inputs", []string{"m-1"}, r.ModelInputs, nil)
	f.same("outputs", []tracking.ModelOutput{{ModelID: "m-2", Step: 1}, {ModelID: "m-3", Step: 5}}, r.ModelOutputs, nil)
	found, _, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{OrderBy: []string{"run_name"}})
	f.same("in a page", r, found[0], err)
	f.same("in a page", []tracking.DatasetInput{{Dataset: set}}, found[1].Datasets, err)
	sets, err := f.s.SearchDatasets(ctx, nil, []string{e})
	f.same("summaries", []tracking.DatasetSummary{{ExperimentID: e, Name: "claims", Digest: "d1"}, {ExperimentID: e, Name: "claims", Digest: "d1", Context: "training"}, {ExperimentID: e, Name: "claims", Digest: "d2"}}, sets, err)
	for filter, want := range map[string]int{
		"dataset.name = 'claims'": 2, "dataset.digest = 'd2'": 1, "dataset.context = 'training'": 1, "dataset.name IN ('x', 'claims') AND dataset.digest LIKE 'd%'": 2, "dataset.context != 'x'": 1, "dataset.name = 'x'": 0,
	} {
		found, _, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Filter: filter})
		f.same(filter, want, len(found), err)
	}
	f.refused("long", f.s.LogInputs(ctx, one, []tracking.DatasetInput{{Dataset: tracking.Dataset{Name: "x", Digest: strings.Repeat("d", 37)}}}, nil), slipway.Invalid, "'digest' exceeds the maximum length of 36 characters")
	_, err = f.s.SearchDatasets(ctx, nil, nil)
	f.refused("of nothing", err, slipway.Invalid, "SearchDatasets request must specify at least one experiment_id.")
}

func testConcurrently(f *fixture) {
	ctx := f.Context()
	e := f.experiment("risk", "e")
	var wg sync.WaitGroup
	shared := f.run(e, "shared")
	for w := range 8 {
		own := f.run(e, fmt.Sprint(w))
		wg.Go(func() {
			for i := range int64(20) {
				m := tracking.Metric{Key: fmt.Sprintf("m%d", w), Value: float64(i), Timestamp: i, Step: i}
				for _, run := range []string{own, shared} {
					if err := f.s.LogBatch(ctx, run, tracking.Batch{Metrics: []tracking.Metric{m}, Params: []tracking.Param{{Key: fmt.Sprintf("p%d-%d", w, i), Value: "x"}}}); err != nil {
						f.Error(err)
					}
				}
				if _, _, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Filter: "metrics.m1 > 3", OrderBy: []string{"metrics.m2"}}); err != nil {
					f.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r, err := f.s.Run(ctx, nil, shared)
	f.same("of all", "8 160", fmt.Sprint(len(r.Metrics), len(r.Params)), err)
	for w := range 8 {
		history, _, err := f.s.MetricHistory(ctx, shared, fmt.Sprintf("m%d", w), 0, "")
		f.same("history", 20, len(history), err)
	}
	found, _, err := f.s.SearchRuns(ctx, nil, []string{e}, tracking.Search{Filter: "metrics.m1 = 19"})
	f.same("searched", 2, len(found), err)
}
