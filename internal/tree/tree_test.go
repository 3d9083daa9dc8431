package tree_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree"
)

// walk is the plain definition of a tree's answer.
func walk(nodes []rawNode, row []float32) float32 {
	i := 0
	for nodes[i].left >= 0 {
		n := nodes[i]
		x := float64(row[n.feature])
		left := x < float64(float32(n.condition))
		if math.IsNaN(x) {
			left = n.defaultLeft == 1
		}
		if i = n.right; left {
			i = n.left
		}
	}
	return float32(nodes[i].condition)
}

// drawTree grows a tree of any shape whose thresholds are values that rows have too.
func drawTree(t *rapid.T, features int) []rawNode {
	nodes := []rawNode{{-1, -1, 0, 0, 0}}
	for i := 0; i < len(nodes); i++ {
		if len(nodes) < 60 && rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
			nodes[i] = rawNode{len(nodes), len(nodes) + 1, rapid.IntRange(0, features-1).Draw(t, "feature"),
				float64(rapid.IntRange(-3, 3).Draw(t, "threshold")), rapid.IntRange(0, 1).Draw(t, "defaultLeft")}
			nodes = append(nodes, rawNode{}, rawNode{})
			continue
		}
		nodes[i] = rawNode{-1, -1, 0, float64(rapid.Float32Range(-10, 10).Draw(t, "leaf")), 0}
	}
	return nodes
}

// TestPredictIsTheDefinition holds the compiled walk against the plain one, for any number
// of rows and trees.
func TestPredictIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		features := rapid.IntRange(1, 4).Draw(rt, "features")
		var trees [][]rawNode
		for range rapid.IntRange(0, 9).Draw(rt, "trees") {
			trees = append(trees, drawTree(rt, features))
		}
		m, err := tree.Load(modelJSON(t, features, trees, nil), tree.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		nrows := rapid.SampledFrom([]int{0, 1, 3, 4, 6, 65, 131}).Draw(rt, "rows")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		rows := make([]float32, nrows*features)
		for i := range rows {
			if rows[i] = float32(rng.IntN(9) - 4); rng.IntN(5) == 0 {
				rows[i] = float32(math.NaN())
			}
		}
		want := make([]float32, nrows)
		for r := range want {
			want[r] = 0.5
			for _, nodes := range trees {
				want[r] += walk(nodes, rows[r*features:])
			}
		}
		got, err := m.Predict(rows, nrows, make([]float32, nrows))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// TestBestIteration: a wrapper stops at the best iteration, a Booster does not.
func TestBestIteration(t *testing.T) {
	for _, file := range []string{"v17_skl_multi_stop.ubj", "v21_skl_binary_stop.json", "v32_skl_regressor_stop.ubj",
		"v17_skl_targets_stop.ubj", "v32_dart_skl_stop.ubj", "v32_skl_vector.ubj"} {
		all, best := load(t, file, tree.Options{}), load(t, file, tree.Options{Wrapper: true})
		if best.NumTrees() == 0 || best.NumTrees() >= all.NumTrees() {
			t.Errorf("%s: %d trees with the best iteration, %d without", file, best.NumTrees(), all.NumTrees())
		}
	}
}

func TestPredictRefuses(t *testing.T) {
	m, err := tree.Load(modelJSON(t, 2, [][]rawNode{stump()}, nil), tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	inf := float32(math.Inf(1))
	tests := []struct {
		name string
		rows []float32
		n    int
		out  int
		code string
	}{
		{"infinite", []float32{inf, 1}, 1, 1, slipway.CodeSchema},
		{"minus infinite", []float32{1, -inf}, 1, 1, slipway.CodeSchema},
		{"short row", []float32{1}, 1, 1, slipway.CodeInvalid},
		{"no room", []float32{1, 2}, 1, 0, slipway.CodeInvalid},
		{"negative", nil, -1, 0, slipway.CodeInvalid},
	}
	for _, tt := range tests {
		_, err := m.Predict(tt.rows, tt.n, make([]float32, tt.out))
		if !errors.Is(err, &slipway.Error{Code: tt.code}) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.code)
		}
	}
}

// TestPredictAllocatesNothing holds what the comment of Margins promises.
func TestPredictAllocatesNothing(t *testing.T) {
	for _, file := range []string{"v32_digits_d8.ubj", "v32_cat_softprob.ubj", "v32_vector_sq.json", "v32_linear_softprob.ubj"} {
		m := load(t, file, tree.Options{})
		rows, out := make([]float32, 70*m.NumFeature()), make([]float32, 70*m.Groups())
		if n := testing.AllocsPerRun(100, func() { _, _ = m.Predict(rows, 70, out) }); n != 0 {
			t.Errorf("%s: %v allocations", file, n)
		}
	}
}
