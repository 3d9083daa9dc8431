package python

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// TestSplitUndoesJoin joins batches and splits an answer that is the batch itself.
func TestSplitUndoesJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *tensor.Batch {
			n := rapid.IntRange(1, 4).Draw(t, "rows")
			wide := rapid.SliceOfN(rapid.Float64(), 2*n, 2*n).Draw(t, "wide")
			names := rapid.SliceOfN(rapid.String(), n, n).Draw(t, "names")
			return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("wide", []int{n, 2}, wide),
				{Name: "names", Type: tensor.Bytes, Shape: []int{n}, Strings: names}}}
		}), 1, 5).Draw(t, "parts")
		for _, p := range parts {
			if !fits(parts[0], p) {
				t.Fatal("they do not fit")
			}
		}
		got, err := split(join(parts), parts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range parts {
			a, b := tensor.AppendBatch(nil, parts[i]), tensor.AppendBatch(nil, got[i])
			if d := cmp.Diff(a, b); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestFits(t *testing.T) {
	batch := func(name string, shape ...int) *tensor.Batch {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64(name, shape, make([]float64, n))}}
	}
	one := batch("x", 1, 2)
	for _, tt := range []struct {
		b    *tensor.Batch
		want bool
	}{{batch("x", 3, 2), true}, {batch("y", 1, 2), false}, {batch("x", 1, 3), false}, {batch("x", 1), false}, {&tensor.Batch{}, false}} {
		if got := fits(one, tt.b); got != tt.want {
			t.Errorf("fits %v: %v", tt.b, got)
		}
	}
	if _, err := split(batch("y", 2), []*tensor.Batch{batch("x", 1, 2), batch("x", 2, 2)}); err == nil {
		t.Error("two rows for three are split")
	}
}
