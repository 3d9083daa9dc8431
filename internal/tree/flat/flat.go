// Package flat walks decision trees that were compiled into arrays. It knows neither the
// library that grew them nor what their leaves mean: it says which leaf a row reaches.
//
// A walk only compares whole numbers. The keys of a row are computed once before, for each
// way in which the trees see a feature, and stand for missing values, too; so a step needs
// no jump, whose direction could not be foreseen.
package flat

import (
	"slices"
)

// Block is how many rows go through a tree before the next tree is taken: enough to keep
// its nodes in the first cache, few enough to keep the keys there too.
const Block = 64

// Forest is trees in arrays. It changes by Plant only, and may be walked by many goroutines
// then.
type Forest struct {
	// Tiny is how near to 0 a double is taken for 0.
	Tiny float64
	// NegativeFractions says that a value between -1 and 0 is the category 0; else it is none.
	NegativeFractions bool

	nodes  []uint64 // key and view; a key and above go right
	left   []uint32 // of trees that are not full: the left child, which the right one follows
	trees  []tree
	places uint32
	views  []view
	known  map[view]uint32
	sets   []uint32 // of categories, see set.go
}

// tree is where one tree is, in one of two forms. In a full tree all paths have the same
// length: its splits lie level by level, so that a child's place follows from its parent's.
// In any other the left child is noted, and a leaf leads to itself, so that a walk of any
// number of further steps stays there.
type tree struct {
	root, end   uint32 // in Forest.nodes
	left        uint32 // in Forest.left
	places      uint32 // the leaves of a full tree, the nodes of another
	steps       uint16 // of the longest path
	full        bool
	categorical bool
}

// fullSteps is the longest path of a full tree, whose leaves a byte can number.
const fullSteps = 8

// Node is one node of a tree on its way into a forest.
type Node struct {
	Leaf        bool
	Left, Right int32 // names of the children
	Feature     uint32
	As          Treatment
	Key         int32          // of a split of numbers: values of this key and above go right
	Set         func() []int32 // of a split of categories: those that go right, ascending; asked once
}

// Plant appends a tree of at most limit nodes. Look describes a node by its name, and leaf
// hears at which place a leaf is put; the root has the name 0. It answers how many nodes
// were reached, and fails for a graph that is no tree.
func (f *Forest) Plant(limit int, look func(name int32) (Node, error), leaf func(name int32, place uint32) error) (int, error) {
	s, err := sketchOf(limit, look)
	if err != nil {
		return 0, err
	}
	t := tree{root: uint32(len(f.nodes)), left: uint32(len(f.left)), places: f.places, steps: s.steps, categorical: s.categorical}
	t.full = !s.categorical && s.steps <= fullSteps && 1<<s.steps <= 4*s.leaves
	put := f.putAny
	if t.full {
		put = f.putFull
	}
	if err := put(s, &t, leaf); err != nil {
		return 0, err
	}
	t.end = uint32(len(f.nodes))
	f.trees = append(f.trees, t)
	return len(s.nodes), nil
}

// putAny puts the nodes in the order of the sketch, which has siblings side by side.
func (f *Forest) putAny(s *sketch, t *tree, leaf func(int32, uint32) error) error {
	f.places += uint32(len(s.nodes))
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.Leaf {
			f.nodes, f.left = append(f.nodes, f.split(&n.Node)), append(f.left, n.child)
			continue
		}
		f.nodes, f.left = append(f.nodes, packed(never, 0)), append(f.left, uint32(i))
		if err := leaf(n.name, t.places+uint32(i)); err != nil {
			return err
		}
	}
	return nil
}

// putFull puts each node where it belongs in a full tree. Below a leaf that ends early all
// ways lead left.
func (f *Forest) putFull(s *sketch, t *tree, leaf func(int32, uint32) error) error {
	f.places += 1 << t.steps
	for range 1<<t.steps - 1 {
		f.nodes = append(f.nodes, packed(never, 0))
	}
	splits := f.nodes[t.root:]
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.Leaf {
			splits[1<<n.steps-1+n.path] = f.split(&n.Node)
			s.nodes[n.child].path, s.nodes[n.child+1].path = 2*n.path, 2*n.path+1
			continue
		}
		if err := leaf(n.name, t.places+n.path<<(t.steps-n.steps)); err != nil {
			return err
		}
	}
	return nil
}

func packed(key int32, view uint32) uint64 { return uint64(view)<<32 | uint64(uint32(key)) }

// split makes a node, and keeps what it needs.
func (f *Forest) split(n *Node) uint64 {
	v := view{n.Feature, n.As}
	at, ok := f.known[v]
	if !ok {
		if f.known == nil {
			f.known = map[view]uint32{}
		}
		at = uint32(len(f.views))
		f.known[v], f.views = at, append(f.views, v)
	}
	key := n.Key
	if n.As >= CategoryLeft {
		key = int32(len(f.sets))
		f.sets = appendSet(f.sets, n.Set())
	}
	return packed(key, at)
}

// Done ends planting: what only that needs is dropped.
func (f *Forest) Done() {
	f.known = nil
	f.nodes, f.left, f.trees, f.sets = slices.Clip(f.nodes), slices.Clip(f.left), slices.Clip(f.trees), slices.Clip(f.sets)
}

// Cut drops the trees from one on.
func (f *Forest) Cut(trees int) { f.trees = f.trees[:trees] }

// Trees is the number of trees.
func (f *Forest) Trees() int { return len(f.trees) }

// Places is one more than the greatest place of a leaf.
func (f *Forest) Places() int { return int(f.places) }

// Of gives the places that belong to a tree: those of its leaves, and unused ones.
func (f *Forest) Of(t int) (from, to int) {
	from, to = int(f.trees[t].places), int(f.places)
	if t+1 < len(f.trees) {
		to = int(f.trees[t+1].places)
	}
	return from, to
}
