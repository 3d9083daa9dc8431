package evaluate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

func goldens(t testing.TB, file string, m evaluate.Model) ([]verdict.Result, error) {
	t.Helper()
	return evaluate.Goldens(t.Context(), strings.NewReader(file), spec.Golden{File: "golden.jsonl", Tolerance: 1e-3}, m)
}

const agreeing = `{"inputs": {"x": 0.25}, "outputs": {"predict": 0, "probability": 0.2505}}` + "\n"

// answer gives every request the same output.
func answer(out tensor.Tensor) evaluate.Model {
	return answering(func(*tensor.Batch) (*tensor.Batch, error) { return &tensor.Batch{Tensors: []tensor.Tensor{out}}, nil })
}

func TestGoldens(t *testing.T) {
	one := []int{1}
	number := func(v float64) evaluate.Model { return answer(tensor.NewFloat64("predict", one, []float64{v})) }
	for name, c := range map[string]struct {
		file, want string
		model      evaluate.Model
	}{
		"agrees":         {agreeing + "\n" + agreeing, "2 of 2 records agree within 0.001", scoring()},
		"missing input":  {`{"inputs": {"x": null, "more": 1}, "outputs": {"predict": 0}}`, `1 of 1 records differ, first in line 1: output "probability" is not finite`, scoring()},
		"label":          {agreeing + strings.Replace(agreeing, "0,", "1,", 1), `1 of 2 records differ, first in line 2: output "predict" is not the recorded whole number`, scoring()},
		"two":            {"\n" + strings.Repeat(`{"inputs": {"x": 0.25}, "outputs": {"probability": 0.3}}`+"\n", 2), `2 of 2 records differ, first in line 2: output "probability" is off by 0.05 where 0.001 is allowed`, scoring()},
		"no output":      {`{"inputs": {"x": 0.25}, "outputs": {"shap": 0.3}}`, `the model gives no output "shap"`, scoring()},
		"any name":       {`{"inputs": {"x": 0.25}, "outputs": {"score": 7}}`, "1 of 1 records agree", number(7)},
		"relative":       {`{"inputs": {"x": 0.25}, "outputs": {"predict": 2000}}`, "1 of 1 records agree", number(2001.9)},
		"relative, off":  {`{"inputs": {"x": 0.25}, "outputs": {"predict": 2000}}`, "is off by 2.1 where 2 is allowed", number(2002.1)},
		"absolute":       {`{"inputs": {"x": 0.25}, "outputs": {"predict": 0.0001}}`, "1 of 1 records agree", number(0)},
		"exact integers": {`{"inputs": {"x": 0.25}, "outputs": {"predict": 9000000}}`, "is not the recorded whole number", answer(tensor.NewInt64("predict", one, []int64{9000001}))},
		"large integers": {`{"inputs": {"x": 0.25}, "outputs": {"predict": 9007199254740993}}`, "is not the recorded whole number", answer(tensor.NewInt64("predict", one, []int64{9007199254740992}))},
		"text":           {`{"inputs": {"x": 0.25}, "outputs": {"predict": "ash"}}`, "1 of 1 records agree", answer(tensor.NewStrings("predict", one, []string{"ash"}))},
		"other text":     {`{"inputs": {"x": 0.25}, "outputs": {"predict": "oak"}}`, "is another text", answer(tensor.NewStrings("predict", one, []string{"ash"}))},
		"truth":          {`{"inputs": {"x": 0.25}, "outputs": {"predict": true}}`, "is not the recorded truth value", answer(tensor.Tensor{Name: "predict", Type: tensor.Bool, Shape: one, Data: []byte{0}})},
		"no number":      {`{"inputs": {"x": 0.25}, "outputs": {"predict": 1}}`, "is no number", answer(tensor.NewStrings("predict", one, []string{"1"}))},
		"vector":         {`{"inputs": {"x": 0.25}, "outputs": {"predict": [[1, 2]]}}`, "1 of 1 records agree", answer(tensor.NewFloat64("predict", []int{1, 2}, []float64{1, 2}))},
		"other length":   {`{"inputs": {"x": 0.25}, "outputs": {"predict": [1, 2, 3]}}`, "has 2 values where 3 are recorded", answer(tensor.NewFloat64("predict", []int{1, 2}, []float64{1, 2}))},
	} {
		t.Run(name, func(t *testing.T) {
			results, err := goldens(t, c.file, c.model)
			if err != nil {
				t.Fatal(err)
			}
			want := "golden fail"
			if strings.Contains(c.want, "agree") {
				want = "golden pass"
			}
			same(t, results, want)
			if !strings.Contains(results[0].Message, c.want) {
				t.Errorf("%q, want %q", results[0].Message, c.want)
			}
		})
	}
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			results, err := goldens(t, agreeing, refusing(c.err))
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, "golden "+c.want.String())
		})
	}
}

func TestGoldensUnusable(t *testing.T) {
	for name, c := range map[string]struct{ file, place, want string }{
		"empty":          {"\n \n", "golden.jsonl", "has no records"},
		"no JSON":        {agreeing + secret, "golden.jsonl:2", "is no golden record"},
		"cut off":        {agreeing[:40], "golden.jsonl:1", "is no golden record"},
		"two in a line":  {strings.TrimSpace(agreeing) + agreeing, "golden.jsonl:1", "holds more than one record"},
		"unknown key":    {`{"inputs": {"x": 1}, "outputs": {"predict": 0}, "` + secret + `": 1}`, "golden.jsonl:1", "is no golden record"},
		"no inputs":      {`{"outputs": {"predict": 0}}`, "golden.jsonl:1", "has no inputs or no outputs"},
		"list of inputs": {`{"inputs": [1], "outputs": {"predict": 0}}`, "golden.jsonl:1", "has no inputs or no outputs"},
		"no outputs":     {`{"inputs": {"x": 1}, "outputs": {}}`, "golden.jsonl:1", "has no inputs or no outputs"},
		"no feature":     {`{"inputs": {"z": 1}, "outputs": {"predict": 0}}`, "golden.jsonl:1", "does not fit the model's signature"},
		"wrong feature":  {`{"inputs": {"x": "` + secret + `"}, "outputs": {"predict": 0}}`, "golden.jsonl:1", "does not fit the model's signature: inputs.x"},
		"null output":    {`{"inputs": {"x": 1}, "outputs": {"predict": null}}`, "golden.jsonl:1", `output "predict" cannot be compared`},
		"object output":  {`{"inputs": {"x": 1}, "outputs": {"predict": {"a": 1}}}`, "golden.jsonl:1", `output "predict" cannot be compared`},
		"empty output":   {`{"inputs": {"x": 1}, "outputs": {"predict": []}}`, "golden.jsonl:1", `output "predict" cannot be compared`},
		"huge number":    {`{"inputs": {"x": 1}, "outputs": {"predict": 1e999}}`, "golden.jsonl:1", `output "predict" cannot be compared`},
		"long line":      {agreeing + strings.Repeat("x", 2<<20), "golden.jsonl:2", "is longer than 1024 KiB"},
		"many records":   {strings.Repeat(agreeing, 10_001), "golden.jsonl", "has more than 10000 records"},
		"many bytes":     {strings.Repeat(strings.Repeat(" ", 1<<19)+"\n", 129), "golden.jsonl", "or 64 MiB"},
		"deep":           {`{"inputs": ` + strings.Repeat(`{"x":`, 20_000), "golden.jsonl:1", "is no golden record"},
	} {
		t.Run(name, func(t *testing.T) {
			results, err := goldens(t, c.file, scoring())
			if results != nil {
				t.Errorf("%+v", results)
			}
			checkUnusable(t, err, c.place, c.want)
		})
	}
}

func TestGoldensEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := evaluate.Goldens(ctx, strings.NewReader(agreeing), spec.Golden{File: "golden.jsonl"}, scoring()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestExample(t *testing.T) {
	const frame = `{"columns": ["x"], "data": [[0.1], [0.7]]}`
	for name, c := range map[string]struct {
		file, want, message string
		model               evaluate.Model
	}{
		"request":       {`{"dataframe_split": ` + frame + `}`, "pass", "2 rows", scoring()},
		"frame":         {frame, "pass", "2 rows", scoring()},
		"records":       {`[{"x": 0.1}]`, "pass", "1 rows", scoring()},
		"inputs":        {`{ "inputs": {"x": [0.1, 0.2, 0.3]}}`, "pass", "3 rows", scoring()},
		"no rows":       {`{"columns": ["x"], "data": []}`, "fail", "has no rows", scoring()},
		"other columns": {`{"columns": ["z"], "data": [[1]]}`, "fail", "does not fit the signature", scoring()},
		"no JSON":       {secret, "fail", "does not fit the signature", scoring()},
		"large":         {strings.Repeat(" ", 5<<20), "fail", "cannot be read", scoring()},
		"NaN":           {`{"inputs": {"x": [0.1, null]}}`, "fail", `output "probability" is not finite for row 2`, scoring()},
		"one output":    {frame, "fail", `output "probability" is missing`, answer(tensor.NewInt64("predict", []int{2}, []int64{0, 1}))},
		"wide": {frame, "fail", `a row of output "predict" has the shape [2], not []`, answering(func(out *tensor.Batch) (*tensor.Batch, error) {
			out.Tensors[0] = tensor.NewInt64("predict", []int{2, 2}, make([]int64, 4))
			return out, nil
		})},
		"column of one": {frame, "pass", "2 rows", answering(func(out *tensor.Batch) (*tensor.Batch, error) {
			out.Tensors[0].Shape = []int{2, 1}
			return out, nil
		})},
		"not available": {frame, "unknown", "could not be asked", refusing(errors.New("gone"))},
		"model failed":  {frame, "fail", "answers with an error", refusing(slipway.Errorf(slipway.Internal, slipway.CodeModelFailed, "read the log", "it failed"))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fstest.MapFS{"example.json": {Data: []byte(c.file)}}
			results, err := evaluate.Example(t.Context(), dir, &mlmodel.Model{Example: "example.json"}, c.model)
			if err != nil {
				t.Fatal(err)
			}
			same(t, results, "example "+c.want)
			if got := results[0].Message; !strings.Contains(got, c.message) || strings.Contains(got, secret) {
				t.Errorf("%q, want %q", got, c.message)
			}
		})
	}
	for name, c := range map[string]struct {
		saved mlmodel.Model
		want  string
	}{
		"none":   {mlmodel.Model{}, "example warn"},
		"absent": {mlmodel.Model{Example: "a.json", ServingInput: "b.json"}, "example fail"},
	} {
		results, err := evaluate.Example(t.Context(), fstest.MapFS{}, &c.saved, scoring())
		if err != nil {
			t.Fatal(name, err)
		}
		same(t, results, c.want)
	}
}

// FuzzGoldens: no file makes it panic, and each gives results or an error of its own.
func FuzzGoldens(f *testing.F) {
	for _, s := range []string{"", agreeing, agreeing + "{}", `{"inputs":{"x":1e400},"outputs":{"predict":[[1],[true,"a"]]}}`, `{"inputs":{"x":[1]},"outputs":{"":null}}`, "{\"inputs\":{\"x\":1},\"outputs\":{\"predict\":-0}}\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		results, err := goldens(t, string(file), scoring())
		var e *slipway.Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Code != slipway.CodeHoldout || e.Field == ""):
			t.Fatal(err)
		case err == nil && len(verdicts(t, results)) != 1:
			t.Fatalf("%+v", results)
		}
	})
}
