package pool

import (
	"cmp"
	"slices"
)

// slot is a model that is in memory, as far as making room is concerned.
type slot struct {
	bytes  int64
	used   int64 // rises with each use
	pinned bool
}

// room says which of the loaded models go so that one more of need bytes fits into the
// budget: those that were used longest ago, as few as that takes, and never a pinned one. It
// answers false if it would not fit even without all of them.
func room(loaded []slot, need, budget int64) (out []int, ok bool) {
	free := budget - need
	var order []int
	for i, s := range loaded {
		free -= s.bytes
		if !s.pinned {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(loaded[a].used, loaded[b].used) })
	for _, i := range order {
		if free >= 0 {
			break
		}
		free += loaded[i].bytes
		out = append(out, i)
	}
	return out, free >= 0
}
