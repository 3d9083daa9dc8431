package lightgbm

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// Bits of a split's decision_type; the missing type is in the two bits above.
const (
	isCategory  = 1
	defaultLeft = 2
)

// Missing types.
const (
	missingNone = iota // a missing value is taken for 0
	missingZero        // and 0 for missing
	missingNaN
)

// check holds the arrays of a tree against one another.
func (t *rawTree) check() error {
	n := t.leaves
	if n == 0 {
		return errors.New("num_leaves: missing")
	}
	if len(t.value) != n {
		return fmt.Errorf("leaf_value: %d numbers for %d leaves", len(t.value), n)
	}
	if n == 1 {
		t.feature = nil
	} else if t.decision == nil {
		t.decision = make([]int32, n-1)
	}
	for _, a := range []struct {
		name string
		have int
	}{{"left_child", len(t.left)}, {"right_child", len(t.right)}, {"split_feature", len(t.feature)},
		{"threshold", len(t.threshold)}, {"decision_type", len(t.decision)}} {
		if a.have != n-1 && n > 1 {
			return fmt.Errorf("%s: %d numbers for %d splits", a.name, a.have, n-1)
		}
	}
	if err := t.checkSets(); err != nil {
		return err
	}
	if !t.linear {
		return nil
	}
	return t.checkTerms()
}

func (t *rawTree) checkSets() error {
	if t.sets > 0 && (len(t.setBounds) != t.sets+1 || t.setBounds[0] != 0 || int(t.setBounds[t.sets]) != len(t.setWords)) {
		return errors.New("cat_boundaries: not the bounds of the sets of categories")
	}
	for i := range t.sets {
		if t.setBounds[i] > t.setBounds[i+1] {
			return errors.New("cat_boundaries: not ascending")
		}
		if t.setBounds[i+1]-t.setBounds[i] > maxSet {
			return fmt.Errorf("cat_boundaries: a set of more than %d categories", 32*maxSet)
		}
	}
	// The library writes a set for each split: if many shared one, a small file would become a
	// large model.
	used := make([]bool, t.sets)
	for k := range t.feature {
		if t.decision[k]&isCategory == 0 {
			continue
		}
		set, ok := t.setOf(k)
		if !ok {
			return fmt.Errorf("split %d: no set of categories", k)
		}
		if used[set] {
			return fmt.Errorf("split %d: the set of another split", k)
		}
		used[set] = true
	}
	return nil
}

// maxSet bounds a set of categories, in words of 32.
const maxSet = 1 << 20

// setOf is the set of a split of categories.
func (t *rawTree) setOf(split int) (set int, ok bool) {
	set = int(t.threshold[split])
	return set, set >= 0 && set < t.sets && float64(set) == t.threshold[split]
}

func (t *rawTree) checkTerms() error {
	if len(t.constant) != t.leaves || len(t.terms) != t.leaves {
		return fmt.Errorf("leaf_const and num_features: not one for each of %d leaves", t.leaves)
	}
	sum := 0
	for _, n := range t.terms {
		sum += int(n)
	}
	if len(t.termFeature) != sum || len(t.termFactor) != sum {
		return fmt.Errorf("leaf_features and leaf_coeff: not one for each of %d terms", sum)
	}
	return nil
}

// readCuts collects the thresholds of each feature.
func (m *Model) readCuts(d *document) error {
	m.cuts = make([][]float64, m.features)
	for i := range d.trees {
		t := &d.trees[i]
		for k, f := range t.feature {
			if int(f) >= m.features {
				return fmt.Errorf("tree %d: split %d: on feature %d of %d", i, k, f, m.features)
			}
			if t.decision[k]&isCategory == 0 {
				m.cuts[f] = append(m.cuts[f], t.threshold[k])
			}
		}
	}
	for f, c := range m.cuts {
		slices.Sort(c)
		m.cuts[f] = slices.Clip(slices.Compact(c))
	}
	return nil
}

// plant checks a tree's graph and appends it to the forest.
func (m *Model) plant(t *rawTree) error {
	all := 2*t.leaves - 1
	if all > maxNodes-m.forest.Places() {
		return errBudget
	}
	linear := m.addTerms(t)
	reached, err := m.forest.Plant(all,
		func(name int32) (flat.Node, error) { return m.look(t, name) },
		func(name int32, place uint32) error {
			leaf := int(^name)
			if t.leaves == 1 {
				leaf = 0
			}
			m.values = append(m.values, make([]float64, m.forest.Places()-len(m.values))...)
			m.values[place] = t.value[leaf]
			if t.linear {
				m.lines = append(m.lines, make([]uint32, m.forest.Places()-len(m.lines))...)
				m.lines[place] = linear + uint32(leaf)
			}
			return nil
		})
	if err == nil && reached != all {
		err = fmt.Errorf("%d of %d nodes are reached", reached, all)
	}
	m.linear = append(m.linear, t.linear)
	return err
}

// look describes a split by its index, or a leaf by its complement.
func (m *Model) look(t *rawTree, name int32) (n flat.Node, err error) {
	if name < 0 || t.leaves == 1 {
		if name < 0 && int(^name) >= t.leaves {
			return n, fmt.Errorf("the leaf %d of %d", ^name, t.leaves)
		}
		n.Leaf = true
		return n, nil
	}
	if int(name) >= t.leaves-1 {
		return n, fmt.Errorf("the split %d of %d", name, t.leaves-1)
	}
	n = flat.Node{Left: t.left[name], Right: t.right[name], Feature: uint32(t.feature[name])}
	kind := t.decision[name]
	if kind&isCategory != 0 {
		t.lookSet(name, &n)
		return n, nil
	}
	// Left up to a cut is right from the next rank on.
	n.Key = flat.Rank(m.cuts[n.Feature], t.threshold[name]) + 1
	left := kind&defaultLeft != 0
	switch missing := kind >> 2; {
	case missing == missingNone:
		n.As = flat.NaNZero
	case missing == missingZero && left:
		n.As = flat.ZeroLeft
	case missing == missingZero:
		n.As = flat.ZeroRight
	case missing == missingNaN && left:
		n.As = flat.NaNLeft
	case missing == missingNaN:
		n.As = flat.NaNRight
	default:
		return n, fmt.Errorf("split %d: decision_type %d is not known", name, kind)
	}
	return n, nil
}

// lookSet describes a split of categories. Those of the set go left here, and right in the
// forest, so the children change their places; what is missing or no category goes with the
// others.
func (t *rawTree) lookSet(name int32, n *flat.Node) {
	set, _ := t.setOf(int(name)) // checked
	n.As, n.Left, n.Right = flat.CategoryLeft, n.Right, n.Left
	words := t.setWords[t.setBounds[set]:t.setBounds[set+1]]
	n.Set = func() (codes []int32) {
		for i, word := range words {
			for ; word != 0; word &= word - 1 {
				codes = append(codes, int32(i*32+bits.TrailingZeros32(word)))
			}
		}
		return codes
	}
}
