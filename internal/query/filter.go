package query

import (
	"math"
	"strconv"
	"strings"
)

// Filter reads a filter: comparisons joined by AND. An empty one has none.
func (g *Grammar) Filter(s string) ([]Clause, error) {
	if len(s) > maxFilter {
		return nil, invalid("Filter string is too long: %d bytes, at most %d", len(s), maxFilter)
	}
	p := &parser{grammar: g, lexer: lexer{in: s}, in: s}
	p.advance()
	if p.tok.kind == end {
		return nil, nil
	}
	var out []Clause
	for {
		c, err := p.clause()
		if err != nil {
			return nil, err
		}
		if out = append(out, c); len(out) > maxClauses {
			return nil, invalid("Filter string has more than %d clauses", maxClauses)
		}
		switch {
		case p.tok.kind == end:
			return out, nil
		case p.tok.is("AND"):
			p.advance()
		case p.tok.raw == ";":
			p.advance()
			if p.tok.kind == end {
				return out, nil
			}
			return nil, g.message(several, s)
		default:
			return nil, p.unexpected(p.tok)
		}
	}
}

type parser struct {
	grammar *Grammar
	lexer   lexer
	in      string
	tok     token
}

func (p *parser) advance() { p.tok = p.lexer.next() }

func (p *parser) unexpected(t token) error {
	return p.grammar.message(unreadable, p.lexer.rest(t))
}

// clause reads one comparison.
func (p *parser) clause() (c Clause, err error) {
	left := p.tok
	switch {
	case left.kind == number || left.kind == text:
		return c, invalid("Invalid comparison clause. Expected 'Identifier' found '%s'", short(left.raw))
	case left.kind != name || left.is("AND"):
		return c, p.unexpected(left)
	}
	rest := p.lexer.rest(left)
	p.advance()
	op, err := p.operator(rest)
	if err != nil {
		return c, err
	}
	f, err := p.grammar.field(left)
	if err != nil {
		return c, err
	}
	c = Clause{Entity: f.entity, Key: f.key, Op: op}
	if op == IsNull || op == IsNotNull {
		return c, p.grammar.nullable(f)
	}
	if c.Value, err = p.value(f, op, rest); err != nil {
		return c, err
	}
	if err := p.grammar.comparable(f, op); err != nil {
		return c, err
	}
	if s, ok := c.Value.(string); ok && (op == Like || op == ILike) && len(s) > maxPattern {
		return c, invalid("A pattern of %s has more than %d bytes", op, maxPattern)
	}
	return c, nil
}

// operator reads the words or signs of one. Whether it fits is not looked at yet.
func (p *parser) operator(clause string) (Op, error) {
	t := p.tok
	p.advance()
	word := func(w string) bool {
		if !p.tok.is(w) {
			return false
		}
		p.advance()
		return true
	}
	switch {
	case t.kind == symbol:
		return Op(t.raw), nil
	case t.is("LIKE") || t.is("ILIKE") || t.is("RLIKE"):
		return Op(strings.ToUpper(t.raw)), nil
	case t.is("IN") && p.tok.raw == "(":
		return In, nil
	case t.is("NOT") && word("IN") && p.tok.raw == "(":
		return NotIn, nil
	case t.is("IS"):
		if word("NULL") {
			return IsNull, nil
		}
		if word("NOT") && word("NULL") {
			return IsNotNull, nil
		}
	}
	return "", p.grammar.message(unreadable, clause)
}

// value reads what is compared with.
func (p *parser) value(f field, op Op, clause string) (any, error) {
	t := p.tok
	if t.raw == "(" && t.kind == mark {
		if op != In && op != NotIn {
			return nil, p.grammar.message(unreadable, clause)
		}
		if err := p.grammar.listable(f, p.lexer.rest(t)); err != nil {
			return nil, err
		}
		return p.list()
	}
	for _, word := range []string{"true", "false", "null", "AND"} {
		if t.is(word) {
			return nil, p.grammar.message(unreadable, clause)
		}
	}
	if t.kind != name && t.kind != text && t.kind != number {
		return nil, p.grammar.message(unreadable, clause)
	}
	p.advance()
	if f.kind == Text {
		return p.grammar.text(f, t)
	}
	return p.grammar.number(f, t)
}

// list reads texts in parentheses.
func (p *parser) list() ([]string, error) {
	const problem = "While parsing a list in the query, expected "
	p.advance() // past the parenthesis
	if p.tok.raw == ")" {
		return nil, invalid(problem + "a non-empty list of string values, but got empty list")
	}
	var out []string
	for {
		t := p.tok
		p.advance()
		switch {
		case t.kind == text:
			out = append(out, t.value)
		case t.kind == name && len(t.parts) == 1 && t.quotes[0] == '"':
			out = append(out, t.parts[0])
		case t.kind == number:
			return nil, invalid(problem+"string value, punctuation, or whitespace, but got different type in list: %s", short(t.raw))
		default:
			return nil, invalid(problem + "a non-empty list of string values, but got ill-formed list.")
		}
		if len(out) > maxList {
			return nil, invalid("A list in the filter has more than %d values", maxList)
		}
		if p.tok.raw == "," {
			p.advance()
			if p.tok.raw != ")" {
				continue
			}
		}
		if p.tok.raw != ")" {
			return nil, invalid(problem + "a non-empty list of string values, but got ill-formed list.")
		}
		p.advance()
		return out, nil
	}
}

// text is the value of a token for a field of texts.
func (g *Grammar) text(f field, t token) (any, error) {
	switch {
	case t.kind == text:
		return t.value, nil
	case t.kind == name && len(t.parts) == 1 && t.quotes[0] == '"':
		return t.parts[0], nil
	case g.bare && t.kind == number:
		return t.raw, nil
	case t.kind == name:
		return nil, invalid("Parameter value is either not quoted or unidentified quote types used for string value %s. Use either single or double quotes.", short(t.raw))
	}
	return nil, g.wantsText(f, t.raw)
}

// number is the value of a token for a field of numbers. Whole numbers beyond what a
// database keeps are as far as it goes.
func (g *Grammar) number(f field, t token) (any, error) {
	if t.kind != number {
		if f.entity == Metric {
			return nil, invalid("Expected numeric value type for metric. Found %s", short(t.raw))
		}
		return nil, invalid("Expected numeric value type for numeric attribute: %s. Found %s", f.key, short(t.raw))
	}
	v, err := strconv.ParseFloat(t.raw, 64)
	if err != nil && !math.IsInf(v, 0) {
		return nil, invalid("Expected numeric value type for metric. Found %s", short(t.raw))
	}
	if f.kind == Float {
		return v, nil
	}
	if strings.ContainsAny(t.raw, ".eE") {
		if g.whole {
			return nil, invalid("Invalid value for numeric attribute '%s': '%s'", f.key, short(t.raw))
		}
		return v, nil
	}
	n, _ := strconv.ParseInt(t.raw, 10, 64) // what is out of range becomes the end of it
	return n, nil
}
