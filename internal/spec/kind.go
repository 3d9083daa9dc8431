package spec

import (
	"errors"
	"fmt"
	"math"
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

// form is what YAML must take a value for, so that nothing is converted silently.
type form int

const (
	textForm   form = iota
	numberForm      // unquoted
	eitherForm      // text or number: quantities
)

// kind is how one value is written: its form in YAML, its parser, and the same said as
// JSON Schema.
type kind struct {
	form   form
	parse  func(text string) (any, mistake)
	schema map[string]any
}

// value reads a node: the value, or what is wrong.
func (k *kind) value(n ast.Node) (any, mistake) {
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
		if k.form == textForm {
			return nil, mistake{message: "must be text, but YAML reads this as another type", next: "put it in quotes"}
		}
		text = n.GetToken().Value
	default:
		return nil, mistake{message: "must be a single value", next: "write it without keys, dashes or brackets"}
	}
	switch {
	case k.form == textForm && isNumber:
		return nil, mistake{message: "must be text, but YAML reads this as a number", next: "put it in quotes"}
	case k.form == numberForm && quoted:
		return nil, mistake{message: "must be a number, but is text", next: "write the number without quotes"}
	}
	return k.parse(text)
}

func oneOf(values ...string) *kind {
	schema := map[string]any{"enum": values}
	if len(values) == 1 {
		schema = map[string]any{"const": values[0]}
	}
	return &kind{schema: schema, parse: func(s string) (any, mistake) {
		if slices.Contains(values, s) {
			return s, mistake{}
		}
		m := mistake{message: fmt.Sprintf("cannot be %.60q", s), next: "use " + strings.Join(values, ", ")}
		if v := nearest(s, values); v != "" {
			m.next = "did you mean " + v + "?"
		}
		return nil, m
	}}
}

func name() *kind {
	return &kind{
		schema: map[string]any{"type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"},
		parse: func(s string) (any, mistake) {
			if m := nameMistake(s); m.message != "" {
				return nil, m
			}
			return s, mistake{}
		}}
}

func nameMistake(s string) mistake {
	_, err := slipway.ParseName(s)
	var e *slipway.Error
	if errors.As(err, &e) {
		return mistake{message: "is no valid name", next: e.Next}
	}
	return mistake{}
}

func freeText(limit int) *kind {
	return &kind{
		schema: map[string]any{"type": "string", "minLength": 1, "maxLength": limit},
		parse: func(s string) (any, mistake) {
			switch {
			case strings.TrimSpace(s) == "":
				return nil, mistake{message: "is empty", next: "give a value or remove the key"}
			case utf8.RuneCountInString(s) > limit:
				return nil, mistake{message: fmt.Sprintf("is longer than %d characters", limit), next: "shorten it"}
			case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && isControl(r) }):
				return nil, mistake{message: "has a control character", next: "remove it"}
			}
			return s, mistake{}
		}}
}

func file() *kind {
	k := freeText(1024)
	inner := k.parse
	k.parse = func(s string) (any, mistake) {
		if strings.Contains(s, "://") {
			return nil, mistake{message: "must be a file, not a URL", next: "put the file beside platform.yaml and write ./NAME"}
		}
		return inner(s)
	}
	return k
}

func tier() *kind {
	return &kind{form: numberForm, schema: map[string]any{"type": "integer", "minimum": 1, "maximum": 4},
		parse: func(s string) (any, mistake) {
			if len(s) == 1 && s[0] >= '1' && s[0] <= '4' {
				return Tier(s[0] - '0'), mistake{}
			}
			return nil, mistake{message: "must be 1, 2, 3 or 4", next: "use 1 for customer- or money-critical, up to 4 for an experiment"}
		}}
}

var (
	integerRE  = regexp.MustCompile(`^-?[0-9]{1,15}$`)
	decimalRE  = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$`)
	durationRE = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$|^0$`)
)

func integer(low, high int) *kind {
	return &kind{form: numberForm, schema: map[string]any{"type": "integer", "minimum": low, "maximum": high},
		parse: func(s string) (any, mistake) {
			if !integerRE.MatchString(s) {
				return nil, mistake{message: "must be a whole number", next: fmt.Sprintf("use %d to %d", low, high)}
			}
			n, err := strconv.Atoi(s)
			if err != nil || n < low || n > high {
				return nil, mistake{message: "is out of range", next: fmt.Sprintf("use %d to %d", low, high)}
			}
			return n, mistake{}
		}}
}

func number(low, high float64) *kind {
	return &kind{form: numberForm, schema: map[string]any{"type": "number", "minimum": low, "maximum": high},
		parse: func(s string) (any, mistake) {
			if cut, percent := strings.CutSuffix(s, "%"); percent && decimalRE.MatchString(cut) {
				return nil, mistake{message: "must be a number", next: "write " + cut + " without the percent sign"}
			}
			if !decimalRE.MatchString(s) {
				return nil, mistake{message: "must be a number", next: fmt.Sprintf("use %g to %g", low, high)}
			}
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || v < low || v > high {
				return nil, mistake{message: "is out of range", next: fmt.Sprintf("use %g to %g", low, high)}
			}
			return v, mistake{}
		}}
}

func duration(low, high time.Duration) *kind {
	return &kind{form: eitherForm,
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": durationRE.String()}, map[string]any{"const": 0}}},
		parse: func(s string) (any, mistake) {
			if !durationRE.MatchString(s) {
				if integerRE.MatchString(s) {
					return nil, mistake{message: "has no unit", next: fmt.Sprintf("write %[1]ss, %[1]sm or %[1]sh", strings.TrimPrefix(s, "-"))}
				}
				return nil, mistake{message: "is no duration", next: "use h, m, s and ms, such as 90s, 10m or 1h30m"}
			}
			v, err := time.ParseDuration(s)
			switch {
			case err != nil || v < low || v > high:
				return nil, mistake{message: "is out of range", next: fmt.Sprintf("use %s to %s", printDuration(low), printDuration(high))}
			case v%time.Millisecond != 0:
				return nil, mistake{message: "is finer than a millisecond", next: "use " + printDuration(v.Round(time.Millisecond))}
			}
			return v, mistake{}
		}}
}

// printDuration writes a duration as people do: 10m, not 10m0s.
func printDuration(v time.Duration) string {
	s := v.String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}

func source() *kind {
	return &kind{
		schema: map[string]any{"type": "string", "maxLength": 1024, "pattern": `^(\.{1,2}/|/)|^[a-z][a-z0-9-]{0,62}(:[1-9][0-9]*|@[a-z][a-z0-9-]{0,62})$`},
		parse: func(s string) (any, mistake) {
			if s == "." || s == ".." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "/") {
				if _, m := freeText(1024).parse(s); m.message != "" {
					return nil, m
				}
				return Source{Dir: s}, mistake{}
			}
			return reference(s)
		}}
}

// reference reads name:version and name@alias.
func reference(s string) (any, mistake) {
	if strings.Contains(s, "://") || strings.HasPrefix(s, "models:/") || strings.HasPrefix(s, "runs:/") {
		return nil, mistake{message: "cannot be a URL", next: "use a directory such as ./model, or register the model and use name:version or name@alias"}
	}
	next := "use a directory such as ./model or /models/fraud, name:version such as fraud:3, or name@alias such as fraud@champion"
	if model, alias, ok := strings.Cut(s, "@"); ok {
		if nameMistake(model).message != "" || nameMistake(alias).message != "" {
			return nil, mistake{message: "is no name@alias", next: next}
		}
		return Source{Model: model, Alias: alias}, mistake{}
	}
	if model, version, ok := strings.Cut(s, ":"); ok {
		v, err := strconv.Atoi(version)
		if nameMistake(model).message != "" || err != nil || v < 1 || v > math.MaxInt32 || version[0] < '1' || version[0] > '9' {
			return nil, mistake{message: "is no name:version", next: next}
		}
		return Source{Model: model, Version: v}, mistake{}
	}
	return nil, mistake{message: "names neither a directory nor a version", next: next}
}
