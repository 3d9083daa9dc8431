package flat_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// TestLargestCategory: the largest number that is a category is one like the others: a row that
// has it stays in its leaf in trees that do not look at it.
func TestLargestCategory(t *testing.T) {
	f := &flat.Forest{}
	nothing := func(int32, uint32) error { return nil }
	if _, err := f.Plant(3, func(name int32) (flat.Node, error) {
		if name == 0 {
			return flat.Node{Left: 1, Right: 2, As: flat.CategoryLeft, Set: func() []int32 { return []int32{1} }}, nil
		}
		return flat.Node{Leaf: true}, nil
	}, nothing); err != nil {
		t.Fatal(err)
	}
	leaves := map[uint32]int32{}
	if _, err := f.Plant(5, func(name int32) (flat.Node, error) {
		switch name {
		case 0:
			return flat.Node{Left: 1, Right: 2, Feature: 1, As: flat.NaNLeft, Key: 1}, nil
		case 2:
			return flat.Node{Left: 3, Right: 4, Feature: 1, As: flat.NaNLeft, Key: 2}, nil
		}
		return flat.Node{Leaf: true}, nil
	}, func(name int32, place uint32) error { leaves[place] = name; return nil }); err != nil {
		t.Fatal(err)
	}
	f.Done()
	for _, category := range []float64{5, 1<<31 - 2, 1<<31 - 1, 1 << 31} {
		keys := flat.Doubles{Forest: f, Rows: []float64{category, 0}, Features: 2, Cuts: [][]float64{nil, {1, 2}}}
		flat.Walk(f, keys, 1, f.Scratch(), func(tree, _ int, places []uint32) {
			if tree == 1 && leaves[places[0]] != 1 {
				t.Errorf("category %g: the place %d, of the leaf %d", category, places[0], leaves[places[0]])
			}
		})
	}
}
