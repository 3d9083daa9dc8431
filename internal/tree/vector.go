package tree

import (
	"fmt"
)

// leafVectors says where the vectors of a tree's leaves are: those of all nodes, by the
// node (XGBoost 2), or those of the leaves only, by the right child of each (3.2).
type leafVectors struct {
	start   int // in Model.vectors
	count   int
	byChild bool
}

// addVectors keeps the vectors of a tree of n nodes, if the model's leaves are vectors.
func (m *Model) addVectors(t *rawTree, n int) (leafVectors, error) {
	size, err := t.params.whole("size_leaf_vector", maxGroups)
	switch {
	case err != nil:
		return leafVectors{}, err
	case !m.vectorLeaves && size <= 1:
		return leafVectors{}, nil
	case !m.vectorLeaves || size != m.groups:
		return leafVectors{}, fmt.Errorf("size_leaf_vector is %d for %d groups", size, m.groups)
	}
	v := leafVectors{start: len(m.vectors), byChild: len(t.leafWeights) > 0}
	values := t.baseWeights
	if v.byChild {
		values = t.leafWeights
	}
	v.count = len(values) / size
	if len(values)%size != 0 || !v.byChild && v.count != n {
		return v, fmt.Errorf("%d weights for vectors of %d", len(values), size)
	}
	m.vectors = append(m.vectors, values...)
	return v, nil
}

// vector is where the vector of a leaf begins.
func (m *Model) vector(t *rawTree, v leafVectors, name int32) (uint32, error) {
	index := int(name)
	if v.byChild {
		index = int(t.right[name])
	} else if t.right[name] != leaf {
		return 0, fmt.Errorf("node %d has one child", name)
	}
	if index < 0 || index >= v.count {
		return 0, fmt.Errorf("the leaf %d has the vector %d of %d", name, index, v.count)
	}
	start := v.start + index*m.groups
	for _, x := range m.vectors[start : start+m.groups] {
		if x-x != 0 {
			return 0, fmt.Errorf("the leaf %d is not finite", name)
		}
	}
	return uint32(start), nil
}
