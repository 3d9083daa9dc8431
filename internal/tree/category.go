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

// of gives the categories of one split that a value can have.
func (c *rawCategories) of(split int) []int32 {
	codes := c.codes[c.segments[split]:][:c.sizes[split]]
	end, _ := slices.BinarySearch(codes, endOfCategories)
	return codes[:end]
}
