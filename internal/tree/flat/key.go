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

// Fill computes the keys of n rows of a number of features.
func (f *Forest) Fill(rows []float32, features, n int, keys [][Block]int32) {
	for i, v := range f.views {
		column, values := &keys[i], rows[v.feature:]
		if v.as >= CategoryLeft {
			fillCodes(f, column[:n], values, features, v.as)
			continue
		}
		missing, _ := v.as.replaced(0)
		for r := range column[:n] {
			x := values[r*features]
			k := Key(x)
			if x != x {
				k = missing
			}
			column[r] = k
		}
	}
}

// FillRanks is Fill for doubles, whose key is how many cuts of their feature are below.
func (f *Forest) FillRanks(rows []float64, features, n int, cuts [][]float64, keys [][Block]int32) {
	for i, v := range f.views {
		column, values, cut := keys[i][:n], rows[v.feature:], cuts[v.feature]
		if v.as >= CategoryLeft {
			fillCodes(f, column, values, features, v.as)
			continue
		}
		missing, zero := v.as.replaced(Rank(cut, 0))
		for r := range column {
			switch x := values[r*features]; {
			case x != x:
				column[r] = missing
			case x >= -f.Tiny && x <= f.Tiny:
				column[r] = zero
			default:
				column[r] = Rank(cut, x)
			}
		}
	}
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

// fillCodes computes a column of categories. A fraction is cut off; negative fractions are
// the category 0 only where the library has it so.
func fillCodes[F float32 | float64](f *Forest, column []int32, values []F, features int, as Treatment) {
	missing := int32(goesLeft)
	if as == CategoryRight {
		missing = goesRight
	}
	for r := range column {
		switch x := values[r*features]; {
		case x != x:
			column[r] = missing
		case x >= 1<<31, x < 0 && !(f.NegativeFractions && x > -1):
			column[r] = goesLeft
		default:
			column[r] = int32(x)
		}
	}
}
