package screen

import (
	"strings"
	"unicode/utf8"
)

// Text is a piece of text and how it looks.
type Text struct {
	text  string
	style style
}

// style is a set of SGR parameters (ECMA-48 §8.3.117).
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// Plain is text as it is.
func Plain(s string) Text { return Text{s, plain} }

// Bold is text that matters.
func Bold(s string) Text { return Text{s, bold} }

// Dim is text beside the matter.
func Dim(s string) Text { return Text{s, dim} }

// Red is bad news.
func Red(s string) Text { return Text{s, red} }

// Green is good news.
func Green(s string) Text { return Text{s, green} }

// Yellow is neither yet.
func Yellow(s string) Text { return Text{s, yellow} }

// Ready is text that was cleaned and painted before.
type Ready string

// cut shortens text to a number of characters.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(n-1, 0)]) + "…"
}

// oneLine is clean text without line ends.
func oneLine(s string) string { return strings.ReplaceAll(clean(s), "\n", " ") }

// clean replaces what a terminal would obey or hide: controls, but for tabs and line
// ends, and characters that change the direction of text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == utf8.RuneError:
			return utf8.RuneError
		}
		return r
	}, s)
}
