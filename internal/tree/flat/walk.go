package flat

// one is 1 for true, in a form that needs no jump.
func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// few is how many rows go one by one: a block of them would cost more than it saves.
const few = 4

// Next is how many of the rows that are left go next: a block by Rows, or a single one by
// Row.
func Next(left int) int {
	if left < few {
		return 1
	}
	return min(left, Block)
}

// Room is how many views Fill needs room for.
func (f *Forest) Room() int { return max(1, len(f.views)) }

// Rows takes n rows of a block through one tree and tells each one's leaf. Keys has the
// views one after the other, Block keys each. All rows take a step before any takes the
// next: so their loads do not wait for one another, and nothing is kept in many registers.
// Rows beyond the last have keys of earlier blocks, which harms nobody.
func (f *Forest) Rows(t int, keys [][Block]int32, n int, leaves *[Block]uint32) {
	w := &f.trees[t]
	nodes := f.nodes[w.root:w.end]
	switch {
	case w.categorical:
		for r := range n {
			leaves[r] = f.any(w, keys, r)
		}
	case w.full:
		var at [Block]uint8
		for i := range w.steps {
			stepFull(nodes[1<<i-1:2<<i-1], keys, &at)
		}
		for r, a := range at {
			leaves[r] = w.places + uint32(a)
		}
	default:
		clear(leaves[:])
		for range w.steps {
			stepAny(nodes, f.left[w.left:], keys, leaves)
		}
		for r := range leaves {
			leaves[r] += w.places
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

// Row takes one row, whose keys lead the views, through at most Block trees from one on,
// tells the leaf in each, and answers how many trees these are.
func (f *Forest) Row(from int, keys [][Block]int32, leaves *[Block]uint32) int {
	trees := f.trees[from:min(from+Block, len(f.trees))]
	first := &trees[0]
	if !first.full {
		leaves[0] = f.any(first, keys, 0)
		return 1
	}
	n := 1 // full trees of the same size, which take each step together
	for n < len(trees) && trees[n].full && trees[n].steps == first.steps {
		n++
	}
	var at [Block]uint8
	size := 1<<first.steps - 1
	nodes := f.nodes[first.root:][:n*size]
	for i := range first.steps {
		level := 1<<i - 1
		for t := range at[:n] {
			a := at[t]
			n := nodes[level+int(a)]
			at[t] = a*2 + uint8(one(keys[n>>32][0] >= int32(n)))
			level += size
		}
	}
	for t := range at[:n] {
		leaves[t] = trees[t].places + uint32(at[t])
	}
	return n
}

// any walks one row through a tree with splits of any kind.
func (f *Forest) any(w *tree, keys [][Block]int32, row int) uint32 {
	nodes := f.nodes[w.root:w.end]
	left := f.left[w.left:][:len(nodes)]
	at := uint32(0)
	for left[at] != at {
		n := nodes[at]
		k, key := keys[n>>32][row&(Block-1)], int32(n)
		switch {
		case f.views[n>>32].as < CategoryLeft:
			at = left[at] + one(k >= key)
		case k < 0:
			at = left[at] + one(k == goesRight)
		default:
			at = left[at] + inSet(f.sets, int(key), uint32(k))
		}
	}
	return w.places + at
}
