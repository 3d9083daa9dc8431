package tree

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// node is 16 bytes. The children of a split lie side by side. A leaf leads to itself, so
// that a walk of any number of further steps stays there: no finite value reaches its
// threshold, and missing goes left.
type node struct {
	threshold float32 // left where x < threshold; +Inf in a leaf
	feature   uint32  // and flags
	left      uint32  // index in Model.nodes; the right child follows it
	value     float32 // of a leaf
}

// Flags in node.feature.
const (
	missingRight = 1 << 31
	categorical  = 1 << 30 // left unless the value is in a set of categories
	featureMask  = categorical - 1
)

// walk is where a tree begins, how many steps its longest path has, and which output it
// adds to.
type walk struct {
	root, steps, group uint32
}

// leaf marks both children of a leaf in the file.
const leaf = -1

// compile checks a tree and appends its nodes. Nodes that pruning deleted stay in the
// file, unreachable, and are counted by num_deleted.
func (m *Model) compile(t *rawTree, group int32) error {
	n, err := t.size()
	if err != nil {
		return err
	}
	if n > maxNodes-len(m.nodes) {
		return errBudget
	}
	vectors, err := m.addVectors(t, n)
	if err != nil {
		return err
	}
	root := uint32(len(m.nodes))
	m.nodes = append(m.nodes, node{})
	// Level by level: from holds the nodes of one level in the file, at whose place.
	type place struct {
		from int32
		at   uint32
	}
	level, next := []place{{0, root}}, []place(nil)
	reached, steps := 1, uint32(0)
	for ; len(level) > 0; level, next = next, level[:0] {
		for _, p := range level {
			if t.left[p.from] == leaf {
				if err := m.putLeaf(t, vectors, p.from, p.at); err != nil {
					return err
				}
				continue
			}
			if err := m.putSplit(t, p.from, p.at); err != nil {
				return err
			}
			// A graph with a cycle, or with a node under two parents, is found here: it
			// reaches more nodes than it has.
			if reached += 2; reached > n {
				return errors.New("a node is reached twice")
			}
			left := m.nodes[p.at].left
			next = append(next, place{t.left[p.from], left}, place{t.right[p.from], left + 1})
		}
		if len(next) > 0 {
			steps++
		}
	}
	if deleted, err := t.params.whole("num_deleted", n); err != nil {
		return err
	} else if reached+deleted != n {
		return fmt.Errorf("%d of %d nodes are reached, %d deleted", reached, n, deleted)
	}
	m.walks = append(m.walks, walk{root, steps, uint32(group)})
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

func (m *Model) putLeaf(t *rawTree, vectors leafVectors, from int32, at uint32) error {
	m.nodes[at] = node{threshold: float32(math.Inf(1)), left: at}
	if m.vectorLeaves {
		return m.putVector(t, vectors, from, at)
	}
	if t.right[from] != leaf {
		return fmt.Errorf("node %d has one child", from)
	}
	v := t.condition[from]
	if v-v != 0 {
		return fmt.Errorf("the leaf %d is not finite", from)
	}
	m.nodes[at].value = v
	return nil
}

func (m *Model) putSplit(t *rawTree, from int32, at uint32) error {
	n := int32(len(t.left))
	l, r, f := t.left[from], t.right[from], t.feature[from]
	if l <= 0 || l >= n || r <= 0 || r >= n || l == r {
		return fmt.Errorf("node %d: children out of range", from)
	}
	if f < 0 || int(f) >= m.features {
		return fmt.Errorf("node %d: split on feature %d of %d", from, f, m.features)
	}
	feature := uint32(f)
	switch t.defaultLeft[from] {
	case 0:
		feature |= missingRight
	case 1:
	default:
		return fmt.Errorf("node %d: default_left is neither 0 nor 1", from)
	}
	if k, ok := slices.BinarySearch(t.categories.nodes, from); ok {
		feature |= categorical
		m.setExtra(at, m.addCategories(&t.categories, k))
	} else if c := t.condition[from]; c != c {
		return fmt.Errorf("node %d: the split condition is not a number", from)
	}
	m.nodes[at] = node{threshold: t.condition[from], feature: feature, left: uint32(len(m.nodes))}
	m.nodes = append(m.nodes, node{}, node{})
	return nil
}

// setExtra notes what a node has no room for.
func (m *Model) setExtra(at, value uint32) {
	if need := int(at) + 1; need > len(m.extra) {
		m.extra = append(m.extra, make([]uint32, need-len(m.extra))...)
	}
	m.extra[at] = value
}

// weigh multiplies the leaves of each tree of a dart model by its weight. A wrapper predicts
// in place, and there the library takes the base score off again that it had added to the
// leaf (Dart::InplacePredict in XGBoost's src/gbm/gbtree.cc).
func (m *Model) weigh(weights []float32, wrapper bool) error {
	if m.vectorLeaves {
		return errors.New("dart with vector leaves")
	}
	if len(weights) != len(m.walks) {
		return fmt.Errorf("weight_drop: %d weights for %d trees", len(weights), len(m.walks))
	}
	end := len(m.nodes)
	for i, w := range slices.Backward(m.walks) {
		base, weight := m.base[w.group], weights[i]
		for at := int(w.root); at < end; at++ {
			n := &m.nodes[at]
			if n.left != uint32(at) {
				continue
			}
			if wrapper {
				n.value = n.value + base - base
			}
			n.value *= weight
			if n.value-n.value != 0 {
				return fmt.Errorf("weight_drop[%d]: a leaf becomes infinite", i)
			}
		}
		end = int(w.root)
	}
	return nil
}
