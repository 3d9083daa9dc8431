package flat

// Source gives the keys of rows: Singles or Doubles.
type Source interface {
	key(v view, row int) int32
}

// Scratch is the memory of one prediction.
type Scratch struct {
	keys   [][Block]int32 // a column for each view
	leaves [Block]uint32
}

// Bounds of a block.
const (
	few  = 4       // rows that go one by one: a block of them would cost more than it saves
	wide = 1 << 12 // views of which a block would take too much memory; rows then look at each value when they need it
)

// Scratch makes room for a prediction.
func (f *Forest) Scratch() *Scratch {
	if len(f.views) > wide {
		return &Scratch{}
	}
	return &Scratch{keys: make([][Block]int32, max(1, len(f.views)))}
}

// Walk takes n rows through all trees. It calls add, tree after tree for each row, with the
// leaves that the rows from first on reach in a tree; add must not keep them.
func Walk[S Source](f *Forest, rows S, n int, s *Scratch, add func(tree, first int, leaves []uint32)) {
	for first := 0; first < n; {
		block := min(n-first, Block)
		switch {
		case len(f.views) > wide:
			block = 1
			for t := range f.trees {
				s.leaves[0] = seek(f, &f.trees[t], rows, first)
				add(t, first, s.leaves[:1])
			}
		case block < few:
			block = 1
			fill(f, rows, first, 1, s)
			f.row(s, first, add)
		default:
			fill(f, rows, first, block, s)
			for t := range f.trees {
				f.block(&f.trees[t], s)
				add(t, first, s.leaves[:block])
			}
		}
		first += block
	}
}

// fill computes the keys of n rows.
func fill[S Source](f *Forest, rows S, first, n int, s *Scratch) {
	for i, v := range f.views {
		column := &s.keys[i]
		for r := range column[:n] {
			column[r] = rows.key(v, first+r)
		}
	}
}

// one is 1 for true, in a form that needs no jump.
func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// block takes all rows of a block through one tree. All take a step before any takes the
// next: so their loads do not wait for one another. Rows beyond the last have keys of
// earlier blocks, which harms nobody.
func (f *Forest) block(w *tree, s *Scratch) {
	nodes := f.nodes[w.root:w.end]
	switch {
	case w.categorical:
		for r := range s.leaves {
			s.leaves[r] = w.places + f.any(w, s.keys, r)
		}
	case w.full:
		var at [Block]uint8
		for i := range w.steps {
			stepFull(nodes[1<<i-1:2<<i-1], s.keys, &at)
		}
		for r, a := range at {
			s.leaves[r] = w.places + uint32(a)
		}
	default:
		clear(s.leaves[:])
		for range w.steps {
			stepAny(nodes, f.left[w.left:], s.keys, &s.leaves)
		}
		for r := range s.leaves {
			s.leaves[r] += w.places
		}
	}
}

// stepFull takes all rows one level down a full tree. In a function of its own, the loop has
// the registers that it needs.
//
//go:noinline
func stepFull(level []uint64, keys [][Block]int32, at *[Block]uint8) {
	for r := 0; r < Block; r += 2 {
		a, b := at[r], at[r+1]
		n, m := level[a], level[b]
		at[r] = a*2 + uint8(one(keys[n>>32][r] >= int32(n)))
		at[r+1] = b*2 + uint8(one(keys[m>>32][r+1] >= int32(m)))
	}
}

// stepAny takes all rows one step down a tree that is not full.
//
//go:noinline
func stepAny(nodes []uint64, left []uint32, keys [][Block]int32, at *[Block]uint32) {
	left = left[:len(nodes)]
	for r := 0; r < Block; r += 2 {
		a, b := at[r], at[r+1]
		n, m := nodes[a], nodes[b]
		at[r] = left[a] + one(keys[n>>32][r] >= int32(n))
		at[r+1] = left[b] + one(keys[m>>32][r+1] >= int32(m))
	}
}

// row takes one row, whose keys lead the columns, through all trees.
func (f *Forest) row(s *Scratch, first int, add func(tree, first int, leaves []uint32)) {
	for from := 0; from < len(f.trees); {
		n := f.alike(from)
		if n == 0 {
			s.leaves[0] = f.trees[from].places + f.any(&f.trees[from], s.keys, 0)
			n = 1
		} else {
			f.together(from, n, s)
		}
		for i := range n {
			add(from+i, first, s.leaves[i:i+1])
		}
		from += n
	}
}

// alike is how many trees from one on are full and of the same size, at most Block.
func (f *Forest) alike(from int) int {
	n := 0
	for from+n < len(f.trees) && n < Block && f.trees[from+n].full && f.trees[from+n].steps == f.trees[from].steps {
		n++
	}
	return n
}

// together takes one row through trees that are alike. It takes a step in each before the
// next in any.
func (f *Forest) together(from, n int, s *Scratch) {
	var at [Block]uint8
	steps := f.trees[from].steps
	size := 1<<steps - 1
	nodes, keys := f.nodes[f.trees[from].root:][:n*size], s.keys
	for i := range steps {
		level := 1<<i - 1
		for t := range at[:n] {
			a := at[t]
			node := nodes[level+int(a)]
			at[t] = a*2 + uint8(one(keys[node>>32][0] >= int32(node)))
			level += size
		}
	}
	for t := range at[:n] {
		s.leaves[t] = f.trees[from+t].places + uint32(at[t])
	}
}

// any walks one row of a block through a tree that is not full.
func (f *Forest) any(w *tree, keys [][Block]int32, row int) uint32 {
	nodes := f.nodes[w.root:w.end]
	left := f.left[w.left:][:len(nodes)]
	at := uint32(0)
	for left[at] != at {
		n := nodes[at]
		at = left[at] + f.right(n, keys[n>>32][row&(Block-1)])
	}
	return at
}

// right is 1 where a key goes right from a node.
func (f *Forest) right(n uint64, key int32) uint32 {
	switch {
	case f.views[n>>32].as < CategoryLeft:
		return one(key >= int32(n))
	case key < 0:
		return one(key == goesRight)
	default:
		return inSet(f.sets, int(int32(n)), uint32(key))
	}
}

// seek walks one row whose keys are computed as they are needed.
func seek[S Source](f *Forest, w *tree, rows S, row int) uint32 {
	nodes, at := f.nodes[w.root:w.end], uint32(0)
	if !w.full {
		left := f.left[w.left:][:len(nodes)]
		for left[at] != at {
			n := nodes[at]
			at = left[at] + f.right(n, rows.key(f.views[n>>32], row))
		}
		return w.places + at
	}
	for i := range w.steps {
		n := nodes[1<<i-1+at]
		at = at*2 + one(rows.key(f.views[n>>32], row) >= int32(n))
	}
	return w.places + at
}
