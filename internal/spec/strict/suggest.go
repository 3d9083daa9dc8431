package strict

import (
	"fmt"
	"slices"
	"strings"
)

// unknownKey says what to write instead of a key that an object does not have: the
// nearest key, which it also gives, or the place where the key belongs, or the keys there
// are.
func unknownKey(root, f *Field, key string) (meant string, m Mistake) {
	m.Message = fmt.Sprintf("has the unknown key %.60q", key)
	var keys []string
	for i := range f.Fields {
		keys = append(keys, f.Fields[i].Key)
	}
	if meant = Nearest(key, keys); meant != "" {
		m.Next = "did you mean " + meant + "?"
	} else if at := whereIs(root, "", key); at != "" {
		m.Next = "write it as " + at
	} else {
		m.Next = "remove it; the keys here are " + f.keys()
	}
	return meant, m
}

// whereIs finds the first path that ends in a key, or gives "".
func whereIs(f *Field, path, key string) string {
	for i := range f.Fields {
		c := &f.Fields[i]
		full := Join(path, c.Key)
		if c.Key == key {
			return full
		}
		if c.Item != nil {
			c, full = c.Item, full+"[]"
		}
		if at := whereIs(c, full, key); at != "" {
			return at
		}
	}
	return ""
}

// Nearest is the candidate with the smallest edit distance, if that is at most a third of
// its length and at least one; "" otherwise.
func Nearest(s string, candidates []string) string {
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
