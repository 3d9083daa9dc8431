package tensor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor/text"
)

// declares tells whether a field says more than its type.
func (f *Field) declares() bool {
	return f.Format != "" || len(f.Enum) > 0 || f.Min != nil || f.Max != nil || f.Missing != ""
}

// Element writes a value of an enumeration as the elements of a type are compared with it:
// "1" as "1", "1.50" as "1.5" for FP64. It answers false for one that the type does not have.
func (t Type) Element(text string) (string, bool) {
	c := column{typ: t}
	var err *slipway.Error
	switch t {
	case Bytes:
		return text, true
	case Bool:
		return text, text == "true" || text == "false"
	default:
		s := scanner{b: []byte(text)}
		var whole bool
		if text, whole, err = s.number(); err == nil {
			err = s.end()
		}
		if err == nil {
			err = c.number(text, whole)
		}
	}
	if err != nil {
		return "", false
	}
	one := Tensor{Type: t, Data: c.data}
	return string(one.appendElement(nil, 0)), true
}

// check holds the element that was appended last to what is declared of the column.
func (c *column) check() *slipway.Error {
	if c.rules == nil {
		return nil
	}
	return c.hold(c.rules)
}

func (c *column) hold(f *Field) *slipway.Error {
	if c.typ == Bytes {
		return f.checkText(c.strings[len(c.strings)-1])
	}
	t := Tensor{Type: c.typ, Data: c.data}
	last := t.Len() - 1
	if c.typ != Bool {
		switch v := t.Float(last); {
		case math.IsNaN(v) && f.Missing == Refuse:
			return misfit("send a number", "is missing, which it must not be")
		case math.IsNaN(v):
			return nil
		case f.Min != nil && v < *f.Min, f.Max != nil && v > *f.Max:
			return misfit("send a value "+f.bounds(), "is out of range: it must be %s", f.bounds())
		}
	}
	if len(f.Enum) == 0 {
		return nil
	}
	var text [32]byte
	return f.checkEnum(string(t.appendElement(text[:0], last)))
}

func (f *Field) checkText(s string) *slipway.Error {
	switch f.Format {
	case FormatBase64:
		if !text.IsBase64(s) {
			return misfit("encode the bytes as base64 (RFC 4648)", "is no base64")
		}
	case FormatTime:
		if !text.IsTime(s) {
			return misfit("send a date such as 2026-03-31 or a time such as 2026-03-31T12:30:00Z (ISO 8601)", "is no date or time")
		}
	}
	if len(f.Enum) == 0 {
		return nil
	}
	return f.checkEnum(s)
}

func (f *Bounds) checkEnum(s string) *slipway.Error {
	if _, found := slices.BinarySearch(f.Enum, s); found {
		return nil
	}
	return misfit("send one of the declared values", "is none of %s", f.values())
}

// bounds says in words what Min and Max allow.
func (f *Bounds) bounds() string {
	switch {
	case f.Max == nil:
		return fmt.Sprintf("at least %g", *f.Min)
	case f.Min == nil:
		return fmt.Sprintf("at most %g", *f.Max)
	default:
		return fmt.Sprintf("between %g and %g", *f.Min, *f.Max)
	}
}

// values lists the enumeration, as far as an error has room for it.
func (f *Bounds) values() string {
	list, rest := f.Enum, ""
	if n := len(list) - maxNamed; n > 0 {
		list, rest = list[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(list, ", ") + rest
}
