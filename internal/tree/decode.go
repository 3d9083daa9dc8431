package tree

import (
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
}

// rawTree is one tree: parallel arrays with an entry for each node.
type rawTree struct {
	params      params
	left, right []int32
	feature     []int32
	condition   []float32 // of a leaf: its value
	defaultLeft []int32
	categorical bool
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
	d.numbersLeft = 6 * maxNodes
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

// gradientBooster reads the booster. Dart wraps a gbtree and gblinear has weights; both
// are told by their name, so their own members are passed over.
func (d *decoder) gradientBooster() error {
	return fields(d, map[string]func() error{
		"name":  func() (err error) { d.doc.booster, err = d.text(); return },
		"model": d.model,
	})
}

func (d *decoder) model() error {
	doc := &d.doc
	return fields(d, map[string]func() error{
		"gbtree_model_param": d.params(&doc.forest),
		"tree_info":          func() (err error) { doc.treeInfo, err = d.numbersLeft.ints(d); return },
		"iteration_indptr":   func() (err error) { doc.indptr, err = d.numbersLeft.ints(d); return },
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
	var split, categories bool
	err = fields(d, map[string]func() error{
		"tree_param":       d.params(&t.params),
		"left_children":    ints(&t.left),
		"right_children":   ints(&t.right),
		"split_indices":    ints(&t.feature),
		"default_left":     ints(&t.defaultLeft),
		"split_conditions": func() (err error) { t.condition, err = d.numbersLeft.floats(d); return },
		"split_type":       func() (err error) { split, err = nonzero(d); return },
		"categories_nodes": func() error {
			return d.numbers(64, func(float64) error { categories = true; return nil })
		},
	})
	t.categorical = split || categories
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
