package slipway

import (
	"strings"
	"unicode/utf8"
)

// OneLine gives the first line of a text as valid UTF-8 of at most limit bytes, without
// control characters.
func OneLine(s string, limit int) string {
	s, _, _ = strings.Cut(s, "\n")
	clean := func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}
	s = strings.Map(clean, strings.ToValidUTF8(s[:min(len(s), limit)], "\uFFFD"))
	for len(s) > limit || !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
