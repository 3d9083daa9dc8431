package evaluate_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// clocked is a model whose n-th answer takes what took says, on a clock of its own.
func clocked(took func(n int) time.Duration) (evaluate.Model, func() time.Time) {
	now, n := time.Unix(0, 0), 0
	m := answering(func(out *tensor.Batch) (*tensor.Batch, error) {
		n++
		now = now.Add(took(n))
		return out, nil
	})
	return m, func() time.Time { return now }
}

func rows(x ...float64) *tensor.Batch {
	return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("x", []int{len(x)}, x)}}
}

func TestLatency(t *testing.T) {
	for name, c := range map[string]struct {
		requests int
		p95      time.Duration
		took     func(n int) time.Duration
		want     verdict.Verdict
		says     string
	}{
		"ascending": {200, 190 * time.Millisecond, func(n int) time.Duration { return time.Duration(n) * time.Millisecond }, verdict.Pass,
			"p95 is 190ms, at most 190ms is allowed: of 200 requests of one row, one after the other, 190 took no longer; the longest took 200ms"},
		"descending": {200, 189 * time.Millisecond, func(n int) time.Duration { return time.Duration(201-n) * time.Millisecond }, verdict.Fail,
			"p95 is 190ms, at most 189ms is allowed"},
		"hardly": {20, time.Millisecond, func(int) time.Duration { return time.Millisecond + 1 }, verdict.Fail, "p95 is 1.000001ms, at most 1ms is allowed"},
		"one outlier in twenty": {20, time.Millisecond, func(n int) time.Duration {
			if n == 7 {
				return time.Hour
			}
			return 0
		}, verdict.Pass, "p95 is 0s, at most 1ms is allowed: of 20 requests of one row, one after the other, 19 took no longer; the longest took 1h0m0s"},
		"two outliers": {20, time.Millisecond, func(n int) time.Duration {
			if n%10 == 7 {
				return time.Hour
			}
			return 0
		}, verdict.Fail, "p95 is 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			m, now := clocked(c.took)
			results, err := evaluate.Latency(t.Context(), rows(0.1, 0.2, 0.3), spec.Latency{P95: c.p95, Requests: c.requests}, m, now)
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, "latency "+c.want.String())
			if !strings.Contains(results[0].Message, c.says) {
				t.Error(results[0].Message)
			}
		})
	}
}

// TestLatencyRows: one row at a time, in turn; without rows nothing is known.
func TestLatencyRows(t *testing.T) {
	var asked []float64
	m := scoring()
	inner := m.Predict
	m.Predict = func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		if in.Rows() != 1 {
			t.Errorf("%d rows", in.Rows())
		}
		asked = append(asked, in.Tensors[0].Float(0))
		return inner(ctx, in)
	}
	frozen := func() time.Time { return time.Unix(0, 0) }
	want := spec.Latency{P95: time.Millisecond, Requests: 20}
	if _, err := evaluate.Latency(t.Context(), rows(0.1, 0.2, 0.3), want, m, frozen); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 20 || asked[0] != 0.1 || asked[2] != 0.3 || asked[3] != 0.1 {
		t.Errorf("%v", asked)
	}
	for _, none := range []*tensor.Batch{nil, {}} {
		results, err := evaluate.Latency(t.Context(), none, want, m, frozen)
		if err != nil {
			t.Fatal(err)
		}
		same(t, results, "latency unknown")
	}
}

func TestLatencyModel(t *testing.T) {
	frozen := func() time.Time { return time.Unix(0, 0) }
	want := spec.Latency{P95: time.Millisecond, Requests: 20}
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			results, err := evaluate.Latency(t.Context(), rows(0.1), want, refusing(c.err), frozen)
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, "latency "+c.want.String())
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := answering(func(*tensor.Batch) (*tensor.Batch, error) { cancel(); return nil, context.Canceled })
	if results, err := evaluate.Latency(ctx, rows(0.1), want, m, frozen); !errors.Is(err, context.Canceled) || results != nil {
		t.Errorf("%v %v", results, err)
	}
}

// TestAnswers: an answer that is not whole is a failure that names the row.
func TestAnswers(t *testing.T) {
	nan := func(row int) func(out *tensor.Batch) (*tensor.Batch, error) {
		return func(out *tensor.Batch) (*tensor.Batch, error) {
			p := make([]float64, out.Tensors[0].Shape[0])
			if row < len(p) {
				p[row] = math.NaN()
			}
			out.Tensors[1] = tensor.NewFloat64("probability", []int{len(p)}, p)
			return out, nil
		}
	}
	few := func(out *tensor.Batch) (*tensor.Batch, error) {
		return out.Slice(0, out.Tensors[0].Shape[0]-1), nil
	}
	many := func(out *tensor.Batch) (*tensor.Batch, error) {
		n := out.Tensors[0].Shape[0] + 1
		return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("predict", []int{n}, make([]int64, n))}}, nil
	}
	dir := fstest.MapFS{"example.json": {Data: []byte(`{"dataframe_split":{"columns":["x"],"data":[[0.1],[0.2],[0.3]]}}`)}}
	saved := &mlmodel.Model{Example: "example.json"}
	const golden = `{"inputs":{"x":0.1},"outputs":{"predict":0}}` + "\n"
	for name, c := range map[string]struct {
		change                   func(out *tensor.Batch) (*tensor.Batch, error)
		holdout, example, golden string
	}{
		"NaN": {nan(0), `output "probability" is not finite for the row in line 2 of holdout.csv`,
			`output "probability" is not finite for row 1 of example.json`, `first in line 1: output "probability" is not finite for the record`},
		"too few": {few, `output "predict" has 3 rows for the 4 asked: none for the row in line 5 of holdout.csv`,
			`output "predict" has 2 rows for the 3 asked: none for row 3 of example.json`, `output "predict" has 0 rows for the 1 asked: none for the record`},
		"too many": {many, `output "predict" has 5 rows for the 4 asked, the last of which is the row in line 5 of holdout.csv`,
			`output "predict" has 4 rows for the 3 asked, the last of which is row 3 of example.json`, `output "predict" has 2 rows for the 1 asked, the last of which is the record`},
	} {
		t.Run(name, func(t *testing.T) {
			m := answering(c.change)
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(atLeast("roc_auc", 0.5)), m, nil)
			if err != nil || results[0].Verdict != verdict.Fail || results[0].Message != c.holdout {
				t.Errorf("%+v %v", results, err)
			}
			results, err = evaluate.Example(t.Context(), dir, saved, m)
			if err != nil || results[0].Verdict != verdict.Fail || results[0].Message != c.example {
				t.Errorf("%+v %v", results, err)
			}
			results, err = evaluate.Goldens(t.Context(), strings.NewReader(golden), spec.Golden{File: "golden.jsonl"}, m)
			if err != nil || results[0].Verdict != verdict.Fail || !strings.Contains(results[0].Message, c.golden) {
				t.Errorf("%+v %v", results, err)
			}
		})
	}
	if in := evaluate.ExampleRows(dir, saved, &tensor.Schema{Inputs: scoring().Schema.Inputs}); in == nil || in.Rows() != 3 {
		t.Errorf("%+v", in)
	}
	if in := evaluate.ExampleRows(fstest.MapFS{}, saved, &tensor.Schema{Inputs: scoring().Schema.Inputs}); in != nil {
		t.Errorf("%+v", in)
	}
}
