package tree

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxBytes is the largest model file that is loaded.
const MaxBytes = 256 << 20

// Bounds of a model that is loaded. They are far above real models, and keep the memory
// of a hostile one to a few times the size of its file.
const (
	maxTrees    = 1 << 17
	maxNodes    = 1 << 23
	maxFeatures = 1 << 20
	maxGroups   = 1 << 12
)

// document is what a model file says, in its own terms, before anything is believed.
type document struct {
	version      []int32
	names, types []string
	attributes   params
	booster      string
	objective    string
	learner      params // learner_model_param
	forest       params // gbtree_model_param
	treeInfo     []int32
	indptr       []int32
	trees        []rawTree
	modelRead    bool
	weightDrop   []float32 // of dart: the weight of each tree
	linear       []float32 // of gblinear: features by groups, then the biases
	segments     []int32   // of the names of categories: where each feature's begin, and the end
}

// rawTree is one tree: parallel arrays with an entry for each node.
type rawTree struct {
	params      params
	left, right []int32
	feature     []int32
	condition   []float32 // of a leaf: its value
	defaultLeft []int32
	baseWeights []float32 // kept for vector leaves only: a vector for each node
	leafWeights []float32 // since XGBoost 3.2: a vector for each leaf, by its right child
	typed       []int32   // nodes whose split_type is categorical
	categories  rawCategories
}

// rawCategories are the categorical splits of a tree: parallel arrays with an entry for
// each split, and the categories that go right.
type rawCategories struct {
	nodes, segments, sizes []int32
	codes                  []int32
}

// params are XGBoost's parameters: names to numbers in strings.
type params map[string]string

// whole reads a number within [0, limit]; an absent one is 0.
func (p params) whole(name string, limit int) (int, error) {
	s, ok := p[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("%s: no whole number from 0 to %d", name, limit)
	}
	return n, nil
}

// vector reads the forms of base_score: "5E-1", and since XGBoost 3.1 "[5E-1,2E-1]".
func (p params) vector(name string) ([]float32, error) {
	s := strings.TrimSuffix(strings.TrimPrefix(p[name], "["), "]")
	var out []float32
	for part := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
		if err != nil {
			return nil, fmt.Errorf("%s: no number", name)
		}
		if out = append(out, float32(v)); len(out) > maxGroups {
			return nil, fmt.Errorf("%s: more than %d numbers", name, maxGroups)
		}
	}
	return out, nil
}

// decoder reads a document from a source.
type decoder struct {
	source
	numbersLeft budget
	doc         document
}

func (d *decoder) decode() error {
	d.numbersLeft = 8 * maxNodes
	return fields(d, map[string]func() error{
		"version": func() (err error) { d.doc.version, err = d.numbersLeft.ints(d); return },
		"learner": d.learner,
	})
}

func (d *decoder) learner() error {
	doc := &d.doc
	return fields(d, map[string]func() error{
		"attributes":          d.params(&doc.attributes),
		"feature_names":       func() (err error) { doc.names, err = texts(d); return },
		"feature_types":       func() (err error) { doc.types, err = texts(d); return },
		"learner_model_param": d.params(&doc.learner),
		"gradient_booster":    d.gradientBooster,
		"objective": func() error {
			return fields(d, map[string]func() error{
				"name": func() (err error) { doc.objective, err = d.text(); return },
			})
		},
	})
}

// gradientBooster reads the booster. Dart wraps a gbtree and adds the weights of its trees.
func (d *decoder) gradientBooster() error {
	return fields(d, map[string]func() error{
		"name":        func() (err error) { d.doc.booster, err = d.text(); return },
		"model":       d.model,
		"weight_drop": func() (err error) { d.doc.weightDrop, err = d.numbersLeft.floats(d); return },
		"gbtree": func() error {
			return fields(d, map[string]func() error{"model": d.model})
		},
	})
}

// model reads the trees of gbtree and dart, or the weights of gblinear.
func (d *decoder) model() error {
	doc := &d.doc
	if doc.modelRead {
		return errors.New("given twice")
	}
	doc.modelRead = true
	return fields(d, map[string]func() error{
		"weights":            func() (err error) { doc.linear, err = d.numbersLeft.floats(d); return },
		"gbtree_model_param": d.params(&doc.forest),
		"cats": func() error {
			return fields(d, map[string]func() error{
				"feature_segments": func() (err error) { doc.segments, err = d.numbersLeft.ints(d); return },
			})
		},
		"tree_info":        func() (err error) { doc.treeInfo, err = d.numbersLeft.ints(d); return },
		"iteration_indptr": func() (err error) { doc.indptr, err = d.numbersLeft.ints(d); return },
		"trees": func() error {
			return list(d, func(int) error {
				if len(doc.trees) == maxTrees {
					return fmt.Errorf("more than %d trees", maxTrees)
				}
				t, err := d.tree()
				doc.trees = append(doc.trees, t)
				return err
			})
		},
	})
}

func (d *decoder) tree() (t rawTree, err error) {
	ints := func(dst *[]int32) func() error {
		return func() (err error) { *dst, err = d.numbersLeft.ints(d); return }
	}
	floats := func(dst *[]float32) func() error {
		return func() (err error) { *dst, err = d.numbersLeft.floats(d); return }
	}
	err = fields(d, map[string]func() error{
		"tree_param":          d.params(&t.params),
		"left_children":       ints(&t.left),
		"right_children":      ints(&t.right),
		"split_indices":       ints(&t.feature),
		"default_left":        ints(&t.defaultLeft),
		"split_conditions":    floats(&t.condition),
		"base_weights":        floats(&t.baseWeights),
		"leaf_weights":        floats(&t.leafWeights),
		"split_type":          func() (err error) { t.typed, err = d.numbersLeft.positions(d); return },
		"categories_nodes":    ints(&t.categories.nodes),
		"categories_segments": ints(&t.categories.segments),
		"categories_sizes":    ints(&t.categories.sizes),
		"categories":          ints(&t.categories.codes),
	})
	if size, _ := t.params.whole("size_leaf_vector", maxGroups); size <= 1 {
		d.numbersLeft += budget(len(t.baseWeights))
		t.baseWeights = nil
	}
	return t, err
}

// params reads an object of strings, as XGBoost writes parameters and attributes.
func (d *decoder) params(dst *params) func() error {
	return func() error {
		*dst = params{}
		return d.object(func(key string) error {
			if len(*dst) == 1<<10 {
				return fmt.Errorf("more than %d members", 1<<10)
			}
			v, err := d.text()
			if err != nil {
				return fmt.Errorf("%.40q: %w", key, err)
			}
			(*dst)[key] = v
			return nil
		})
	}
}
