package tree_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree"
)

// forest is the object of the trees in a document of modelJSON, and firstTree the first.
func forest(doc map[string]any) map[string]any {
	return at(doc, "learner", "gradient_booster", "model")
}

func firstTree(doc map[string]any) map[string]any {
	return forest(doc)["trees"].([]any)[0].(map[string]any)
}

// learner sets a parameter of the learner.
func learner(doc map[string]any, name, value string) {
	at(doc, "learner", "learner_model_param")[name] = value
}

// categorize makes splits of a tree categorical: sets has the categories of each node.
func categorize(tree map[string]any, sets map[int][]int) {
	types := make([]int, len(tree["left_children"].([]int)))
	nodes, segments, sizes, codes := []int{}, []int{}, []int{}, []int{}
	for n := range types {
		if set, ok := sets[n]; ok {
			types[n] = 1
			nodes, segments, sizes = append(nodes, n), append(segments, len(codes)), append(sizes, len(set))
			codes = append(codes, set...)
		}
	}
	tree["split_type"], tree["categories"] = types, codes
	tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"] = nodes, segments, sizes
}

// vectorize gives the nodes of a tree vectors: of all nodes, or of the leaves by their
// right children.
func vectorize(tree map[string]any, size string, vectors [][]float64, byChild bool) {
	at(tree, "tree_param")["size_leaf_vector"] = size
	left, right := tree["left_children"].([]int), tree["right_children"].([]int)
	weights, leaves := []float64{}, 0
	for n, v := range vectors {
		if byChild && left[n] >= 0 {
			continue
		}
		if weights = append(weights, v...); byChild {
			right[n] = leaves
			leaves++
		}
	}
	tree["base_weights"] = weights
	if byChild {
		tree["leaf_weights"] = weights
		tree["base_weights"] = []float64{}
	}
}

// leafOf is the plain definition of a walk with categorical splits.
func leafOf(nodes []rawNode, sets map[int][]int, row []float32) int {
	i := 0
	for nodes[i].left >= 0 {
		n, x := nodes[i], float64(row[nodes[i].feature])
		left := x < float64(float32(n.condition))
		if set, ok := sets[i]; ok {
			left = x < 0 || x >= 1<<24 || !slices.Contains(set, int(x))
		}
		if math.IsNaN(x) {
			left = n.defaultLeft == 1
		}
		if i = n.right; left {
			i = n.left
		}
	}
	return i
}

// TestLayoutsAreTheDefinition holds trees with categorical splits and leaves of any form
// against the plain walk.
func TestLayoutsAreTheDefinition(t *testing.T) {
	values := []float32{0, 1, 2, 3.9, 31, 32, 33, 64, 200, -1, -0.5, 1 << 24, 3e9, float32(math.NaN())}
	rapid.Check(t, func(rt *rapid.T) {
		const features, groups = 3, 2
		form := rapid.SampledFrom([]string{"scalar", "nodes", "leaves"}).Draw(rt, "form")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		var trees [][]rawNode
		var sets []map[int][]int
		var vectors [][][]float64
		for range rapid.IntRange(1, 4).Draw(rt, "trees") {
			nodes, chosen := drawTree(rt, features), map[int][]int{}
			leaves := make([][]float64, len(nodes))
			for i, n := range nodes {
				leaves[i] = []float64{rng.NormFloat64(), rng.NormFloat64()}
				if n.left >= 0 && rng.IntN(3) > 0 {
					set := []int{0, 1, 2, 3, 31, 32, 33, 64, 200}
					rng.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
					set = set[:1+rng.IntN(len(set))]
					slices.Sort(set)
					chosen[i] = set
				}
			}
			trees, sets, vectors = append(trees, nodes), append(sets, chosen), append(vectors, leaves)
		}
		file := modelJSON(t, features, trees, func(doc map[string]any) {
			learner(doc, "num_target", "2")
			learner(doc, "base_score", "[5E-1,-1]")
			for i, tr := range forest(doc)["trees"].([]any) {
				forest(doc)["tree_info"].([]int)[i] = i % groups
				categorize(tr.(map[string]any), sets[i])
				if form != "scalar" {
					vectorize(tr.(map[string]any), "2", vectors[i], form == "leaves")
				}
			}
		})
		m, err := tree.Load(file, tree.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		const nrows = 70
		rows := make([]float32, nrows*features)
		for i := range rows {
			rows[i] = values[rng.IntN(len(values))]
		}
		want := make([]float32, nrows*groups)
		for r := range nrows {
			want[2*r], want[2*r+1] = 0.5, -1
			for i, nodes := range trees {
				leaf := leafOf(nodes, sets[i], rows[r*features:])
				if form == "scalar" {
					want[2*r+i%groups] += float32(nodes[leaf].condition)
					continue
				}
				for k := range groups {
					want[2*r+k] += float32(vectors[i][leaf][k])
				}
			}
		}
		got, err := m.Predict(rows, nrows, make([]float32, nrows*groups))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// dart makes a document's booster one of dart.
func dart(doc map[string]any, weights ...float64) {
	booster := at(doc, "learner", "gradient_booster")
	booster["gbtree"] = map[string]any{"name": "gbtree", "model": booster["model"]}
	delete(booster, "model")
	booster["name"], booster["weight_drop"] = "dart", append([]float64{}, weights...)
}

// TestDart: weights multiply leaves, and for a wrapper the leaves as they were after the
// base score had been added and taken off.
func TestDart(t *testing.T) {
	b := modelJSON(t, 3, [][]rawNode{stump(), {{-1, -1, 0, 0.1, 0}}}, func(doc map[string]any) {
		learner(doc, "base_score", "1E6")
		dart(doc, 0.25, 8)
	})
	base, leaf := float32(1e6), float32(0.1)
	first, lost := base+2*0.25, (base+leaf)-base
	for wrapper, second := range map[bool]float32{false: leaf * 8, true: lost * 8} {
		m, err := tree.Load(b, tree.Options{Wrapper: wrapper})
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Predict([]float32{0, 0, 0}, 1, make([]float32, 1))
		if err != nil {
			t.Fatal(err)
		}
		if want := first + second; got[0] != want {
			t.Errorf("wrapper %v: %v, want %v", wrapper, got[0], want)
		}
	}
	if first+leaf*8 == first+lost*8 {
		t.Error("nothing is lost, so the two cannot differ")
	}
}

// linear makes a document's booster one of gblinear.
func linear(doc map[string]any, weights ...any) {
	doc["learner"].(map[string]any)["gradient_booster"] = map[string]any{
		"name": "gblinear", "model": map[string]any{"weights": append([]any{}, weights...), "boosted_rounds": 3}}
}

// TestLinear: bias, base score and the values that are not missing.
func TestLinear(t *testing.T) {
	m, err := tree.Load(modelJSON(t, 2, nil, func(doc map[string]any) {
		learner(doc, "num_target", "2")
		learner(doc, "base_score", "[5E-1,7E0]")
		linear(doc, 1, 10, 2, 20, 0.25, -0.25)
	}), tree.Options{Wrapper: true})
	if err != nil {
		t.Fatal(err)
	}
	nan := float32(math.NaN())
	got, err := m.Predict([]float32{1, 2, nan, 3, nan, nan}, 3, make([]float32, 6))
	if err != nil {
		t.Fatal(err)
	}
	// The library adds the first base score to every group.
	if diff := cmp.Diff([]float32{5.75, 50.25, 6.75, 60.25, 0.75, 0.25}, got); diff != "" {
		t.Error(diff)
	}
	if m.NumTrees() != 0 {
		t.Errorf("%d trees", m.NumTrees())
	}
}

// refusal is an edit of a document that has wrong what want says.
type refusal struct {
	name string
	edit func(doc map[string]any)
	want string
}

func refuse(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := modelJSON(t, 3, [][]rawNode{stump(), {{-1, -1, 0, 7, 0}}}, tt.edit)
			_, err := tree.Load(b, tree.Options{Name: "m.json"})
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeModelFormat}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesCategories(t *testing.T) {
	sets := func(set ...int) func(map[string]any) {
		return func(doc map[string]any) { categorize(firstTree(doc), map[int][]int{0: set}) }
	}
	set := func(key string, v []int) func(map[string]any) {
		return func(doc map[string]any) { sets(1, 2)(doc); firstTree(doc)[key] = v }
	}
	refuse(t, []refusal{
		{"type without categories", func(d map[string]any) { firstTree(d)["split_type"] = []int{1, 0, 0} }, "split_type"},
		{"categories without type", set("split_type", []int{0, 0, 0}), "split_type"},
		{"categories of another node", set("categories_nodes", []int{1}), "split_type"},
		{"categories beyond the nodes", func(d map[string]any) {
			set("categories_nodes", []int{3})(d)
			firstTree(d)["split_type"] = []int{0, 0, 0, 1}
		}, "node 3 of 3"},
		{"no segments", set("categories_segments", []int{}), "split_type"},
		{"no sizes", set("categories_sizes", []int{}), "split_type"},
		{"segment elsewhere", set("categories_segments", []int{1}), "not where they belong"},
		{"negative segment", set("categories_segments", []int{-1}), "not where they belong"},
		{"negative size", set("categories_sizes", []int{-1}), "not where they belong"},
		{"size beyond the end", set("categories_sizes", []int{3}), "not where they belong"},
		{"huge size", set("categories_sizes", []int{math.MaxInt32}), "not where they belong"},
		{"categories left over", set("categories_sizes", []int{1}), "belong to no node"},
		{"empty set", sets(), "not where they belong"},
		{"negative category", sets(-1, 2), "not ascending"},
		{"same category twice", sets(2, 2), "not ascending"},
		{"unsorted categories", sets(2, 1), "not ascending"},
	})
}

// TestLoadRefusesLayouts: vector leaves, dart and gblinear.
func TestLoadRefusesLayouts(t *testing.T) {
	vectors := func(doc map[string]any, byChild bool) {
		learner(doc, "num_target", "2")
		vectorize(firstTree(doc), "2", [][]float64{{1, 2}, {3, 4}, {5, 6}}, byChild)
	}
	refuse(t, []refusal{
		{"vectors of another length", func(d map[string]any) {
			vectors(d, false)
			learner(d, "num_target", "3")
		}, "size_leaf_vector is 2 for 3 groups"},
		{"huge vectors", func(d map[string]any) { at(firstTree(d), "tree_param")["size_leaf_vector"] = "4097" }, "size_leaf_vector"},
		{"no vectors", func(d map[string]any) { vectors(d, false); delete(firstTree(d), "base_weights") }, "0 weights"},
		{"vectors missing", func(d map[string]any) { vectors(d, false); firstTree(d)["base_weights"] = []int{1, 2, 3, 4} }, "4 weights"},
		{"half a vector", func(d map[string]any) { vectors(d, true); firstTree(d)["leaf_weights"] = []int{1, 2, 3} }, "3 weights"},
		{"vector beyond the end", func(d map[string]any) { vectors(d, true); firstTree(d)["right_children"].([]int)[2] = 2 }, "vector 2 of 2"},
		{"negative vector", func(d map[string]any) { vectors(d, true); firstTree(d)["right_children"].([]int)[1] = -1 }, "vector -1 of 2"},
		{"one child", func(d map[string]any) { vectors(d, false); firstTree(d)["right_children"].([]int)[1] = 0 }, "one child"},
		{"vector not finite", func(d map[string]any) { vectors(d, false); firstTree(d)["base_weights"] = []any{0, 0, 1, "N", 1, 1} }, "not finite"},
		{"vectors in the second tree only", func(d map[string]any) {
			learner(d, "num_target", "2")
			vectorize(forest(d)["trees"].([]any)[1].(map[string]any), "2", [][]float64{{1, 2}}, false)
		}, "trees[1]: size_leaf_vector is 2"},
		{"vectors in the first tree only", func(d map[string]any) { vectors(d, false) }, "trees[1]: size_leaf_vector is 1"},
		{"dart with vectors", func(d map[string]any) {
			vectors(d, false)
			vectorize(forest(d)["trees"].([]any)[1].(map[string]any), "2", [][]float64{{1, 2}}, false)
			dart(d, 1, 1)
		}, "dart with vector leaves"},
		{"no weights of trees", func(d map[string]any) { dart(d) }, "0 weights for 2 trees"},
		{"too many weights of trees", func(d map[string]any) { dart(d, 1, 1, 1) }, "3 weights for 2 trees"},
		{"a weight too large", func(d map[string]any) { dart(d, 1, 3e38) }, "weight_drop[1]"},
		{"trees beside dart", func(d map[string]any) {
			dart(d, 1, 1)
			at(d, "learner", "gradient_booster")["model"] = map[string]any{}
		}, "model: given twice"},
		{"trees of dart in gbtree", func(d map[string]any) {
			dart(d, 1, 1)
			at(d, "learner", "gradient_booster")["name"] = "gblinear"
		}, "0 numbers for 3 features"},
		{"no weights", func(d map[string]any) { linear(d) }, "0 numbers"},
		{"too many weights", func(d map[string]any) { linear(d, 1, 2, 3, 4, 5) }, "5 numbers for 3 features"},
		{"a weight not finite", func(d map[string]any) { linear(d, 1, "N", 3, 4) }, "weights[1]: not finite"},
	})
}

// TestNaNInJSON: XGBoost's NaN is read outside of texts, and left alone inside.
func TestNaNInJSON(t *testing.T) {
	const remark = `NaN "NaN" \NaN\`
	b := modelJSON(t, 3, [][]rawNode{stump()}, func(doc map[string]any) {
		at(doc, "learner")["attributes"] = map[string]any{"remark": remark}
		categorize(firstTree(doc), map[int][]int{0: {4}})
	})
	b = bytes.Replace(b, []byte(`"split_conditions":[1,`), []byte(`"split_conditions":[ NaN,`), 1)
	m, err := tree.Load(b, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := m.Attribute("remark"); got != remark {
		t.Errorf("the attribute became %q", got)
	}
	got, err := m.Predict([]float32{4, 0, 0, 5, 0, 0}, 2, make([]float32, 2))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{3.5, 2.5}, got); diff != "" {
		t.Error(diff)
	}
	if !bytes.Contains(b, []byte("NaN,")) {
		t.Error("the file has no NaN")
	}
}
