package strict

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/slipway-ml/slipway"
)

const (
	maxProblems = 50 // more help nobody
	maxExcerpt  = 96 // runes of a source line
)

// Problem is one Mistake in a file.
type Problem struct {
	Code    string `json:"code"`              // slipway.CodeSpec or slipway.CodeSpecPolicy
	Line    int    `json:"line"`              // from 1
	Column  int    `json:"column"`            // from 1, in characters
	Path    string `json:"path,omitempty"`    // empty is the file
	Message string `json:"message"`           // what is wrong with the path, as a predicate
	Excerpt string `json:"excerpt,omitempty"` // the source line and below it a caret
	Next    string `json:"next,omitempty"`    // what to do
}

// Errors is every Mistake found in one file, by place. Omitted counts those beyond the
// first fifty.
type Errors struct {
	File     string    `json:"file"`
	Problems []Problem `json:"problems"`
	Omitted  int       `json:"omitted,omitempty"`
}

// Error prints all mistakes with their excerpts, for a terminal.
func (e *Errors) Error() string {
	var b strings.Builder
	total := len(e.Problems) + e.Omitted
	fmt.Fprintf(&b, "%s has %d mistake%s\n", e.File, total, plural(total))
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n%s:%d:%d: %s\n", e.File, p.Line, p.Column, p.sentence())
		for line := range strings.Lines(p.Excerpt) {
			b.WriteString("  " + line)
		}
		if p.Next != "" {
			fmt.Fprintf(&b, "\n  → %s\n", p.Next)
		}
	}
	if e.Omitted > 0 {
		fmt.Fprintf(&b, "\nand %d more\n", e.Omitted)
	}
	return b.String()
}

func (p Problem) sentence() string {
	return cmp.Or(p.Path, "the file") + " " + p.Message
}

// As converts to the platform's error type: the first Mistake, and how many follow. The
// code is CodeSpecPolicy only when every Mistake is against the policy of the tier.
func (e *Errors) As(target any) bool {
	t, ok := target.(**slipway.Error)
	if !ok {
		return false
	}
	first := e.Problems[0]
	code := slipway.CodeSpecPolicy
	for _, p := range e.Problems {
		if p.Code != slipway.CodeSpecPolicy {
			code = p.Code
		}
	}
	message := fmt.Sprintf("%s:%d:%d: %s", e.File, first.Line, first.Column, first.sentence())
	if more := len(e.Problems) + e.Omitted - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more mistake%s)", more, plural(more))
	}
	*t = &slipway.Error{Code: code, Kind: slipway.Invalid, Message: message, Next: first.Next}
	return true
}

// place is a position in the file, both from 1.
type place struct{ line, column int }

// Mistake is what is wrong with a value and what to do; Code is slipway.CodeSpec when
// empty. A Mistake without a message is none.
type Mistake struct{ Message, Next, Code string }

// Report notes a mistake with a path at the place of another: of the key itself, or of the
// nearest above it.
func (d *Document) Report(at, path string, m Mistake) {
	d.report(d.placeFor(at, place{1, 1}), path, m)
}

// report notes a mistake at a place.
func (d *Document) report(at place, path string, m Mistake) {
	code := cmp.Or(m.Code, slipway.CodeSpec)
	d.problems = append(d.problems, Problem{Code: code, Line: at.line, Column: at.column,
		Path: path, Message: m.Message, Excerpt: d.excerpt(at), Next: m.Next})
}

// Err gives all mistakes in the order of the file as *Errors, or nil.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Path, b.Path))
	})
	n := min(len(d.problems), maxProblems)
	return &Errors{File: d.name, Problems: d.problems[:n], Omitted: len(d.problems) - n}
}

// addressRE matches addresses, which may have credentials before an @ or in a query.
var addressRE = regexp.MustCompile(`://[^\s"'<>]*`)

// masked replaces what may be a credential in an address by as many stars.
func masked(address string) string {
	runes := []rune(address)
	start, query := len("://"), false
	for i, r := range runes {
		switch {
		case query:
			runes[i] = '*'
		case r == '@':
			for j := start; j < i; j++ {
				runes[j] = '*'
			}
		case r == '?':
			query = true
		}
	}
	return string(runes)
}

// excerpt prints the line of a place and a caret under the column. A long line is cut
// around the column; what is not printable is replaced, since it goes to a terminal.
func (d *Document) excerpt(at place) string {
	if at.line < 1 || at.line > len(d.lines) {
		return ""
	}
	line := []rune(addressRE.ReplaceAllStringFunc(d.lines[at.line-1], masked))
	column := min(max(at.column, 1), len(line)+1)
	from := 0
	if column > maxExcerpt*3/4 {
		from = column - maxExcerpt*3/4
	}
	line = line[from:min(len(line), from+maxExcerpt)]
	for i, r := range line {
		if r == '\t' {
			line[i] = '→'
		} else if !unicode.IsPrint(r) {
			line[i] = unicode.ReplacementChar
		}
	}
	number := strconv.Itoa(at.line)
	return fmt.Sprintf("%s | %s\n%s | %s^", number, string(line),
		strings.Repeat(" ", len(number)), strings.Repeat(" ", column-1-from))
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
