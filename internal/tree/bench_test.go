package tree_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/slipway-ml/slipway/internal/tree"
)

// rawNode is a node of the models that tests make.
type rawNode struct {
	left, right, feature int
	condition            float64
	defaultLeft          int
}

// modelJSON writes trees as XGBoost writes a file. Edit, if not nil, changes the document.
func modelJSON(t testing.TB, features int, trees [][]rawNode, edit func(doc map[string]any)) []byte {
	t.Helper()
	info, list := make([]int, len(trees)), []any{}
	for _, nodes := range trees {
		tree := map[string]any{"tree_param": map[string]any{"num_nodes": fmt.Sprint(len(nodes)), "num_deleted": "0", "size_leaf_vector": "1"}}
		l, r, f, d, split, c := []int{}, []int{}, []int{}, []int{}, []int{}, []float64{}
		for _, n := range nodes {
			l, r, f, d, c = append(l, n.left), append(r, n.right), append(f, n.feature), append(d, n.defaultLeft), append(c, n.condition)
			split = append(split, 0)
		}
		tree["left_children"], tree["right_children"], tree["split_indices"] = l, r, f
		tree["default_left"], tree["split_conditions"], tree["split_type"] = d, c, split
		list = append(list, tree)
	}
	doc := map[string]any{
		"version": []int{3, 2, 0},
		"learner": map[string]any{
			"attributes": map[string]any{},
			"gradient_booster": map[string]any{"name": "gbtree", "model": map[string]any{
				"gbtree_model_param": map[string]any{"num_trees": fmt.Sprint(len(trees)), "num_parallel_tree": "1"},
				"tree_info":          info,
				"trees":              list,
			}},
			"learner_model_param": map[string]any{"base_score": "[5E-1]", "num_class": "0", "num_feature": fmt.Sprint(features), "num_target": "1"},
			"objective":           map[string]any{"name": "reg:squarederror"},
		},
	}
	if edit != nil {
		edit(doc)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fullTree is a tree with all paths of the given depth and random splits.
func fullTree(rng *rand.Rand, depth, features int) []rawNode {
	inner := 1<<depth - 1
	nodes := make([]rawNode, 2*inner+1)
	for i := range nodes {
		nodes[i] = rawNode{-1, -1, 0, rng.NormFloat64(), 0}
		if i < inner {
			nodes[i] = rawNode{2*i + 1, 2*i + 2, rng.IntN(features), rng.NormFloat64(), rng.IntN(2)}
		}
	}
	return nodes
}

func BenchmarkPredict(b *testing.B) {
	const features, count, depth = 30, 100, 6
	rng := rand.New(rand.NewPCG(1, 2))
	var trees [][]rawNode
	for range count {
		trees = append(trees, fullTree(rng, depth, features))
	}
	m, err := tree.Load(modelJSON(b, features, trees, nil), tree.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]float32, 1000*features)
	for i := range rows {
		rows[i] = float32(rng.NormFloat64())
	}
	out := make([]float32, 1000)
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; n+i > 1000 {
					i = 0
				}
				if _, err := m.Predict(rows[i*features:(i+n)*features], n, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}
