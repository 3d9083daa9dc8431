package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/verdict"
)

func now() time.Time { return time.Unix(1, 0) }

// run executes stages over a fresh recorder that keeps the last record of each stage.
func run(t *testing.T, done map[string]verdict.Verdict, stages ...pipeline.Stage[string]) (map[string]pipeline.Record, error) {
	t.Helper()
	records := map[string]pipeline.Record{}
	err := pipeline.Execute(t.Context(), stages, "subject", done, func(_ context.Context, r pipeline.Record) error {
		records[r.Stage] = r
		return nil
	}, now)
	return records, err
}

func stage(name string, err error, verdicts ...verdict.Verdict) pipeline.Stage[string] {
	return pipeline.Stage[string]{Name: name, Run: func(_ context.Context, _ string, log *pipeline.Log) ([]verdict.Result, error) {
		log.Printf("%s ran", name)
		var out []verdict.Result
		for _, v := range verdicts {
			out = append(out, verdict.Result{Check: "c-" + v.String(), Verdict: v, Message: "because"})
		}
		return out, err
	}}
}

func TestExecute(t *testing.T) {
	t.Parallel()
	boom := slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "fix it", "no model")
	for name, tc := range map[string]struct {
		stages []pipeline.Stage[string]
		done   map[string]verdict.Verdict
		code   string // of the error, empty for none
		last   string // the last stage that has a record
		absent string // a stage that must not have run
	}{
		"all pass":               {stages: []pipeline.Stage[string]{stage("a", nil, verdict.Pass), stage("b", nil, verdict.Warn, verdict.Pass)}, last: "b"},
		"a fail stops":           {stages: []pipeline.Stage[string]{stage("a", nil, verdict.Pass, verdict.Fail), stage("b", nil, verdict.Pass)}, code: slipway.CodeGate, last: "a", absent: "b"},
		"unknown stops":          {stages: []pipeline.Stage[string]{stage("a", nil, verdict.Unknown, verdict.Warn), stage("b", nil, verdict.Pass)}, code: slipway.CodeGateUnknown, last: "a", absent: "b"},
		"no answer is unknown":   {stages: []pipeline.Stage[string]{stage("a", nil)}, code: slipway.CodeGateUnknown, last: "a"},
		"an error stops":         {stages: []pipeline.Stage[string]{stage("a", boom, verdict.Pass), stage("b", nil, verdict.Pass)}, code: slipway.CodeModelDir, last: "a", absent: "b"},
		"a passed one is kept":   {stages: []pipeline.Stage[string]{stage("a", boom), stage("b", nil, verdict.Pass)}, done: map[string]verdict.Verdict{"a": verdict.Pass}, last: "b", absent: "a"},
		"a failed one runs anew": {stages: []pipeline.Stage[string]{stage("a", nil, verdict.Pass)}, done: map[string]verdict.Verdict{"a": verdict.Fail}, last: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := run(t, tc.done, tc.stages...)
			if got := codeOf(err); got != tc.code {
				t.Fatalf("code %q, want %q (%v)", got, tc.code, err)
			}
			if r, ok := records[tc.last]; !ok || r.Finished.IsZero() || len(r.Log) != 1 {
				t.Errorf("record of %s: %+v", tc.last, r)
			}
			if _, ok := records[tc.absent]; ok {
				t.Errorf("%s ran", tc.absent)
			}
		})
	}
}

func codeOf(err error) string {
	var e *slipway.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestGateNamesTheCheck(t *testing.T) {
	t.Parallel()
	_, err := run(t, nil, stage("validate", nil, verdict.Pass, verdict.Fail))
	if err == nil || !strings.Contains(err.Error(), "validate did not pass: c-fail: because") {
		t.Fatalf("error %v", err)
	}
}

// A stage that is stopped has not failed: nothing but its start is recorded, so the next
// start runs it again.
func TestStopIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var last pipeline.Record
	st := pipeline.Stage[string]{Name: "a", Run: func(context.Context, string, *pipeline.Log) ([]verdict.Result, error) {
		cancel()
		return nil, errors.New("interrupted")
	}}
	err := pipeline.Execute(ctx, []pipeline.Stage[string]{st}, "", nil, func(_ context.Context, r pipeline.Record) error { last = r; return nil }, now)
	if !errors.Is(err, context.Canceled) || !last.Finished.IsZero() {
		t.Fatalf("err %v, record %+v", err, last)
	}
}
