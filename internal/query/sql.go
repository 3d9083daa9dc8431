package query

import (
	"fmt"
	"strconv"
	"strings"
)

// Args are the parameters of a statement, in their order.
type Args struct{ Values []any }

// Add adds a parameter and gives the place that stands for it: $1, $2, …
func (a *Args) Add(v any) string {
	a.Values = append(a.Values, v)
	return "$" + strconv.Itoa(len(a.Values))
}

// Bound adds a parameter with which values are compared by their order, a text or a number.
// SQLite plans a statement anew, at each run, in which such a parameter stands alone;
// PostgreSQL wants to know what it is.
func (a *Args) Bound(v any) string {
	kind := "TEXT"
	switch v.(type) {
	case int, int64:
		kind = "BIGINT"
	case float64:
		kind = "DOUBLE PRECISION"
	}
	return "CAST(" + a.Add(v) + " AS " + kind + ")"
}

// List adds parameters and gives their places, separated by commas. It must not be empty.
func List[T any](a *Args, values []T) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.Add(v))
	}
	return b.String()
}

// Where writes the comparison of a clause with an expression of SQL, for all operators but
// IS NULL and IS NOT NULL. LIKE needs a connection on which it minds the case.
func (c *Clause) Where(expr string, a *Args) string {
	switch v := c.Value.(type) {
	case []string:
		return fmt.Sprintf("%s %s (%s)", expr, c.Op, List(a, v))
	case []int64:
		return fmt.Sprintf("%s %s (%s)", expr, c.Op, List(a, v))
	case int64, float64:
		return fmt.Sprintf("%s %s %s", expr, c.Op, a.Bound(v))
	case string:
		pattern := strings.ReplaceAll(v, `\`, `\\`) // a backslash is a character like any other
		switch c.Op {
		case Like:
			return fmt.Sprintf(`%s LIKE %s ESCAPE '\'`, expr, a.Add(pattern))
		case ILike:
			return fmt.Sprintf(`lower(%s) LIKE lower(%s) ESCAPE '\'`, expr, a.Add(pattern))
		}
	}
	return fmt.Sprintf("%s %s %s", expr, c.Op, a.Add(c.Value))
}

// Term is one expression of an order, never NULL, of values of a kind.
type Term struct {
	Expr string
	Kind Kind
	Desc bool
}

// Present are the terms of an expression that may be NULL: what is there goes first,
// whatever the direction. zero stands for what is not there.
func Present(expr, zero string, kind Kind, desc bool) []Term {
	return []Term{
		{Expr: "CASE WHEN " + expr + " IS NULL THEN 1 ELSE 0 END", Kind: Int},
		{Expr: "COALESCE(" + expr + ", " + zero + ")", Kind: kind, Desc: desc},
	}
}

// Sorted writes an ORDER BY.
func Sorted(terms []Term) string {
	out := make([]string, len(terms))
	for i, t := range terms {
		out[i] = t.Expr
		if t.Desc {
			out[i] += " DESC"
		}
	}
	return strings.Join(out, ", ")
}

// After writes the condition that a row comes after one with the given values of the terms.
func After(terms []Term, last []any, a *Args) string {
	t := terms[0]
	op := ">"
	if t.Desc {
		op = "<"
	}
	p := a.Bound(last[0])
	if len(terms) == 1 {
		return fmt.Sprintf("%s %s %s", t.Expr, op, p)
	}
	return fmt.Sprintf("%[1]s %[2]s= %[3]s AND (%[1]s %[2]s %[3]s OR (%[4]s))", t.Expr, op, p, After(terms[1:], last[1:], a))
}
