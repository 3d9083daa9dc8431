package evaluate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

func TestCompatible(t *testing.T) {
	in := func(name string, typ tensor.Type, required bool, shape ...int) tensor.Field {
		return tensor.Field{Name: name, Type: typ, Required: required, Shape: shape}
	}
	out := func(name string, typ tensor.Type, shape ...int) tensor.Field {
		return tensor.Field{Name: name, Type: typ, Shape: shape}
	}
	base := func() tensor.Schema {
		return tensor.Schema{
			Inputs:  []tensor.Field{in("age", tensor.Int32, true), in("income", tensor.FP64, false), in("city", tensor.Bytes, true), in("photo", tensor.Uint8, true, -1, 3)},
			Outputs: []tensor.Field{out("predict", tensor.Int64), out("probability", tensor.FP32, -1)}}
	}
	for name, c := range map[string]struct {
		change func(s *tensor.Schema)
		want   []string // verdict and message
	}{
		"same":                         {func(*tensor.Schema) {}, []string{"pass: whoever calls the live version can call this one"}},
		"optional input":               {func(s *tensor.Schema) { s.Inputs = append(s.Inputs, in("rent", tensor.FP32, false)) }, []string{`pass: whoever calls the live version can call this one; new: optional input "rent"`}},
		"required input":               {func(s *tensor.Schema) { s.Inputs = append(s.Inputs, in("rent", tensor.FP32, true)) }, []string{`fail: input "rent" is new and must be sent: requests without it are refused`}},
		"input that cannot be missing": {func(s *tensor.Schema) { s.Inputs = append(s.Inputs, in("zip", tensor.Bytes, false)) }, []string{`fail: input "zip" is new and must be sent: requests without it are refused`}},
		"removed input":                {func(s *tensor.Schema) { s.Inputs = s.Inputs[1:] }, []string{`fail: input "age" is gone: requests that name it are refused`}},
		"now required":                 {func(s *tensor.Schema) { s.Inputs[1].Required = true }, []string{`fail: input "income" must now be sent: requests without it are refused`}},
		"no longer required":           {func(s *tensor.Schema) { s.Inputs[0] = in("age", tensor.FP64, false) }, []string{"pass: whoever calls the live version can call this one"}},
		"wider input":                  {func(s *tensor.Schema) { s.Inputs[0].Type = tensor.Int64 }, []string{"pass: whoever calls the live version can call this one"}},
		"narrower input":               {func(s *tensor.Schema) { s.Inputs[0].Type = tensor.Int16 }, []string{`fail: input "age" changes from INT32 to INT16, which does not hold every value sent so far`}},
		"narrower float":               {func(s *tensor.Schema) { s.Inputs[1].Type = tensor.FP32 }, []string{`fail: input "income" changes from FP64 to FP32, which does not hold every value sent so far`}},
		"text to number":               {func(s *tensor.Schema) { s.Inputs[2].Type = tensor.Int64 }, []string{`fail: input "city" changes from BYTES to INT64, which does not hold every value sent so far`}},
		"fixed dimension":              {func(s *tensor.Schema) { s.Inputs[3].Shape = []int{8, 3} }, []string{`fail: input "photo" changes the shape of a row from [-1 3] to [8 3]`}},
		"other rank":                   {func(s *tensor.Schema) { s.Inputs[3].Shape = []int{-1} }, []string{`fail: input "photo" changes the shape of a row from [-1 3] to [-1]`}},
		"any dimension":                {func(s *tensor.Schema) { s.Inputs[3].Shape = []int{-1, -1} }, []string{"pass: whoever calls the live version can call this one"}},
		"other order": {func(s *tensor.Schema) { s.Inputs[0], s.Inputs[1] = s.Inputs[1], s.Inputs[0] }, []string{
			"warn: the inputs have another order: requests that send rows without names are read otherwise", "pass: whoever calls the live version can call this one"}},
		"bounds": {func(s *tensor.Schema) {
			low := 1.0
			s.Inputs[0].Min, s.Inputs[1].Missing, s.Inputs[2].Enum, s.Unknown = &low, tensor.Refuse, []string{"Bonn"}, tensor.Refuse
		}, []string{`fail: input "age" is held to narrower bounds than before`, `fail: input "income" is held to narrower bounds than before`, `fail: input "city" is held to narrower bounds than before`,
			"fail: inputs that the model does not take are refused, and were dropped"}},
		"removed output": {func(s *tensor.Schema) { s.Outputs = s.Outputs[:1] }, []string{`fail: output "probability" is gone`}},
		"undeclared":     {func(s *tensor.Schema) { s.Outputs = nil }, []string{`fail: output "predict" is gone`, `fail: output "probability" is gone`}},
		"added output":   {func(s *tensor.Schema) { s.Outputs = append(s.Outputs, out("leaf", tensor.Int64)) }, []string{`pass: whoever calls the live version can call this one; new: output "leaf"`}},
		"output's type":  {func(s *tensor.Schema) { s.Outputs[1].Type = tensor.FP64 }, []string{`fail: output "probability" changes from FP32 to FP64`}},
		"fixed output":   {func(s *tensor.Schema) { s.Outputs[1].Shape = []int{2} }, []string{"pass: whoever calls the live version can call this one"}},
		"output's shape": {func(s *tensor.Schema) { s.Outputs[1].Shape = nil }, []string{`fail: output "probability" changes the shape of a row from [-1] to []`}},
		"everything": {func(s *tensor.Schema) {
			*s = tensor.Schema{Inputs: []tensor.Field{in("x", tensor.Bool, true)}, Outputs: []tensor.Field{out("y", tensor.Bool)}}
		}, []string{`fail: input "age" is gone: requests that name it are refused`, `fail: input "income" is gone: requests that name it are refused`,
			`fail: input "city" is gone: requests that name it are refused`, `fail: input "photo" is gone: requests that name it are refused`,
			`fail: input "x" is new and must be sent: requests without it are refused`, `fail: output "predict" is gone`, `fail: output "probability" is gone`}},
	} {
		t.Run(name, func(t *testing.T) {
			next := base()
			c.change(&next)
			checkCompatible(t, evaluate.Compatible(base(), next), c.want)
		})
	}
	t.Run("only output", func(t *testing.T) {
		one := tensor.Schema{Outputs: []tensor.Field{out("y", tensor.FP64)}}
		two := tensor.Schema{Outputs: []tensor.Field{out("y", tensor.FP64), out("z", tensor.FP64)}}
		checkCompatible(t, evaluate.Compatible(one, two), []string{`fail: answers of /invocations become an object of all outputs where they were output "y" alone`})
		checkCompatible(t, evaluate.Compatible(tensor.Schema{}, two), []string{"pass: whoever calls the live version can call this one"})
	})
	t.Run("one tensor", func(t *testing.T) {
		old := tensor.Schema{Inputs: []tensor.Field{in("input-1", tensor.FP32, true, 4)}}
		next := tensor.Schema{Inputs: []tensor.Field{in("x", tensor.FP32, true, -1)}}
		checkCompatible(t, evaluate.Compatible(old, next), []string{"pass: whoever calls the live version can call this one"})
		checkCompatible(t, evaluate.Compatible(next, old), []string{`fail: input "x" changes the shape of a row from [-1] to [4]`})
	})
	t.Run("many", func(t *testing.T) {
		var old tensor.Schema
		for i := range 200 {
			old.Inputs = append(old.Inputs, in(fmt.Sprintf("x%d", i), tensor.FP32, true))
		}
		results := evaluate.Compatible(old, tensor.Schema{})
		if last := results[len(results)-1]; len(results) != 51 || last.Message != "150 more fields break requests or answers" {
			t.Errorf("%d results, %+v", len(results), last)
		}
	})
}

func checkCompatible(t *testing.T, results []verdict.Result, want []string) {
	t.Helper()
	var got []string
	for _, r := range results {
		got = append(got, r.Verdict.String()+": "+r.Message)
		if r.Check != "schema" {
			t.Errorf("check %q", r.Check)
		}
	}
	verdicts(t, results)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCompatibleRequests: a request that fits the old schema fits every new one that is
// called compatible, in both protocols.
func TestCompatibleRequests(t *testing.T) {
	compatible := 0
	rapid.Check(t, func(rt *rapid.T) {
		old := drawInputs(rt, "old")
		next := slices.Clone(old)
		for i := range next {
			if rapid.IntRange(0, 2).Draw(rt, "changes") > 0 {
				continue
			}
			f := drawField(rt, next[i].Name)
			next[i].Type, next[i].Shape = f.Type, f.Shape
			next[i].Required = f.Required
		}
		if rapid.Bool().Draw(rt, "adds") {
			next = append(next, drawField(rt, "new"))
		}
		if verdict.Fold(evaluate.Compatible(tensor.Schema{Inputs: old}, tensor.Schema{Inputs: next})) == verdict.Fail {
			return
		}
		compatible++
		infer, records := drawRequest(rt, old)
		for _, s := range []tensor.Schema{{Inputs: old}, {Inputs: next}} {
			if _, _, err := tensor.ParseInfer(infer, len(infer), &s); err != nil {
				rt.Fatalf("%v\n%s\nold %+v\nnew %+v", err, infer, old, next)
			}
			if _, err := tensor.ParseInvocations(records, &s); err != nil {
				rt.Fatalf("%v\n%s\nold %+v\nnew %+v", err, records, old, next)
			}
		}
	})
	if compatible < 10 {
		t.Errorf("only %d schemas were compatible", compatible)
	}
}

func drawInputs(t *rapid.T, label string) []tensor.Field {
	var fields []tensor.Field
	for i := range rapid.IntRange(2, 4).Draw(t, label) {
		fields = append(fields, drawField(t, fmt.Sprintf("f%d", i)))
	}
	fields[0].Type, fields[0].Required, fields[0].Shape = tensor.FP64, true, nil // so that a request is never empty
	return fields
}

func drawField(t *rapid.T, name string) tensor.Field {
	f := tensor.Field{Name: name, Type: tensor.Type(rapid.IntRange(int(tensor.Bool), int(tensor.Bytes)).Draw(t, "type")), Required: rapid.Bool().Draw(t, "required")}
	if rapid.IntRange(0, 3).Draw(t, "shaped") == 0 {
		f.Shape = []int{rapid.SampledFrom([]int{-1, 1, 2}).Draw(t, "shape")}
	}
	return f
}

// drawRequest writes one row in both protocols; inputs that may be left out sometimes are.
func drawRequest(t *rapid.T, fields []tensor.Field) (infer, records []byte) {
	inputs, record := []any{}, map[string]any{}
	for _, f := range fields {
		if !f.Required && len(f.Shape) == 0 && (f.Type == tensor.FP32 || f.Type == tensor.FP64) && rapid.Bool().Draw(t, "left out") {
			continue
		}
		v := drawValue(t, f.Type)
		shape, data := []int{1}, []any{v}
		record[f.Name] = v
		if len(f.Shape) > 0 {
			n := f.Shape[0]
			if n < 0 {
				n = rapid.IntRange(1, 3).Draw(t, "length")
			}
			shape, data = []int{1, n}, slices.Repeat([]any{v}, n)
			record[f.Name] = data
		}
		inputs = append(inputs, map[string]any{"name": f.Name, "datatype": f.Type.String(), "shape": shape, "data": data})
	}
	infer, _ = json.Marshal(map[string]any{"inputs": inputs})
	records, _ = json.Marshal(map[string]any{"dataframe_records": []any{record}})
	return infer, records
}

// drawValue is often one end of what a type holds.
func drawValue(t *rapid.T, typ tensor.Type) any {
	high := rapid.Bool().Draw(t, "high")
	pick := func(low, top any) any {
		if high {
			return top
		}
		return low
	}
	bits := 8 * typ.Size()
	switch typ {
	case tensor.Bool:
		return high
	case tensor.Bytes:
		return pick("", "a")
	case tensor.FP32:
		return pick(-math.MaxFloat32, nil)
	case tensor.FP64:
		return pick(-math.MaxFloat64, nil)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return pick(int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	default:
		return pick(uint64(0), uint64(math.MaxUint64)>>(64-bits))
	}
}
