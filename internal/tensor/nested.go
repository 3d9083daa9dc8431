package tensor

import (
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// nested reads arrays of any depth, row-major, and finds or holds their shape. Its
// elements go to its columns in turn: one column for a tensor, all of them for a matrix.
type nested struct {
	s      *scanner
	cols   []column
	next   int
	shape  []int // -1 for a length that is not known yet
	fixed  bool  // the number of dimensions is known
	base64 bool  // strings are the base64 of bytes
	indent []int // where the reader is
}

const evenArrays = "send arrays of equal depth and length"

// read reads one value at a level. The first element fixes the number of dimensions, the
// first array of each level its length.
func (n *nested) read(level int) *slipway.Error {
	if n.s.peek() != '[' {
		if !n.fixed {
			n.shape, n.fixed = n.shape[:level], true
		}
		if level != len(n.shape) {
			return misfit(evenArrays, "has fewer dimensions here than elsewhere")
		}
		c := &n.cols[n.next]
		if n.next++; n.next == len(n.cols) {
			n.next = 0
		}
		if n.base64 && c.typ == Bytes {
			return c.decoded(n.s)
		}
		return c.value(n.s)
	}
	if level == len(n.shape) {
		if n.fixed {
			return misfit(evenArrays, "has more dimensions here than elsewhere")
		}
		n.shape = append(n.shape, -1)
	}
	count := 0
	n.indent = append(n.indent, 0)
	err := n.s.array(func(i int) *slipway.Error {
		n.indent[level] = i
		count++
		return n.read(level + 1)
	})
	if err != nil {
		return err
	}
	n.indent = n.indent[:level]
	if n.shape[level] < 0 {
		n.shape[level] = count
	}
	if n.shape[level] != count {
		return misfit(evenArrays, "has %d elements where %d belong", count, n.shape[level])
	}
	return nil
}

// place is the path of the element that is being read.
func (n *nested) place() string {
	var b strings.Builder
	for _, i := range n.indent {
		b.WriteString("[" + strconv.Itoa(i) + "]")
	}
	return b.String()
}

// readAll reads a whole value; what it has is nested.shape then. Errors carry the place in it.
func (n *nested) readAll() *slipway.Error {
	if err := n.read(0); err != nil {
		return at(n.place(), err)
	}
	for i, d := range n.shape { // an empty array at a level hides those below it
		n.shape[i] = max(d, 0)
	}
	return nil
}
