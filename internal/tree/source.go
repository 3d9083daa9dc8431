package tree

import (
	"errors"
	"fmt"
	"math"
)

// maxDepth bounds the nesting of a model file; XGBoost's own files nest eight deep.
const maxDepth = 64

var errDepth = fmt.Errorf("nested deeper than %d", maxDepth)

// source is a document of objects, arrays, numbers and strings that is read in order,
// once. Every method consumes exactly one value, and fails if the next value is of
// another kind. A source allocates nothing that the bytes of the file do not pay for.
type source interface {
	// object calls visit after each key; visit consumes the key's value.
	object(visit func(key string) error) error
	// array calls visit before each element; visit consumes it.
	array(visit func() error) error
	// numbers calls visit with each element of an array of numbers. True and false count
	// as 1 and 0. Decimals are rounded once, to a float of the given bits.
	numbers(bits int, visit func(float64) error) error
	// text reads a string.
	text() (string, error)
	// skip passes over any value.
	skip() error
}

// fields reads an object: known keys by their functions, each at most once, and passes
// over all others.
func fields(s source, known map[string]func() error) error {
	seen := make(map[string]bool, len(known))
	return s.object(func(key string) error {
		read, ok := known[key]
		if !ok {
			return s.skip()
		}
		if seen[key] {
			return fmt.Errorf("%s: given twice", key)
		}
		seen[key] = true
		if err := read(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// list reads an array of objects or arrays by a function that gets each index.
func list(s source, read func(i int) error) error {
	i := 0
	return s.array(func() error {
		if err := read(i); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		i++
		return nil
	})
}

// texts reads an array of strings.
func texts(s source) (out []string, err error) {
	err = list(s, func(int) error {
		t, err := s.text()
		out = append(out, t)
		return err
	})
	return out, err
}

// budget is how many numbers may still be kept.
type budget int

var errBudget = errors.New("the model is larger than is supported")

// floats reads an array of numbers as XGBoost holds them, in single precision.
func (b *budget) floats(s source) (out []float32, err error) {
	err = s.numbers(32, func(v float64) error {
		if *b--; *b < 0 {
			return errBudget
		}
		out = append(out, float32(v))
		return nil
	})
	return out, err
}

// ints reads an array of whole numbers of 32 bits.
func (b *budget) ints(s source) (out []int32, err error) {
	err = s.numbers(64, func(v float64) error {
		if *b--; *b < 0 {
			return errBudget
		}
		if v != math.Trunc(v) || v < math.MinInt32 || v > math.MaxInt32 {
			return fmt.Errorf("[%d]: no whole number of 32 bits", len(out))
		}
		out = append(out, int32(v))
		return nil
	})
	return out, err
}

// positions reads an array of numbers and keeps the indices of those that are not 0.
func (b *budget) positions(s source) (out []int32, err error) {
	i := int32(0)
	err = s.numbers(64, func(v float64) error {
		if v != 0 {
			if *b--; *b < 0 {
				return errBudget
			}
			out = append(out, i)
		}
		i++
		return nil
	})
	return out, err
}
