package mlmodel_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
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

// TestBattery trains models with the libraries themselves and holds every answer to theirs.
func TestBattery(t *testing.T) {
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("there is no .venv: make .venv")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), python, "testdata/battery.py", dir)
	cmd.Stderr = new(bytes.Buffer)
	index, err := cmd.Output()
	if err != nil {
		t.Fatalf("battery.py: %v\n%s", err, cmd.Stderr)
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
	t.Logf("%d models of XGBoost and %d of LightGBM; the largest difference is %.2g·max(1,|y|), of %s", count["xgboost"], count["lightgbm"], worst, where)
	if n := count["xgboost"] + count["lightgbm"]; n < 190 {
		t.Errorf("%d models are too few", n)
	}
}

// compare gives the largest |Δ|/max(1,|y|) of a model's answers.
func (m *trained) compare(t *testing.T, dir string) (worst float64) {
	b, err := os.ReadFile(filepath.Join(dir, m.Name+".model"))
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := mlmodel.OpenTree(modelDir(m.Flavor, m.Class, b, `[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,-1]}}]`))
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
		in := tensor.NewFloat64("input", []int{part[1] - part[0], m.Features}, rows[part[0]*m.Features:part[1]*m.Features])
		out, err := p.Predict(&tensor.Batch{Tensors: []tensor.Tensor{in}})
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
