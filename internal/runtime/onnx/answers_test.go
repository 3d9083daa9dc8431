package onnx_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// given is a tensor as models.py writes it.
type given struct {
	Name  string            `json:"name"`
	DType string            `json:"dtype"`
	Shape []int             `json:"shape"`
	Data  []json.RawMessage `json:"data"`
}

func (g given) tensor(t *testing.T) tensor.Tensor {
	t.Helper()
	types := map[string]tensor.Type{"bool": tensor.Bool, "int8": tensor.Int8, "int16": tensor.Int16, "int32": tensor.Int32, "int64": tensor.Int64, "uint8": tensor.Uint8, "uint16": tensor.Uint16,
		"uint32": tensor.Uint32, "uint64": tensor.Uint64, "float16": tensor.FP16, "bfloat16": tensor.BF16, "float32": tensor.FP32, "float64": tensor.FP64, "string": tensor.Bytes}
	out := tensor.Tensor{Name: g.Name, Type: types[g.DType], Shape: g.Shape}
	if out.Type == tensor.Invalid {
		t.Fatalf("no type for %s", g.DType)
	}
	for _, raw := range g.Data {
		var err error
		size := out.Type.Size()
		switch out.Type {
		case tensor.Bytes:
			var s string
			err = json.Unmarshal(raw, &s)
			out.Strings = append(out.Strings, s)
		case tensor.Bool:
			out.Data = append(out.Data, map[string]byte{"false": 0, "true": 1}[string(raw)])
		case tensor.FP32, tensor.FP64:
			f, special := map[string]float64{`"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1)}[string(raw)]
			if !special {
				err = json.Unmarshal(raw, &f)
			}
			if size == 4 {
				out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(float32(f)))
			} else {
				out.Data = binary.LittleEndian.AppendUint64(out.Data, math.Float64bits(f))
			}
		default:
			var u uint64
			if raw[0] == '-' {
				var i int64
				err = json.Unmarshal(raw, &i)
				u = uint64(i)
			} else {
				err = json.Unmarshal(raw, &u)
			}
			out.Data = append(out.Data, binary.LittleEndian.AppendUint64(nil, u)[:size]...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// read reads a file of models.py. Python writes NaN and Infinity bare.
func read(t *testing.T, file string, into any) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
	return b
}

// request is the batch that a model is asked for.
func request(t *testing.T, at string, schema *tensor.Schema) *tensor.Batch {
	t.Helper()
	var asked struct {
		Tensors []given `json:"tensors"`
	}
	b := read(t, filepath.Join(at, "request.json"), &asked)
	if asked.Tensors == nil {
		in, err := tensor.ParseInvocations(b, schema)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	in := &tensor.Batch{}
	for _, g := range asked.Tensors {
		in.Tensors = append(in.Tensors, g.tensor(t))
	}
	return in
}

// bare are the numbers that Python writes and JSON does not have.
var bare = regexp.MustCompile(`(-?Infinity|NaN)([,\]])`)

// unmarshal takes them for 0 unless they are kept as text; see quoted.
func unmarshal(b []byte, into any) error {
	return json.Unmarshal(bare.ReplaceAll(b, []byte(`"$1"$2`)), into)
}

// TestAnswers holds the answers to those of the library in Python, and of MLflow.
func TestAnswers(t *testing.T) {
	library(t)
	all, err := os.ReadDir(dir(t, ""))
	if err != nil || len(all) < 26 {
		t.Fatalf("%d models, %v", len(all), err)
	}
	for _, entry := range all {
		t.Run(entry.Name(), func(t *testing.T) {
			m, schema := load(t, entry.Name())
			in := request(t, dir(t, entry.Name()), &schema)
			out, err := m.Predict(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if err := tensor.Check(out, schema.Outputs); err != nil {
				t.Error(err)
			}
			var want []given
			read(t, filepath.Join(dir(t, entry.Name()), "answer.json"), &want)
			if len(want) != len(out.Tensors) {
				t.Fatalf("%d outputs, want %d", len(out.Tensors), len(want))
			}
			for _, w := range want {
				same(t, out.Tensor(w.Name), w.tensor(t), in.Rows())
			}
		})
	}
}

// same compares bits; a single value may have got a dimension of rows, or lost one of columns.
func same(t *testing.T, have *tensor.Tensor, want tensor.Tensor, rows int) {
	t.Helper()
	if have == nil {
		t.Errorf("%s is missing", want.Name)
		return
	}
	if have.Type != want.Type || have.Shape[0] != rows || have.Len() != want.Len() {
		t.Errorf("%s is %s %v, want %s %v", want.Name, have.Type, have.Shape, want.Type, want.Shape)
		return
	}
	if !slices.Equal(have.Strings, want.Strings) {
		t.Errorf("%s has other strings", want.Name)
	}
	for i := range have.Data {
		if have.Type == tensor.FP32 || have.Type == tensor.FP64 {
			break
		}
		if have.Data[i] != want.Data[i] {
			t.Errorf("%s differs in byte %d", want.Name, i)
			return
		}
	}
	for i := range have.Len() {
		if a, b := have.Float(i), want.Float(i); have.Type != tensor.Bytes && a != b && !(math.IsNaN(a) && math.IsNaN(b)) && math.Abs(a-b) > 1e-6*max(1, math.Abs(b)) {
			t.Errorf("%s[%d] = %v, want %v", want.Name, i, a, b)
			return
		}
	}
}
