// Package explain says why something is as it is, who can change it, and with which
// command: of an error code, of a deployment and of an endpoint.
package explain

import (
	_ "embed"
	"strings"
)

// source has a section for each error code: "## CODE title", what it means, a line that
// begins with "Do: ", and one that begins with "Next: ".
//
//go:embed codes.md
var source string

// Code is what an error code means.
type Code struct {
	Code    string `json:"code"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
	Do      string `json:"do"`
	Next    string `json:"next"` // a command
}

// Codes lists all codes in the order of their numbers.
func Codes() []Code {
	var out []Code
	for _, section := range strings.Split(source, "\n## ")[1:] {
		head, body, _ := strings.Cut(section, "\n")
		code, title, _ := strings.Cut(head, " ")
		c := Code{Code: code, Title: title}
		for _, paragraph := range strings.Split(strings.TrimSpace(body), "\n\n") {
			text := strings.ReplaceAll(paragraph, "\n", " ")
			if do, ok := strings.CutPrefix(text, "Do: "); ok {
				c.Do = do
			} else if next, ok := strings.CutPrefix(text, "Next: "); ok {
				c.Next = next
			} else {
				c.Meaning = text
			}
		}
		out = append(out, c)
	}
	return out
}

// Find gives a code by its name: SLIP-E0301, e0301 or 0301.
func Find(name string) (Code, bool) {
	digits := strings.TrimPrefix(strings.TrimPrefix(strings.ToUpper(name), "SLIP-"), "E")
	for _, c := range Codes() {
		if strings.TrimPrefix(c.Code, "SLIP-E") == digits {
			return c, true
		}
	}
	return Code{}, false
}
