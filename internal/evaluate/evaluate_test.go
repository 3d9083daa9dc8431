package evaluate_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
	"github.com/slipway-ml/slipway/templates"
)

// saved is a model of the templates, evaluated natively.
type saved struct {
	dir   fs.FS
	about *mlmodel.Model
	trees *mlmodel.Predictor
	evaluate.Model
}

func open(t testing.TB, folder string) saved {
	t.Helper()
	dir, err := fs.Sub(templates.FS, folder+"/model")
	if err != nil {
		t.Fatal(err)
	}
	m, p, err := mlmodel.OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	schema, results := evaluate.Signature(m, p)
	if v := verdict.Fold(results); v != verdict.Pass {
		t.Fatalf("%+v", results)
	}
	return saved{dir, m, p, evaluate.Model{Schema: schema, Predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) { return p.Predict(in) }}}
}

func text(t testing.TB, name string) string {
	t.Helper()
	b, err := templates.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// verdicts lists the checks in order with their verdicts and holds every result to be whole.
func verdicts(t testing.TB, results []verdict.Result) (list []string) {
	t.Helper()
	for _, r := range results {
		list = append(list, r.Check+" "+r.Verdict.String())
		if r.Check == "" || r.Message == "" || r.Verdict != verdict.Pass && r.Next == "" {
			t.Errorf("not whole: %+v", r)
		}
	}
	return list
}

func same(t testing.TB, results []verdict.Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, verdicts(t, results)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%+v", diff, results)
	}
}

// TestTemplate: the template's own file passes every check, beside the demo's weaker
// version too; the weaker version is told to be worse.
func TestTemplate(t *testing.T) {
	s, err := spec.Load("platform.yaml", []byte(text(t, "xgboost/platform.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	good, weak := open(t, "xgboost"), open(t, "demo/v1")
	results, err := evaluate.Holdout(t.Context(), strings.NewReader(text(t, "xgboost/holdout.csv")), s.Validation, good.Model, &weak.Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		t.Logf("%s %s: %s", r.Verdict, r.Check, r.Message)
	}
	same(t, results, "holdout pass", "roc_auc pass", "roc_auc beside live pass", "log_loss pass", "log_loss beside live pass")

	results, err = evaluate.Holdout(t.Context(), strings.NewReader(text(t, "xgboost/holdout.csv")), s.Validation, weak.Model, &good.Model)
	if err != nil {
		t.Fatal(err)
	}
	if verdicts(t, results)[2] != "roc_auc beside live warn" || !strings.Contains(results[2].Message, "is worse than the 0.97") {
		t.Errorf("%+v", results[2])
	}

	for _, m := range []struct {
		model  saved
		golden string
		want   string
	}{{good, "xgboost", "golden pass"}, {weak, "demo/v1", "golden pass"}, {weak, "xgboost", "golden fail"}} {
		results, err = evaluate.Goldens(t.Context(), strings.NewReader(text(t, m.golden+"/golden.jsonl")), *s.Validation.Golden, m.model.Model)
		if err != nil {
			t.Fatal(err)
		}
		same(t, results, m.want)
	}
	results, err = evaluate.Example(t.Context(), good.dir, good.about, good.Model)
	if err != nil {
		t.Fatal(err)
	}
	same(t, results, "example pass")
}

// schemaOf is a model of the given inputs that answers predict and probability.
func schemaOf(inputs ...tensor.Field) tensor.Schema {
	return tensor.Schema{Inputs: inputs, Outputs: []tensor.Field{{Name: "predict", Type: tensor.Int64}, {Name: "probability", Type: tensor.FP64}}}
}

// scoring is a model whose probability is its input x, and whose label is 1 above a half.
func scoring() evaluate.Model {
	return evaluate.Model{Schema: schemaOf(tensor.Field{Name: "x", Type: tensor.FP64, Required: true}),
		Predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
			x := in.Tensor("x")
			n := []int{in.Rows()}
			p, label := make([]float64, in.Rows()), make([]int64, in.Rows())
			for i := range p {
				p[i] = x.Float(i)
				if p[i] > 0.5 {
					label[i] = 1
				}
			}
			return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("predict", n, label), tensor.NewFloat64("probability", n, p)}}, nil
		}}
}

// answering is a scoring model whose answers a test changes.
func answering(change func(out *tensor.Batch) (*tensor.Batch, error)) evaluate.Model {
	m := scoring()
	inner := m.Predict
	m.Predict = func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		out, err := inner(ctx, in)
		if err != nil {
			return nil, err
		}
		return change(out)
	}
	return m
}

// refusing is a model that gives an error.
func refusing(err error) evaluate.Model {
	return answering(func(*tensor.Batch) (*tensor.Batch, error) { return nil, err })
}

// refusals are errors of a model and what a check says of them.
func refusals() map[string]struct {
	err  error
	want verdict.Verdict
} {
	return map[string]struct {
		err  error
		want verdict.Verdict
	}{
		"no replica":   {slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "wait", "no replica answers"), verdict.Unknown},
		"unclassified": {errors.New("connection reset"), verdict.Unknown},
		"model failed": {slipway.Errorf(slipway.Unavailable, slipway.CodeModelFailed, "read the log", "the model failed"), verdict.Fail},
		"refused rows": {slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, "send numbers", "is no number"), verdict.Fail},
	}
}

// checkUnusable holds an error to be that of an unusable file, at a place, without a value
// of the file.
func checkUnusable(t testing.TB, err error, place, want string) {
	t.Helper()
	var e *slipway.Error
	if !errors.As(err, &e) || e.Code != slipway.CodeHoldout || e.Kind != slipway.Invalid || e.Next == "" {
		t.Fatalf("%v", err)
	}
	if e.Field != place || !strings.Contains(e.Message, want) {
		t.Errorf("%q %q, want %q %q", e.Field, e.Message, place, want)
	}
	if strings.Contains(e.Error(), secret) {
		t.Errorf("quotes a value: %v", e)
	}
}

// secret is a value in files that no message may quote.
const secret = "s3cr3t-value"

func TestSignature(t *testing.T) {
	m := open(t, "xgboost")
	bare := *m.about
	bare.Signature = nil
	_, results := evaluate.Signature(&bare, m.trees)
	same(t, results, "signature fail")
	if !strings.Contains(results[0].Next, "infer_signature") {
		t.Errorf("%+v", results[0])
	}
	inputs := *m.about
	inputs.Signature = &mlmodel.Signature{Inputs: m.about.Signature.Inputs}
	_, results = evaluate.Signature(&inputs, nil)
	same(t, results, "signature warn")
}
