package evaluate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// bounds is what a platform.yaml asks of a hold-out file with the target y.
func bounds(metrics ...spec.Metric) spec.Validation {
	return spec.Validation{Dataset: &spec.Dataset{File: "holdout.csv", Target: "y", MinRows: 2}, Metrics: metrics}
}

func atLeast(name string, v float64) spec.Metric {
	return spec.Metric{Name: name, HigherIsBetter: true, Bound: v}
}

const fine = "id,x,y\n1,0.1,0\n2,0.8,1\n3,0.4,0\n4,0.3,1\n"

func TestHoldout(t *testing.T) {
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(
		atLeast("roc_auc", 0.7), atLeast("accuracy", 0.8), spec.Metric{Name: "log_loss", Bound: 1}), scoring(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []verdict.Result{
		{Check: "holdout", Verdict: verdict.Pass, Message: "4 rows of holdout.csv; columns that the model does not take: id"},
		{Check: "roc_auc", Verdict: verdict.Pass, Message: "0.75, at least 0.7 is required"},
		{Check: "accuracy", Verdict: verdict.Fail, Message: "0.75, at least 0.8 is required",
			Next: "train a better model, or change the bound of accuracy in validation.metrics of platform.yaml"},
		{Check: "log_loss", Verdict: verdict.Pass, Message: "0.510826, at most 1 is required"},
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Error(diff)
	}
}

// TestCells: each type is read as a data frame writes it.
func TestCells(t *testing.T) {
	var got []string
	m := evaluate.Model{Schema: tensor.Schema{Inputs: []tensor.Field{
		{Name: "f32", Type: tensor.FP32}, {Name: "f64", Type: tensor.FP64, Required: true}, {Name: "i8", Type: tensor.Int8},
		{Name: "u64", Type: tensor.Uint64}, {Name: "b", Type: tensor.Bool}, {Name: "s", Type: tensor.Bytes}, {Name: "absent", Type: tensor.FP32},
	}}, Predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		for r := range in.Rows() {
			row := ""
			for i := range in.Tensors {
				if c := &in.Tensors[i]; c.Type == tensor.Bytes {
					row += c.Strings[r] + " "
				} else {
					row += fmt.Sprint(c.Float(r)) + " "
				}
			}
			got = append(got, strings.TrimSpace(row))
		}
		return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("predict", []int{in.Rows()}, make([]int64, in.Rows()))}}, nil
	}}
	file := "\xef\xbb\xbfy,s,b,u64,i8,f64,f32\r\n0,\"a, b\",True,18446744073709551615,-128,1e-3,0.5\r\n1,c,0.0,7.0,3.0,,nan\r\n"
	if _, err := evaluate.Holdout(t.Context(), iotest.OneByteReader(strings.NewReader(file)), bounds(atLeast("accuracy", 0.1)), m, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"0.5 0.001 -128 1.8446744073709552e+19 1 a, b NaN", "NaN NaN 3 7 0 c NaN"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOneTensor: a model of one tensor takes all columns but the target in their order.
func TestOneTensor(t *testing.T) {
	var got []int
	m := evaluate.Model{Schema: tensor.Schema{Inputs: []tensor.Field{{Name: "input", Type: tensor.FP32, Shape: []int{2}}}},
		Predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
			got = in.Tensors[0].Shape
			return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("out", []int{2, 1}, []float64{in.Tensors[0].Float(1), in.Tensors[0].Float(2)})}}, nil
		}}
	results, err := evaluate.Holdout(t.Context(), strings.NewReader("a,y,b\n1,2,2\n3,3,4\n"), bounds(spec.Metric{Name: "rmse", Bound: 1e-9}), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "holdout pass", "rmse pass")
	if diff := cmp.Diff([]int{2, 2}, got); diff != "" {
		t.Error(diff)
	}
}

// TestChunks: a file of many rows is asked in parts and scored as one.
func TestChunks(t *testing.T) {
	var b strings.Builder
	b.WriteString("x,y\n")
	const n = 5000
	for i := range n {
		fmt.Fprintf(&b, "%g,%d\n", float64(i)/n, i*2/n)
	}
	asked := 0
	m := answering(func(out *tensor.Batch) (*tensor.Batch, error) {
		asked++
		return out, nil
	})
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(b.String()), bounds(atLeast("roc_auc", 1)), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "holdout pass", "roc_auc pass")
	if asked < 5 || asked > 100 {
		t.Errorf("asked %d times", asked)
	}
}

func TestHoldoutUnusable(t *testing.T) {
	inputs := []tensor.Field{{Name: "x", Type: tensor.FP64, Required: true}, {Name: "k", Type: tensor.Int8, Required: true}}
	for name, c := range map[string]struct{ file, place, want string }{
		"empty":          {"", "holdout.csv", "is empty"},
		"no rows":        {"x,k,y\n", "holdout.csv", "has 0 rows where at least 2 are needed"},
		"too few rows":   {"x,k,y\n1,1,0\n", "holdout.csv", "has 1 rows where at least 2 are needed"},
		"no target":      {"x,k,label\n1,1,0\n", "holdout.csv:1", `has no target column "y"`},
		"semicolons":     {"x;k;y\n1;1;0\n", "holdout.csv:1", `has no target column "y"`},
		"no feature":     {"x,y\n1,0\n", "holdout.csv:1", "has no column for the inputs k"},
		"twice":          {"x,k,y,x\n1,1,0,2\n", "holdout.csv:1", `has two columns named "x"`},
		"no number":      {"x,k,y\n1,1,0\n" + secret + ",1,1\n", "holdout.csv:3", `column "x" is no finite FP64`},
		"infinite":       {"x,k,y\ninf,1,0\n", "holdout.csv:2", `column "x" is no finite FP64`},
		"beyond":         {"x,k,y\n1,300,0\n", "holdout.csv:2", `column "k" is no INT8`},
		"fraction":       {"x,k,y\n1,1.5,0\n", "holdout.csv:2", `column "k" is no INT8`},
		"missing":        {"x,k,y\n1,,0\n", "holdout.csv:2", `column "k" is empty, which INT8 cannot be`},
		"no label":       {"x,k,y\n1,1,0\n1,1,\n", "holdout.csv:3", `the target column "y" is empty`},
		"short row":      {"x,k,y\n1,1,0\n" + secret + "\n", "holdout.csv:3", "does not have 3 cells"},
		"open quote":     {"x,k,y\n1,1,\"" + secret, "holdout.csv:2", "is no CSV"},
		"after newline":  {"x,k,y\n1,1,0\n\"1\",1,\"a\nb\"\n" + secret + ",1,0\n", "holdout.csv:5", `column "x"`},
		"endless quote":  {"x,k,y\n1,1,\"" + strings.Repeat("a\n", 1<<20), "holdout.csv", "has a row of more than 1024 KiB after row 0"},
		"endless header": {strings.Repeat("a", 3<<20), "holdout.csv", "has a row of more than 1024 KiB"},
		"many columns":   {strings.Repeat("a,", 1<<15), "holdout.csv:1", "has more than 16384 columns"},
	} {
		t.Run(name, func(t *testing.T) {
			m := scoring()
			m.Schema.Inputs = inputs
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(c.file), bounds(atLeast("accuracy", 0.5)), m, nil)
			if results != nil {
				t.Errorf("%+v", results)
			}
			checkUnusable(t, err, c.place, c.want)
		})
	}
	t.Run("target is an input", func(t *testing.T) {
		m := scoring()
		m.Schema.Inputs = append(m.Schema.Inputs, tensor.Field{Name: "y", Type: tensor.FP64})
		_, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(atLeast("accuracy", 0.5)), m, nil)
		checkUnusable(t, err, "holdout.csv:1", "which is an input of the model")
	})
	t.Run("a number for rmse", func(t *testing.T) {
		_, err := evaluate.Holdout(t.Context(), strings.NewReader("x,y\n1,"+secret+"\n"), bounds(spec.Metric{Name: "rmse", Bound: 1}), scoring(), nil)
		checkUnusable(t, err, "holdout.csv:2", `the target column "y" is no finite number`)
	})
	t.Run("classes without end", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("x,y\n")
		for i := range 1002 {
			fmt.Fprintf(&b, "0,%d\n", i)
		}
		_, err := evaluate.Holdout(t.Context(), strings.NewReader(b.String()), bounds(atLeast("accuracy", 0.5)), scoring(), nil)
		checkUnusable(t, err, "holdout.csv:1002", "is one more than 1000 classes")
	})
	t.Run("broken reader", func(t *testing.T) {
		_, err := evaluate.Holdout(t.Context(), io.MultiReader(strings.NewReader("x,y\n1,"), iotest.ErrReader(errors.New("disk"))), bounds(atLeast("accuracy", 0.5)), scoring(), nil)
		var e *slipway.Error
		if !errors.As(err, &e) || e.Kind != slipway.Unavailable || strings.Contains(e.Error(), "disk") {
			t.Errorf("%v", err)
		}
	})
}

// TestHoldoutModel: what a model does wrong fails, what keeps it from being asked is
// unknown.
func TestHoldoutModel(t *testing.T) {
	check := func(m evaluate.Model) []verdict.Result {
		results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(atLeast("roc_auc", 0.5)), m, nil)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) { same(t, check(refusing(c.err)), "holdout "+c.want.String()) })
	}
	for name, change := range map[string]func(out *tensor.Batch) (*tensor.Batch, error){
		"nothing":  func(*tensor.Batch) (*tensor.Batch, error) { return nil, nil },
		"empty":    func(*tensor.Batch) (*tensor.Batch, error) { return &tensor.Batch{}, nil },
		"too few":  func(out *tensor.Batch) (*tensor.Batch, error) { return out.Slice(0, 3), nil },
		"no shape": func(out *tensor.Batch) (*tensor.Batch, error) { out.Tensors[1].Shape = nil; return out, nil },
		"cut off": func(out *tensor.Batch) (*tensor.Batch, error) {
			out.Tensors[1].Data = out.Tensors[1].Data[:8]
			return out, nil
		},
		"no probability": func(out *tensor.Batch) (*tensor.Batch, error) { out.Tensors = out.Tensors[:1]; return out, nil },
		"no width": func(out *tensor.Batch) (*tensor.Batch, error) {
			out.Tensors[1] = tensor.NewFloat64("probability", []int{4, 0}, nil)
			return out, nil
		},
	} {
		t.Run(name, func(t *testing.T) { same(t, check(answering(change)), "holdout fail") })
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		results := check(answering(func(out *tensor.Batch) (*tensor.Batch, error) {
			out.Tensors[1] = tensor.NewFloat64("probability", []int{4}, []float64{0, 0, v, 0})
			return out, nil
		}))
		same(t, results, "holdout fail")
		if !strings.Contains(results[0].Message, "line 4 of holdout.csv") {
			t.Errorf("%+v", results[0])
		}
	}
}

// TestHoldoutUndefined: a metric without a value fails, and the others are still judged.
func TestHoldoutUndefined(t *testing.T) {
	results, err := evaluate.Holdout(t.Context(), strings.NewReader("x,y\n0.6,1\n0.7,1\n"), bounds(atLeast("roc_auc", 0.5), atLeast("accuracy", 0.5)), scoring(), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "holdout pass", "roc_auc fail", "accuracy pass")
}

// TestLive: whatever is wrong with the live version, it never fails the candidate.
func TestLive(t *testing.T) {
	renamed := scoring()
	renamed.Schema.Inputs = []tensor.Field{{Name: "old", Type: tensor.FP64, Required: true}}
	stricter := scoring()
	stricter.Schema.Inputs = []tensor.Field{{Name: "x", Type: tensor.Int64, Required: true}}
	better := answering(func(out *tensor.Batch) (*tensor.Batch, error) {
		out.Tensors[1] = tensor.NewFloat64("probability", []int{4}, []float64{0, 1, 0, 1})
		return out, nil
	})
	same4 := []string{"holdout pass", "roc_auc pass"}
	for name, c := range map[string]struct {
		live evaluate.Model
		want []string
	}{
		"equal":          {scoring(), append(same4, "roc_auc beside live pass")},
		"better":         {better, append(same4, "roc_auc beside live warn")},
		"other columns":  {renamed, append(same4, "live warn")},
		"other types":    {stricter, append(same4, "live warn")},
		"not available":  {refusing(errors.New("gone")), append(same4, "live warn")},
		"no probability": {answering(func(out *tensor.Batch) (*tensor.Batch, error) { return &tensor.Batch{Tensors: out.Tensors[:1]}, nil }), append(same4, "live warn")},
	} {
		t.Run(name, func(t *testing.T) {
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(atLeast("roc_auc", 0.7)), scoring(), &c.live)
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, c.want...)
		})
	}
}

// TestFigures: two numbers that differ never look equal.
func TestFigures(t *testing.T) {
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(fine), bounds(atLeast("roc_auc", 0.75000001)), scoring(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := results[1].Message; got != "0.75, at least 0.75000001 is required" {
		t.Error(got)
	}
}

func TestHoldoutEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := answering(func(*tensor.Batch) (*tensor.Batch, error) { cancel(); return nil, context.Canceled })
	if results, err := evaluate.Holdout(ctx, strings.NewReader(fine), bounds(atLeast("roc_auc", 0.7)), m, nil); !errors.Is(err, context.Canceled) || results != nil {
		t.Errorf("%v %v", results, err)
	}
}

// FuzzHoldout: no file makes it panic, and each gives results or an error of its own.
func FuzzHoldout(f *testing.F) {
	for _, s := range []string{"", fine, "\xef\xbb\xbfx,y\n,1\nnan,0\n1e400,1\n", "y,x\n\"a\nb\",1\n\"c\"\"d\",2\n", "x,y\n1\n", "x,y\r\n0x1p-2,true\r\n1_0,false\r\n", "x,y\n1,\"\n", "x;y\n1;2\n", "x,y,z\n0.1,0,a\n0.1,1,a\n0.9,0,b\n0.9,1,b\n"} {
		f.Add([]byte(s))
	}
	metrics := bounds(atLeast("roc_auc", 0.5), atLeast("f1", 0.5), spec.Metric{Name: "log_loss", Bound: 1})
	live := scoring()
	live.Schema.Inputs[0].Type, live.Schema.Inputs[0].Required = tensor.Int8, false
	f.Fuzz(func(t *testing.T, file []byte) {
		sliced := metrics
		sliced.Slices = []spec.Slice{{By: "x", Metric: "f1", HigherIsBetter: true, MaxGap: 0.1, MinRows: 1}, {By: "z", Metric: "roc_auc", MinRows: 2}}
		for _, v := range []spec.Validation{metrics, sliced} {
			results, err := evaluate.Holdout(t.Context(), strings.NewReader(string(file)), v, scoring(), &live)
			var e *slipway.Error
			switch {
			case err != nil && (!errors.As(err, &e) || e.Code != slipway.CodeHoldout || e.Field == ""):
				t.Fatal(err)
			case err == nil && len(verdicts(t, results)) == 0:
				t.Fatal("no results")
			}
		}
	})
}
