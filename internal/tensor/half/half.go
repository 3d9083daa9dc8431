// Package half is the numbers of 16 bits: half precision and bfloat16, which Go has no types for.
package half

import (
	"math"
	"math/big"
	"strconv"
)

// Format is a binary floating-point format of 16 bits (IEEE 754-2019, 3.4): a sign, so many
// bits of exponent, the rest of significand.
type Format struct{ exponent, significand uint }

// The formats.
var (
	FP16 = Format{5, 10}
	BF16 = Format{8, 7} // the upper half of a number of 32 bits
)

// Narrow rounds to the nearest, to even between two (IEEE 754-2019, 4.3.1). What is beyond
// the largest number becomes infinite. Tie tells that v lay exactly between two.
func (f Format) Narrow(v float64) (bits uint16, tie bool) {
	b := math.Float64bits(v)
	sign := uint16(b >> 63 << 15)
	exponent, m := int(b>>52&0x7ff), b&(1<<52-1)
	infinite := uint64(1<<f.exponent-1) << f.significand
	switch {
	case exponent == 0x7ff && m != 0:
		return sign | uint16(infinite|1<<(f.significand-1)), false
	case exponent == 0x7ff:
		return sign | uint16(infinite), false
	case exponent == 0: // far below the smallest
		return sign, false
	}
	m |= 1 << 52
	e := exponent - 1023 + 1<<(f.exponent-1) - 1
	shift := 52 - f.significand
	if e <= 0 { // subnormal: the exponent is that of 1
		shift += uint(1 - e)
		e = 1
	}
	if shift > 54 {
		return sign, false
	}
	q, rest, middle := m>>shift, m&(1<<shift-1), uint64(1)<<(shift-1)
	tie = rest == middle
	if rest > middle || tie && q&1 == 1 {
		q++
	}
	// The leading bit of q adds the last 1 to the exponent; a subnormal has none.
	return sign | uint16(min(uint64(e-1)<<f.significand+q, infinite)), tie
}

// Parse reads a decimal number. It answers false for one that is beyond the largest.
func (f Format) Parse(text string) (uint16, bool) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	bits, tie := f.Narrow(v)
	if tie && len(text) <= maxExactText {
		// v was rounded once already: only its text says on which side of the middle it is.
		if exact, ok := new(big.Rat).SetString(text); ok {
			switch exact.Cmp(new(big.Rat).SetFloat64(v)) {
			case -1:
				bits, _ = f.Narrow(math.Nextafter(v, math.Inf(-1)))
			case 1:
				bits, _ = f.Narrow(math.Nextafter(v, math.Inf(1)))
			}
		}
	}
	return bits, bits&0x7fff < uint16(1<<f.exponent-1)<<f.significand
}

// maxExactText bounds the numbers whose text is looked at exactly, in bytes.
const maxExactText = 400

// Infinite tells whether bits stand for an infinite number.
func (f Format) Infinite(bits uint16) bool {
	return bits&0x7fff == uint16(1<<f.exponent-1)<<f.significand
}

// Widen gives the number that bits stand for, exactly.
func (f Format) Widen(bits uint16) float64 {
	if f == BF16 {
		return float64(math.Float32frombits(uint32(bits) << 16))
	}
	m, e := float64(bits&0x3ff), int(bits>>10&0x1f)
	var v float64
	switch e {
	case 0:
		v = math.Ldexp(m, -24)
	case 0x1f:
		if v = math.Inf(1); m != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(m+1024, e-25)
	}
	if bits>>15 != 0 {
		return -v
	}
	return v
}
