package tree

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// leaf marks both children of a leaf in the file.
const leaf = -1

// grow compiles the trees of a file into a forest. Of a wrapper's model, the trees after the
// best iteration are left out again.
func (m *Model) grow(d *document, wrapper bool) error {
	for i := range d.trees {
		if g := d.treeInfo[i]; g < 0 || int(g) >= m.groups {
			return fmt.Errorf("tree_info[%d]: group %d of %d", i, g, m.groups)
		}
		if err := m.plant(&d.trees[i]); err != nil {
			return fmt.Errorf("trees[%d]: %w", i, err)
		}
		m.groupOf = append(m.groupOf, uint32(d.treeInfo[i]))
	}
	if d.booster == "dart" {
		if err := m.weigh(d.weightDrop, wrapper); err != nil {
			return err
		}
	}
	if wrapper {
		keep, err := m.best(d)
		if err != nil {
			return err
		}
		m.groupOf = m.groupOf[:keep]
		m.forest.Cut(keep)
	}
	m.forest.Done()
	m.pool.New = func() any { return m.forest.Scratch() }
	return nil
}

// plant checks a tree and appends it. Nodes that pruning deleted stay in the file,
// unreachable, and are counted by num_deleted.
func (m *Model) plant(t *rawTree) error {
	n, err := t.size()
	if err != nil {
		return err
	}
	if n > maxNodes-m.forest.Places() {
		return errBudget
	}
	vectors, err := m.addVectors(t, n)
	if err != nil {
		return err
	}
	reached, err := m.forest.Plant(n,
		func(name int32) (flat.Node, error) { return m.look(t, name) },
		func(name int32, place uint32) error {
			if m.vectorLeaves {
				m.vectorOf = append(m.vectorOf, make([]uint32, m.forest.Places()-len(m.vectorOf))...)
				m.vectorOf[place], err = m.vector(t, vectors, name)
				return err
			}
			m.values = append(m.values, make([]float32, m.forest.Places()-len(m.values))...)
			m.values[place], err = t.value(name)
			return err
		})
	if err != nil {
		return err
	}
	if deleted, err := t.params.whole("num_deleted", n); err != nil {
		return err
	} else if reached+deleted != n {
		return fmt.Errorf("%d of %d nodes are reached, %d deleted", reached, n, deleted)
	}
	return nil
}

// size is the number of nodes, on which all arrays must agree.
func (t *rawTree) size() (int, error) {
	n, err := t.params.whole("num_nodes", maxNodes)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New("no nodes")
	}
	for _, have := range []int{len(t.left), len(t.right), len(t.feature), len(t.condition), len(t.defaultLeft)} {
		if have != n {
			return 0, fmt.Errorf("num_nodes is %d but an array has %d", n, have)
		}
	}
	return n, t.categories.check(t.typed, n)
}

// value is that of a leaf.
func (t *rawTree) value(name int32) (float32, error) {
	if t.right[name] != leaf {
		return 0, fmt.Errorf("node %d has one child", name)
	}
	v := t.condition[name]
	if v-v != 0 {
		return 0, fmt.Errorf("the leaf %d is not finite", name)
	}
	return v, nil
}

// look describes a node by its index in the file.
func (m *Model) look(t *rawTree, name int32) (n flat.Node, err error) {
	l, r, f := t.left[name], t.right[name], t.feature[name]
	if l == leaf {
		n.Leaf = true
		return n, nil
	}
	if end := int32(len(t.left)); l <= 0 || l >= end || r <= 0 || r >= end || l == r {
		return n, fmt.Errorf("node %d: children out of range", name)
	}
	if f < 0 || int(f) >= m.features {
		return n, fmt.Errorf("node %d: split on feature %d of %d", name, f, m.features)
	}
	n = flat.Node{Left: l, Right: r, Feature: uint32(f)}
	switch t.defaultLeft[name] {
	case 0:
		n.As = flat.NaNRight
	case 1:
		n.As = flat.NaNLeft
	default:
		return n, fmt.Errorf("node %d: default_left is neither 0 nor 1", name)
	}
	if k, ok := slices.BinarySearch(t.categories.nodes, name); ok {
		n.As += flat.CategoryLeft - flat.NaNLeft
		n.Set = func() []int32 { return t.categories.of(k) }
	} else if c := t.condition[name]; c != c {
		return n, fmt.Errorf("node %d: the split condition is not a number", name)
	} else {
		n.Key = flat.Key(c)
	}
	return n, nil
}

// weigh multiplies the leaves of each tree of a dart model by its weight. A wrapper predicts
// in place, and there the library takes the base score off again that it had added to the
// leaf (Dart::InplacePredict in XGBoost's src/gbm/gbtree.cc).
func (m *Model) weigh(weights []float32, wrapper bool) error {
	if m.vectorLeaves {
		return errors.New("dart with vector leaves")
	}
	if len(weights) != m.forest.Trees() {
		return fmt.Errorf("weight_drop: %d weights for %d trees", len(weights), m.forest.Trees())
	}
	for i, weight := range weights {
		base := m.base[m.groupOf[i]]
		from, to := m.forest.Of(i)
		for place, v := range m.values[from:min(to, len(m.values))] {
			if wrapper {
				v = v + base - base
			}
			if v *= weight; math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("weight_drop[%d]: a leaf becomes infinite", i)
			}
			m.values[from+place] = v
		}
	}
	return nil
}
