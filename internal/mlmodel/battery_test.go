package mlmodel_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// trained is what battery.py says of one model.
type trained struct {
	Name, Flavor, Class string
	Features            int
	Answers             []string
	Directory           bool // a model directory of MLflow, else a model file
	Refused             bool // MLflow refuses what its signature lets through
}

// open opens a model.
func (m *trained) open(t *testing.T, dir string) (*mlmodel.Predictor, tensor.Schema, error) {
	t.Helper()
	from := os.DirFS(filepath.Join(dir, m.Name))
	if !m.Directory {
		b, err := os.ReadFile(filepath.Join(dir, m.Name+".model"))
		if err != nil {
			t.Fatal(err)
		}
		from = modelDir(m.Flavor, m.Class, b, `[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,-1]}}]`)
	}
	about, p, err := mlmodel.OpenTree(from)
	if err != nil {
		return nil, tensor.Schema{}, err
	}
	schema, err := about.Schema(p)
	return p, schema, err
}

// batch is rows as a schema has them: one tensor, or a column for each feature.
func batch(s tensor.Schema, rows []float64, features int) *tensor.Batch {
	b, n := &tensor.Batch{}, len(rows)/features
	if len(s.Inputs) == 1 {
		b.Tensors = append(b.Tensors, typed(s.Inputs[0], []int{n, features}, rows))
		return b
	}
	for i, f := range s.Inputs {
		column := make([]float64, n)
		for r := range column {
			column[r] = rows[r*features+i]
		}
		b.Tensors = append(b.Tensors, typed(f, []int{n}, column))
	}
	return b
}

// typed is a tensor of numbers that the field's type can hold.
func typed(f tensor.Field, shape []int, values []float64) tensor.Tensor {
	t := tensor.Tensor{Name: f.Name, Type: f.Type, Shape: shape}
	for _, v := range values {
		switch f.Type {
		case tensor.FP64:
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		case tensor.FP32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
		case tensor.Int64:
			t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(int64(v)))
		case tensor.Int32:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(int32(v)))
		case tensor.Bool:
			t.Data = append(t.Data, byte(v))
		default:
			panic("no number: " + f.Type.String())
		}
	}
	return t
}

// doubles reads a file of little-endian doubles.
func doubles(t *testing.T, file string) []float64 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(b)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

var battery = flag.String("battery", "", "a directory that battery.py filled with other versions of the libraries, its output in index.jsonl")

// train runs battery.py and gives what it says.
func train(t *testing.T, dir string) []byte {
	t.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("there is no .venv: make unit")
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/battery.py", dir)
	cmd.Stderr = new(bytes.Buffer)
	index, err := cmd.Output()
	if err != nil {
		t.Fatalf("battery.py: %v\n%s", err, cmd.Stderr)
	}
	return index
}

// TestBattery trains models with the libraries themselves and holds every answer to theirs.
func TestBattery(t *testing.T) {
	dir, least := t.TempDir(), 200
	var index []byte
	if *battery == "" {
		index = train(t, dir)
	} else {
		var err error
		dir, least = *battery, 0
		if index, err = os.ReadFile(filepath.Join(dir, "index.jsonl")); err != nil {
			t.Fatal(err)
		}
	}
	count, worst, where := map[string]int{}, 0.0, ""
	for line := range bytes.Lines(index) {
		var m trained
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		t.Run(m.Name, func(t *testing.T) {
			count[m.Flavor]++
			if d := m.compare(t, dir); d > worst {
				worst, where = d, m.Name
			}
		})
	}
	t.Logf("%d models of XGBoost, %d of LightGBM and %d directories of MLflow; the largest difference is %.2g·max(1,|y|), of %s", count["xgboost"], count["lightgbm"], count[""], worst, where)
	if n := count["xgboost"] + count["lightgbm"] + count[""]; n < least {
		t.Errorf("%d models are too few", n)
	}
}

// compare gives the largest |Δ|/max(1,|y|) of a model's answers.
func (m *trained) compare(t *testing.T, dir string) (worst float64) {
	p, schema, err := m.open(t, dir)
	if m.Refused {
		if err == nil {
			t.Error("MLflow refuses what is taken here")
		}
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := doubles(t, filepath.Join(dir, m.Name+".rows"))
	n := len(rows) / m.Features
	want := map[string][]float64{}
	for _, a := range m.Answers {
		want[a] = doubles(t, filepath.Join(dir, m.Name+"."+a))
	}
	// All rows at once, and the first ones each alone and three together.
	for _, part := range [][2]int{{0, n}, {0, 1}, {1, 2}, {2, 3}, {3, 6}, {6, 6 + 65}, {n - 1, n}} {
		out, err := p.Predict(batch(schema, rows[part[0]*m.Features:part[1]*m.Features], m.Features))
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Tensors) != len(want) {
			t.Fatalf("outputs %v, want %v", out, m.Answers)
		}
		for name, all := range want {
			width := len(all) / n
			d, err := apart(out.Tensor(name), all[part[0]*width:part[1]*width])
			if err != nil {
				t.Fatalf("rows %d to %d: %s%v", part[0], part[1], name, err)
			}
			worst = max(worst, d)
		}
	}
	return worst
}

// apart is how far numbers are from others, and fails beyond 1e-6·max(1,|y|).
func apart(got *tensor.Tensor, want []float64) (worst float64, err error) {
	if got == nil || got.Len() != len(want) {
		return 0, fmt.Errorf(": not %d values", len(want))
	}
	for i, w := range want {
		g := got.Float(i)
		if g == w || g != g && w != w {
			continue
		}
		d := math.Abs(g-w) / max(1, math.Abs(w))
		if !(d <= 1e-6) {
			return d, fmt.Errorf("[%d] = %v, want %v", i, g, w)
		}
		worst = max(worst, d)
	}
	return worst, nil
}
