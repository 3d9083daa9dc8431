// Package query reads what MLflow's searches are asked with: filters, orders and page
// tokens. What comes out is a list of clauses whose values a database gets as parameters;
// no text of a caller ever becomes part of a statement.
package query

import (
	"fmt"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Entity is what a key belongs to.
type Entity string

// The entities.
const (
	Attribute Entity = "attribute" // of the thing itself
	Metric    Entity = "metric"
	Param     Entity = "parameter"
	Tag       Entity = "tag"
	Dataset   Entity = "dataset"
)

// Kind is the type of a value.
type Kind int

// The kinds.
const (
	Text  Kind = iota // string
	Int               // int64
	Float             // float64
)

// Op is how a clause compares, always in upper case.
type Op string

// The operators.
const (
	Equal          Op = "="
	NotEqual       Op = "!="
	Less           Op = "<"
	LessOrEqual    Op = "<="
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	Like           Op = "LIKE"  // % and _, case matters
	ILike          Op = "ILIKE" // case does not matter
	In             Op = "IN"
	NotIn          Op = "NOT IN"
	IsNull         Op = "IS NULL" // there is no such key
	IsNotNull      Op = "IS NOT NULL"
)

// Clause is one comparison; those of a filter must all hold. Key is the name by which the
// grammar knows it, whatever other spelling was used. Value is a string, an int64, a
// float64, a []string for IN and NOT IN, or nil for IS NULL and IS NOT NULL.
type Clause struct {
	Entity Entity
	Key    string
	Op     Op
	Value  any
}

// Order is one term of an order.
type Order struct {
	Entity Entity
	Key    string
	Desc   bool
}

// Bounds of what is read.
const (
	maxFilter  = 64 << 10 // bytes
	maxClauses = 100
	maxList    = 10_000 // values of one IN
	maxPattern = 10_000 // bytes of a LIKE
	maxOrders  = 20
	maxOrder   = 2_000 // bytes of one
	maxQuoted  = 200   // bytes of input in a message
)

func invalid(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeFilter, "see https://mlflow.org/docs/latest/search-runs for what can be searched for", format, args...)
}

// short is input as a message may have it: MLflow's clients look for it there.
func short(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxQuoted {
		return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}

// python writes a text, or a list of them, as Python would print it: MLflow's messages
// have them so.
func python(v any) string {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			return `"` + v + `"`
		}
		return "'" + strings.ReplaceAll(v, "'", `\'`) + "'"
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = python(s)
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprint(v)
}
