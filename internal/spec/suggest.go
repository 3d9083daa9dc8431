package spec

import (
	"fmt"
	"slices"
	"strings"
)

// unknownKey says what to write instead of a key that an object does not have: the
// nearest key, which it also gives, or the place where the key belongs, or the keys there
// are.
func unknownKey(f *field, key string) (meant string, m mistake) {
	m.message = fmt.Sprintf("has the unknown key %.60q", key)
	var keys []string
	for i := range f.fields {
		keys = append(keys, f.fields[i].key)
	}
	if meant = nearest(key, keys); meant != "" {
		m.next = "did you mean " + meant + "?"
	} else if at := whereIs(table(), "", key); at != "" {
		m.next = "write it as " + at
	} else {
		m.next = "remove it; the keys here are " + f.keys()
	}
	return meant, m
}

// whereIs finds the first path that ends in a key, or gives "".
func whereIs(f *field, path, key string) string {
	for i := range f.fields {
		c := &f.fields[i]
		full := join(path, c.key)
		if c.key == key {
			return full
		}
		if c.item != nil {
			c, full = c.item, full+"[]"
		}
		if at := whereIs(c, full, key); at != "" {
			return at
		}
	}
	return ""
}

// nearest is the candidate with the smallest edit distance, if that is at most a third of
// its length and at least one; "" otherwise.
func nearest(s string, candidates []string) string {
	if len(s) > 64 {
		return ""
	}
	best, found := 0, ""
	for _, c := range candidates {
		n := distance(strings.ToLower(s), strings.ToLower(c))
		if n <= max(1, len(c)/3) && (found == "" || n < best) {
			best, found = n, c
		}
	}
	return found
}

// distance is the optimal string alignment distance in bytes: insertions, deletions,
// substitutions and swaps of neighbours.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = slices.Min([]int{prev[j] + 1, row[j-1] + 1, prev[j-1] + cost})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
