package flat

import (
	"slices"
)

// A set of categories lies in Forest.sets behind a head: the number of words that follow,
// doubled, and 1 if they are bits, else 0 if they are the codes themselves. Whichever is
// smaller is taken, but bits, which are faster, up to twice the size: so a set is never
// much larger than the file that it came from.

// appendSet appends ascending codes from 0.
func appendSet(sets []uint32, codes []int32) []uint32 {
	words := 0
	if n := len(codes); n > 0 {
		words = int(codes[n-1])/32 + 1
	}
	if words > 2*len(codes)+2 {
		sets = append(sets, uint32(len(codes))*2)
		for _, c := range codes {
			sets = append(sets, uint32(c))
		}
		return sets
	}
	sets = append(sets, uint32(words)*2+1)
	at := len(sets)
	sets = append(sets, make([]uint32, words)...)
	for _, c := range codes {
		sets[at+int(c)/32] |= 1 << (c % 32)
	}
	return sets
}

// inSet is 1, right, for a category of the set at a place.
func inSet(sets []uint32, at int, code uint32) uint32 {
	head := sets[at]
	words := sets[at+1 : at+1+int(head/2)]
	if head&1 == 0 {
		_, found := slices.BinarySearch(words, code)
		return one(found)
	}
	if code/32 >= uint32(len(words)) {
		return 0
	}
	return words[code/32] >> (code % 32) & 1
}
