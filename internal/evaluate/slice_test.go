package evaluate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// sliced is a file in which the groups of country have the given rows of scores and
// labels, and what a platform.yaml asks of it.
func sliced(groups map[string]string, s ...spec.Slice) (string, spec.Validation) {
	var b strings.Builder
	b.WriteString("country,x,y\n")
	for country, rows := range groups {
		for row := range strings.FieldsSeq(rows) {
			fmt.Fprintf(&b, "%s,%s\n", country, row)
		}
	}
	v := bounds(atLeast("accuracy", 0.01))
	v.Slices = s
	return b.String(), v
}

func by(metric string, gap float64, rows int) spec.Slice {
	return spec.Slice{By: "country", Metric: metric, HigherIsBetter: metric != "log_loss", MaxGap: gap, MinRows: rows}
}

func TestSlices(t *testing.T) {
	const (
		right = "0.1,0 0.9,1 0.2,0 0.8,1"
		half  = "0.1,0 0.9,1 0.9,0 0.1,1"
	)
	for name, c := range map[string]struct {
		groups map[string]string
		slice  spec.Slice
		want   verdict.Verdict
		says   string
	}{
		"equal":    {map[string]string{"de": right, "fr": right}, by("roc_auc", 0, 4), verdict.Pass, "1 in each of 2 groups: no gap, at most 0 is allowed"},
		"worse":    {map[string]string{"de": right, "fr": half}, by("roc_auc", 0.3, 4), verdict.Fail, `1 where the column is "de", 0.5 where it is "fr": a gap of 0.5, at most 0.3 is allowed`},
		"at limit": {map[string]string{"de": right, "fr": half}, by("accuracy", 0.5, 4), verdict.Pass, "a gap of 0.5"},
		"lower is better": {map[string]string{"de": right, "fr": half}, by("log_loss", 0.5, 4), verdict.Fail,
			`0.164252 where the column is "de", 1.20397 where it is "fr"`},
		"small groups":                     {map[string]string{"de": right, "fr": right, "it": "0.1,1"}, by("accuracy", 0.1, 4), verdict.Pass, "; 1 of 3 groups have fewer than 4 rows and are left out"},
		"one group":                        {map[string]string{"de": right, "it": "0.1,1"}, by("accuracy", 0.1, 4), verdict.Unknown, "1 of 2 groups have 4 rows, and two are needed"},
		"one class":                        {map[string]string{"de": right, "fr": "0.1,0 0.2,0"}, by("roc_auc", 0.1, 2), verdict.Unknown, `roc_auc cannot be computed where the column is "fr": the target has one class only`},
		"one class is enough for log_loss": {map[string]string{"de": right, "fr": "0.1,0 0.2,0"}, by("log_loss", 0.1, 2), verdict.Pass, "0.164252 in each of 2 groups"},
		"missing values":                   {map[string]string{"": right, "fr": half}, by("accuracy", 0.1, 4), verdict.Fail, `1 where the column is "", 0.5 where it is "fr"`},
	} {
		t.Run(name, func(t *testing.T) {
			file, v := sliced(c.groups, c.slice)
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(file), v, scoring(), nil)
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, "holdout pass", "accuracy pass", c.slice.Metric+" by country "+c.want.String())
			if got := results[2].Message; !strings.Contains(got, c.says) {
				t.Errorf("%s", got)
			}
			if strings.Contains(results[0].Message, "country") {
				t.Errorf("a column that is sliced by is called useless: %s", results[0].Message)
			}
		})
	}
}

// TestSliceFigures: the figure of a group is the metric of its rows alone.
func TestSliceFigures(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 14))
	groups, label, score := map[string]string{}, map[string][]string{}, map[string][]float64{}
	for i := range 2000 {
		country := []string{"a", "b"}[i%2]
		p, y := float64(rng.IntN(1000))/1000, rng.IntN(2)
		groups[country] += fmt.Sprintf("%g,%d ", p, y)
		label[country], score[country] = append(label[country], fmt.Sprint(y)), append(score[country], p)
	}
	for _, metric := range []string{"accuracy", "roc_auc", "log_loss", "f1", "precision", "recall"} {
		file, v := sliced(groups, by(metric, 1, 1))
		results, err := evaluate.Holdout(t.Context(), strings.NewReader(file), v, scoring(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for country := range groups {
			out, err := scoring().Predict(t.Context(), &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("x", []int{1000}, score[country])}})
			if err != nil {
				t.Fatal(err)
			}
			want, wrong := evaluate.Figure(metric, label[country], out)
			if got := results[2].Message; wrong != "" || !strings.Contains(got, fmt.Sprintf("%.6g where", want)) {
				t.Errorf("%s of %s is %g: %s%s", metric, country, want, got, wrong)
			}
		}
	}
}

// TestSliceClasses: a group with two of three classes is judged as the whole file is.
func TestSliceClasses(t *testing.T) {
	m := scoring()
	m.Predict = func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		labels := make([]int64, in.Rows())
		for i := range labels {
			labels[i] = int64(in.Tensor("x").Float(i))
		}
		return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("predict", []int{in.Rows()}, labels)}}, nil
	}
	// of the two classes of "a", 0 has recall 1 and 1 has a half: the mean is 0.75
	file, v := sliced(map[string]string{"a": "0,0 0,0 1,1 0,1", "b": "2,2 1,1 0,0"}, by("recall", 0.1, 3))
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(file), v, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := results[2].Message; !strings.Contains(got, `0.75 where it is "a"`) {
		t.Error(got)
	}
}

func TestSlicesUnusable(t *testing.T) {
	file, v := sliced(map[string]string{"de": "0.1,0 0.9,1"}, spec.Slice{By: "region", Metric: "accuracy", MaxGap: 0.1, MinRows: 1})
	_, err := evaluate.Holdout(t.Context(), strings.NewReader(file), v, scoring(), nil)
	checkUnusable(t, err, "holdout.csv:1", `has no column "region" to slice by`)

	groups := map[string]string{}
	for i := range 201 {
		groups[fmt.Sprintf("%s%d", secret, i)] = "0.1,0"
	}
	file, v = sliced(groups, by("accuracy", 0.1, 1))
	_, err = evaluate.Holdout(t.Context(), strings.NewReader(file), v, scoring(), nil)
	checkUnusable(t, err, "holdout.csv:202", `column "country" has more than 200 values`)
}

// TestSliceOneTensor: a model of one tensor is not given the column.
func TestSliceOneTensor(t *testing.T) {
	var got []int
	m := evaluate.Model{Schema: tensor.Schema{Inputs: []tensor.Field{{Name: "input", Type: tensor.FP32, Shape: []int{-1}}}},
		Predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
			got = in.Tensors[0].Shape
			return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("out", []int{in.Rows()}, make([]float64, in.Rows()))}}, nil
		}}
	v := bounds(spec.Metric{Name: "rmse", Bound: 1e9})
	v.Slices = []spec.Slice{{By: "country", Metric: "mae", MaxGap: 1, MinRows: 1}}
	const file = "a,country,y,b\n1,de,2,2\n3,fr,3,4\n"
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(file), v, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "holdout pass", "rmse pass", "mae by country pass")
	if diff := cmp.Diff([]int{2, 2}, got); diff != "" {
		t.Error(diff)
	}
	rows, err := evaluate.HoldoutRows(strings.NewReader(file), v, &m.Schema)
	if err != nil || rows.Rows() != 2 || rows.Tensors[0].Shape[1] != 2 {
		t.Errorf("%+v %v", rows, err)
	}
	_, err = evaluate.HoldoutRows(strings.NewReader("a,country,y,b\n"), v, &m.Schema)
	checkUnusable(t, err, "holdout.csv", "has no rows")
}

// TestRegression: against the live version on the same rows, exactly as far as allowed and
// not when the two cannot be compared.
func TestRegression(t *testing.T) {
	allow := func(v float64) *float64 { return &v }
	better := answering(func(out *tensor.Batch) (*tensor.Batch, error) {
		out.Tensors[1] = tensor.NewFloat64("probability", []int{4}, []float64{0, 1, 0, 1})
		return out, nil
	})
	for name, c := range map[string]struct {
		candidate, live evaluate.Model
		allowed         float64
		want            verdict.Verdict
		says            string
	}{
		"equal":      {scoring(), scoring(), 0, verdict.Pass, "0.75, the live version has 0.75; 0 worse is allowed"},
		"better":     {better, scoring(), 0, verdict.Pass, "1, the live version has 0.75"},
		"within":     {scoring(), better, 0.25, verdict.Pass, "0.25 worse is allowed"},
		"beyond":     {scoring(), better, 0.2, verdict.Fail, "0.75 is 0.25 worse than the 1 of the live version, where 0.2 is allowed"},
		"hardly":     {scoring(), better, 0.2499999, verdict.Fail, "0.75 is 0.25 worse than the 1 of the live version, where 0.2499999 is allowed"},
		"live fails": {scoring(), refusing(fmt.Errorf("gone")), 0.2, verdict.Unknown, "could not be compared"},
		"live without probability": {scoring(), answering(func(out *tensor.Batch) (*tensor.Batch, error) {
			return &tensor.Batch{Tensors: out.Tensors[:1]}, nil
		}), 0.2, verdict.Unknown, "could not be compared"},
	} {
		t.Run(name, func(t *testing.T) {
			metric := atLeast("roc_auc", 0.5)
			metric.MaxRegression = allow(c.allowed)
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(metric), c.candidate, &c.live)
			if err != nil {
				t.Fatal(err)
			}
			got := results[2]
			if got.Check != "roc_auc beside live" || got.Verdict != c.want || !strings.Contains(got.Message, c.says) {
				t.Errorf("%+v", got)
			}
			verdicts(t, results)
			if scores := evaluate.Scores(results); len(scores) != 1 || fmt.Sprint(scores["roc_auc"]) != map[bool]string{true: "1", false: "0.75"}[name == "better"] {
				t.Errorf("%v", scores)
			}
		})
	}
	lower := spec.Metric{Name: "log_loss", Bound: 1, MaxRegression: allow(0.1)}
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(lower), scoring(), &better)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "holdout pass", "log_loss pass", "log_loss beside live fail")
	// 0.92 - 0.915 is more than 0.005 in binary
	if evaluate.Exceeds(0.92-0.915, 0.005) || !evaluate.Exceeds(0.0050001, 0.005) {
		t.Error("rounding is judged")
	}
}
