package strict

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/slipway-ml/slipway"
)

// Form is what YAML must take a value for, so that nothing is converted silently.
type Form int

// The forms of a value.
const (
	TextForm   Form = iota
	NumberForm      // unquoted
	EitherForm      // text or number: quantities
)

// Kind is how one value is written: its form in YAML, its parser, and the same said as
// JSON Schema. Parse gives the value or, with a message, what is wrong with it.
type Kind struct {
	Form   Form
	Parse  func(text string) (any, Mistake)
	Schema map[string]any
}

// value reads a node: the value, or what is wrong.
func (k *Kind) value(n ast.Node) (any, Mistake) {
	var text string
	isNumber := false
	quoted := false
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
		quoted = n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		text, quoted = n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		text, isNumber = n.GetToken().Value, true
	case *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		if k.Form == TextForm {
			return nil, Mistake{Message: "must be text, but YAML reads this as another type", Next: "put it in quotes"}
		}
		text = n.GetToken().Value
	default:
		return nil, Mistake{Message: "must be a single value", Next: "write it without keys, dashes or brackets"}
	}
	switch {
	case k.Form == TextForm && isNumber:
		return nil, Mistake{Message: "must be text, but YAML reads this as a number", Next: "put it in quotes"}
	case k.Form == NumberForm && quoted:
		return nil, Mistake{Message: "must be a number, but is text", Next: "write the number without quotes"}
	}
	return k.Parse(text)
}

// OneOf is one of a few words.
func OneOf(values ...string) *Kind {
	schema := map[string]any{"enum": values}
	if len(values) == 1 {
		schema = map[string]any{"const": values[0]}
	}
	return &Kind{Schema: schema, Parse: func(s string) (any, Mistake) {
		if slices.Contains(values, s) {
			return s, Mistake{}
		}
		m := Mistake{Message: fmt.Sprintf("cannot be %.60q", s), Next: "use " + strings.Join(values, ", ")}
		if v := Nearest(s, values); v != "" {
			m.Next = "did you mean " + v + "?"
		}
		return nil, m
	}}
}

// Name is a name of the platform: see slipway.ParseName.
func Name() *Kind {
	return &Kind{
		Schema: map[string]any{"type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"},
		Parse: func(s string) (any, Mistake) {
			if m := nameMistake(s); m.Message != "" {
				return nil, m
			}
			return s, Mistake{}
		}}
}

func nameMistake(s string) Mistake {
	_, err := slipway.ParseName(s)
	var e *slipway.Error
	if errors.As(err, &e) {
		return Mistake{Message: "is no valid name", Next: e.Next}
	}
	return Mistake{}
}

// Text is text of at most so many characters, with line ends.
func Text(limit int) *Kind {
	return &Kind{
		Schema: map[string]any{"type": "string", "minLength": 1, "maxLength": limit},
		Parse: func(s string) (any, Mistake) {
			switch {
			case strings.TrimSpace(s) == "":
				return nil, Mistake{Message: "is empty", Next: "give a value or remove the key"}
			case utf8.RuneCountInString(s) > limit:
				return nil, Mistake{Message: fmt.Sprintf("is longer than %d characters", limit), Next: "shorten it"}
			case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && isControl(r) }):
				return nil, Mistake{Message: "has a control character", Next: "remove it"}
			}
			return s, Mistake{}
		}}
}

// File is the path of a local file.
func File() *Kind {
	k := Text(1024)
	inner := k.Parse
	k.Parse = func(s string) (any, Mistake) {
		if strings.Contains(s, "://") {
			return nil, Mistake{Message: "must be a file, not a URL", Next: "put the file beside platform.yaml and write ./NAME"}
		}
		return inner(s)
	}
	return k
}

var (
	integerRE  = regexp.MustCompile(`^-?[0-9]{1,15}$`)
	decimalRE  = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$`)
	durationRE = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$|^0$`)
)

// Integer is a whole number in a range.
func Integer(low, high int) *Kind {
	return &Kind{Form: NumberForm, Schema: map[string]any{"type": "integer", "minimum": low, "maximum": high},
		Parse: func(s string) (any, Mistake) {
			if !integerRE.MatchString(s) {
				return nil, Mistake{Message: "must be a whole number", Next: fmt.Sprintf("use %d to %d", low, high)}
			}
			n, err := strconv.Atoi(s)
			if err != nil || n < low || n > high {
				return nil, Mistake{Message: "is out of range", Next: fmt.Sprintf("use %d to %d", low, high)}
			}
			return n, Mistake{}
		}}
}

// Number is a finite number in a range.
func Number(low, high float64) *Kind {
	return &Kind{Form: NumberForm, Schema: map[string]any{"type": "number", "minimum": low, "maximum": high},
		Parse: func(s string) (any, Mistake) {
			if cut, percent := strings.CutSuffix(s, "%"); percent && decimalRE.MatchString(cut) {
				return nil, Mistake{Message: "must be a number", Next: "write " + cut + " without the percent sign"}
			}
			if !decimalRE.MatchString(s) {
				return nil, Mistake{Message: "must be a number", Next: fmt.Sprintf("use %g to %g", low, high)}
			}
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || v < low || v > high {
				return nil, Mistake{Message: "is out of range", Next: fmt.Sprintf("use %g to %g", low, high)}
			}
			return v, Mistake{}
		}}
}

// Duration is a length of time in a range, in whole milliseconds.
func Duration(low, high time.Duration) *Kind {
	return &Kind{Form: EitherForm,
		Schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": durationRE.String()}, map[string]any{"const": 0}}},
		Parse: func(s string) (any, Mistake) {
			if !durationRE.MatchString(s) {
				if integerRE.MatchString(s) {
					units := "write %[1]ss, %[1]sm or %[1]sh"
					if high <= time.Minute {
						units = "write %[1]sms or %[1]ss"
					}
					return nil, Mistake{Message: "has no unit", Next: fmt.Sprintf(units, strings.TrimPrefix(s, "-"))}
				}
				return nil, Mistake{Message: "is no duration", Next: "use h, m, s and ms, such as 90s, 10m or 1h30m"}
			}
			v, err := time.ParseDuration(s)
			switch {
			case err != nil || v < low || v > high:
				return nil, Mistake{Message: "is out of range", Next: fmt.Sprintf("use %s to %s", PrintDuration(low), PrintDuration(high))}
			case v%time.Millisecond != 0:
				return nil, Mistake{Message: "is finer than a millisecond", Next: "use " + PrintDuration(v.Round(time.Millisecond))}
			}
			return v, Mistake{}
		}}
}

// PrintDuration writes a duration as people do: 10m, not 10m0s.
func PrintDuration(v time.Duration) string {
	s := v.String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}
