package tree

import (
	"errors"
	"fmt"
	"slices"
)

// endOfCategories is the first code that is no category: above it single precision has not
// every whole number (InvalidCat in XGBoost's src/common/categorical.h).
const endOfCategories = 1 << 24

// check holds the categorical splits of a tree of n nodes against the nodes whose
// split_type says so. Nodes and the categories of each are ascending, as the library
// writes them, and the categories of all splits lie side by side.
func (c *rawCategories) check(typed []int32, n int) error {
	if !slices.Equal(c.nodes, typed) || len(c.segments) != len(c.nodes) || len(c.sizes) != len(c.nodes) {
		return errors.New("split_type and the arrays of categories differ")
	}
	end := 0
	for i, at := range c.nodes {
		if int(at) >= n {
			return fmt.Errorf("categories_nodes[%d]: node %d of %d", i, at, n)
		}
		size := int(c.sizes[i])
		if int(c.segments[i]) != end || size <= 0 || size > len(c.codes)-end {
			return fmt.Errorf("node %d: its categories are not where they belong", at)
		}
		last := int32(-1)
		for _, code := range c.codes[end : end+size] {
			if code <= last {
				return fmt.Errorf("node %d: the categories are not ascending from 0", at)
			}
			last = code
		}
		end += size
	}
	if end != len(c.codes) {
		return errors.New("categories that belong to no node")
	}
	return nil
}

// addCategories keeps the categories of one split, behind their number, and answers where.
func (m *Model) addCategories(c *rawCategories, split int) uint32 {
	at, from, size := len(m.sets), c.segments[split], c.sizes[split]
	m.sets = append(append(m.sets, size), c.codes[from:from+size]...)
	return uint32(at)
}

// chosen is 1, right, for a category of the split, else 0. As in the library a fraction is
// cut off, and what is no category, negative or too large, goes left.
func (m *Model) chosen(at uint32, x float32) uint32 {
	if x < 0 || x >= endOfCategories {
		return 0
	}
	set := m.sets[m.extra[at]:]
	_, found := slices.BinarySearch(set[1:1+set[0]], int32(x))
	return one(found)
}
