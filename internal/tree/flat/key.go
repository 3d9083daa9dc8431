package flat

import (
	"math"
)

// Keys that no value has.
const (
	least = math.MinInt32     // goes left everywhere
	most  = math.MaxInt32 - 1 // goes right everywhere
	never = math.MaxInt32     // the key of a node from which no row goes right
)

// Keys of a category that is none.
const (
	goesLeft  = -1
	goesRight = -2
)

// Treatment is how a split sees its feature. The same feature may be seen in several ways.
type Treatment uint8

// The treatments. Category makes a code of the value, which Node.Set looks up; what is no
// code goes left.
const (
	NaNLeft       Treatment = iota // a missing value goes left
	NaNRight                       // a missing value goes right
	NaNZero                        // a missing value is taken for 0
	ZeroLeft                       // a missing value goes left, and so does 0
	ZeroRight                      // a missing value goes right, and so does 0
	CategoryLeft                   // a category; a missing value goes left
	CategoryRight                  // a category; a missing value goes right
)

// view is one feature under one treatment: a column of the keys of a block.
type view struct {
	feature uint32
	as      Treatment
}

// Key is the key of a single that is not NaN: a whole number in the order of the floats, in
// which 0 and -0 are one.
func Key(x float32) int32 {
	i := int32(math.Float32bits(x + 0)) // -0 + 0 is 0
	return i ^ int32(uint32(i>>31)>>1)
}

// replaced are the keys of a missing value and of 0, whose own is given.
func (t Treatment) replaced(own int32) (missing, zero int32) {
	switch t {
	case NaNLeft:
		return least, own
	case NaNRight:
		return most, own
	case ZeroLeft:
		return least, least
	case ZeroRight:
		return most, most
	default:
		return own, own
	}
}

// Singles gives the keys of rows of singles.
type Singles struct {
	Forest   *Forest
	Rows     []float32 // row-major
	Features int
}

func (s Singles) key(v view, row int) int32 {
	x := s.Rows[row*s.Features+int(v.feature)]
	if v.as >= CategoryLeft {
		return codeOf(s.Forest, x, v.as)
	}
	if x != x {
		missing, _ := v.as.replaced(0)
		return missing
	}
	return Key(x)
}

// Doubles gives the keys of rows of doubles: how many cuts of the feature are below.
type Doubles struct {
	Forest   *Forest
	Rows     []float64 // row-major
	Features int
	Cuts     [][]float64 // by feature, ascending
}

func (d Doubles) key(v view, row int) int32 {
	x := d.Rows[row*d.Features+int(v.feature)]
	if v.as >= CategoryLeft {
		return codeOf(d.Forest, x, v.as)
	}
	cuts := d.Cuts[v.feature]
	if x == x && !(x >= -d.Forest.Tiny && x <= d.Forest.Tiny) {
		return Rank(cuts, x)
	}
	missing, zero := v.as.replaced(Rank(cuts, 0))
	if x != x {
		return missing
	}
	return zero
}

// Rank is the number of ascending cuts below x.
func Rank(cuts []float64, x float64) int32 {
	from, n := 0, len(cuts)
	for n > 0 {
		half := (n + 1) / 2
		if cuts[from+half-1] < x {
			from += half
		}
		n -= half
	}
	return int32(from)
}

// codeOf is a category. A fraction is cut off; negative fractions are the category 0 only
// where the library has it so.
func codeOf[F float32 | float64](f *Forest, x F, as Treatment) int32 {
	switch {
	case x != x && as == CategoryRight:
		return goesRight
	case x != x, x >= 1<<31, x < 0 && !(f.NegativeFractions && x > -1):
		return goesLeft
	default:
		return min(int32(x), never-1) // a row with the key never would walk out of a leaf
	}
}
