package mlmodel

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel/onnxfile"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// graphValue is an input or output of a graph; a negative dimension is a dynamic one.
func graphValue(name string, t tensor.Type, shape ...int64) onnxfile.Value {
	v := onnxfile.Value{Name: name, Type: t, Ranked: true, Spelt: "tensor(" + t.String() + ")"}
	for _, d := range shape {
		v.Shape = append(v.Shape, onnxfile.Dim{Size: d})
	}
	return v
}

func columnsOf(kind string, names ...string) *Signature {
	s := &Signature{}
	for _, n := range names {
		s.Inputs = append(s.Inputs, Field{Name: n, Type: kind, Required: true})
	}
	return s
}

func TestSchemaOfGraph(t *testing.T) {
	x, y := graphValue("x", tensor.FP32, -1, 3), graphValue("y", tensor.FP32, -1, 1)
	for what, c := range map[string]struct {
		in, out   []onnxfile.Value
		signature *Signature
		want      string // of the schema, or of the error
	}{
		"no signature":           {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, want: "x FP32 [3] > y FP32 [1]"},
		"a single value":         {in: []onnxfile.Value{graphValue("x", tensor.Int8)}, out: []onnxfile.Value{graphValue("y", tensor.Bool)}, want: "x INT8 [] > y BOOL []"},
		"fixed rows":             {in: []onnxfile.Value{graphValue("x", tensor.FP32, 1, 3)}, out: []onnxfile.Value{graphValue("y", tensor.FP32, 7, 2)}, want: "x FP32 [3] > y FP32 [7 2]"},
		"columns of a matrix":    {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, signature: columnsOf("double", "a", "b", "c"), want: "a FP64 [] b FP64 [] c FP64 [] > y FP32 []"},
		"columns by name":        {in: []onnxfile.Value{graphValue("b", tensor.FP32, -1, 1), graphValue("a", tensor.Int64, -1)}, out: []onnxfile.Value{y}, signature: columnsOf("long", "a", "b"), want: "a INT64 [] b INT64 [] > y FP32 []"},
		"another name":           {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, signature: &Signature{Inputs: []Field{{Type: "tensor", DType: "float64", Shape: []int64{-1, 3}}}}, want: "input FP64 [3] > y FP32 [1]"},
		"too few columns":        {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, signature: columnsOf("double", "a", "b"), want: "2 columns make no input of the shape [?, 3]"},
		"texts for numbers":      {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, signature: columnsOf("string", "a", "b", "c"), want: "cannot become"},
		"numbers for whole ones": {in: []onnxfile.Value{graphValue("x", tensor.Int64, -1, 1)}, out: []onnxfile.Value{y}, signature: columnsOf("double", "x"), want: "cannot become"},
		"a column is missing":    {in: []onnxfile.Value{x, graphValue("k", tensor.FP32, -1)}, out: []onnxfile.Value{y}, signature: columnsOf("double", "x", "b"), want: "does not have the shape"},
		"a name is missing":      {in: []onnxfile.Value{graphValue("a", tensor.FP32, -1), graphValue("k", tensor.FP32, -1)}, out: []onnxfile.Value{y}, signature: columnsOf("double", "a", "b"), want: `"k", which the signature does not have`},
		"another shape":          {in: []onnxfile.Value{x}, out: []onnxfile.Value{y}, signature: &Signature{Inputs: []Field{{Type: "tensor", DType: "float32", Shape: []int64{-1, 4}}}}, want: "does not have the shape"},
		"a sequence":             {in: []onnxfile.Value{x}, out: []onnxfile.Value{{Name: "s", Spelt: "a sequence"}}, want: "zipmap"},
		"no shape":               {in: []onnxfile.Value{x}, out: []onnxfile.Value{{Name: "s", Type: tensor.FP32}}, want: "how many dimensions"},
		"nothing":                {want: "no inputs"},
	} {
		m := &Model{Signature: c.signature, ONNX: &ONNX{Data: "model.onnx", Graph: &onnxfile.Graph{Inputs: c.in, Outputs: c.out}}}
		s, err := m.Schema(nil)
		got := spellSchema(s)
		if err != nil {
			e := slipway.AsError(err)
			got = e.Message + " " + e.Next
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func spellSchema(s tensor.Schema) string {
	var b strings.Builder
	for _, f := range s.Inputs {
		b.WriteString(spellField(f) + " ")
	}
	b.WriteString(">")
	for _, f := range s.Outputs {
		b.WriteString(" " + spellField(f))
	}
	return b.String()
}

func spellField(f tensor.Field) string {
	out := f.Name + " " + f.Type.String() + " ["
	for i, n := range f.Shape {
		if i > 0 {
			out += " "
		}
		out += string(rune('0' + n))
	}
	return out + "]"
}

// TestBeside holds files of weights in the directory of the model.
func TestBeside(t *testing.T) {
	dir := fstest.MapFS{"onnx/w.bin": {Data: []byte("w")}, "secret": {Data: []byte("s")}}
	o := ONNX{Data: "onnx/model.onnx"}
	for name, ok := range map[string]bool{"w.bin": true, "./w.bin": true, "lost.bin": false, "../secret": false, "/secret": false, "x/../../secret": false, "": false, ".": false, `..\secret`: false} {
		if err := o.beside(dir, name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestIgnored(t *testing.T) {
	for want, o := range map[string]ONNX{
		"": {Providers: []string{"CUDAExecutionProvider", "CPUExecutionProvider"}},
		"its execution providers (TensorrtExecutionProvider) and its session options": {Providers: []string{"TensorrtExecutionProvider", "CPUExecutionProvider"}, Options: true},
	} {
		if diff := cmp.Diff(want, o.Ignored()); diff != "" {
			t.Error(diff)
		}
	}
}
