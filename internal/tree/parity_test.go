package tree_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/tree"
)

const testdata = "../../testdata/xgboost"

// nested is numbers in lists of lists, flattened; null is NaN.
type nested []float32

func (n *nested) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		var v *float32
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		if v == nil {
			*n = append(*n, float32(math.NaN()))
		} else {
			*n = append(*n, *v)
		}
		return nil
	}
	for _, e := range list {
		if string(e) == "null" { // encoding/json calls no UnmarshalJSON with null
			*n = append(*n, float32(math.NaN()))
		} else if err := n.UnmarshalJSON(e); err != nil {
			return err
		}
	}
	return nil
}

// expectation is what the library answers; see testdata/xgboost/train.py.
type expectation struct {
	Dataset, Model, Class         string
	Margins, Predict, Probability nested
}

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func load(t testing.TB, file string, o tree.Options) *tree.Model {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, "models", file))
	if err != nil {
		t.Fatal(err)
	}
	o.Name = file
	m, err := tree.Load(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compare counts equal bits and fails beyond 1e-6·max(1,|y|).
func compare(t *testing.T, what string, got, want []float32) (equal bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	equal = true
	for i := range got {
		g, w := float64(got[i]), float64(want[i])
		if !(math.Abs(g-w) <= 1e-6*max(1, math.Abs(w))) {
			t.Errorf("%s[%d] = %v, want %v", what, i, g, w)
		}
		equal = equal && got[i] == want[i]
	}
	return equal
}

// TestParity holds every model against the library's own predictions.
func TestParity(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata, "models", "*.expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var equalMargins, equalValues int
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".expect.json"), func(t *testing.T) {
			var want expectation
			readJSON(t, file, &want)
			if strings.HasPrefix(want.Model, "v17_skl_missing") {
				t.Skip("what stands for missing values is the wrapper's, and tested in mlmodel")
			}
			var rows nested
			readJSON(t, filepath.Join(testdata, "inputs", want.Dataset+".json"), &rows)

			wrapper := strings.HasPrefix(want.Class, "xgboost.sklearn.")
			m := load(t, want.Model, tree.Options{Wrapper: wrapper})
			n := len(rows) / m.NumFeature()
			out := make([]float32, n*m.Groups())
			if err := m.Margins(rows, n, out); err != nil {
				t.Fatal(err)
			}
			if compare(t, "margin", out, want.Margins) {
				equalMargins++
			}
			values, err := m.Predict(rows, n, out)
			if err != nil {
				t.Fatal(err)
			}
			expected := want.Predict
			if want.Probability != nil {
				expected = want.Probability // labels are decided elsewhere
			}
			if compare(t, "predict", values, expected) {
				equalValues++
			}
		})
	}
	t.Logf("%d models; bit for bit equal: margins of %d, predictions of %d", len(files), equalMargins, equalValues)
	if len(files) < 283 {
		t.Errorf("only %d models", len(files))
	}
}
