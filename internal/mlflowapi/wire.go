package mlflowapi

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/slipway-ml/slipway"
)

// errKind says that a value is of another type than its field.
var errKind = errors.New("another type is wanted here")

// Int is a 64-bit integer of a message: clients send it as a number or as a string, and get a
// number.
type Int int64

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (i *Int) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	text, v, err := scalar(d)
	if err != nil || text == "" {
		return err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && v.Kind() == '0' { // 1e3 and 2.0 are integers too
		f, bad := strconv.ParseFloat(text, 64)
		if bad == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			n, err = int64(f), nil
		}
	}
	if err != nil {
		return wrong(v)
	}
	*i = Int(n)
	return nil
}

// Int64 is the value of an optional one, and whether there is any.
func (i *Int) Int64() (n int64, ok bool) {
	if i == nil {
		return 0, false
	}
	return int64(*i), true
}

// Float is a double of a message. What JSON has no number for is a string, both ways: "NaN",
// "Infinity" and "-Infinity".
type Float float64

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (f *Float) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	text, v, err := scalar(d)
	if err != nil || text == "" {
		return err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(n, 0) || strings.ContainsAny(text, "xX_") { // Go's own notations
		return wrong(v)
	}
	*f = Float(n)
	return nil
}

// MarshalJSONTo implements json.MarshalerTo.
func (f Float) MarshalJSONTo(e *jsontext.Encoder) error {
	switch x := float64(f); {
	case math.IsNaN(x):
		return e.WriteToken(jsontext.String("NaN"))
	case math.IsInf(x, 1):
		return e.WriteToken(jsontext.String("Infinity"))
	case math.IsInf(x, -1):
		return e.WriteToken(jsontext.String("-Infinity"))
	default:
		return e.WriteToken(jsontext.Float(x))
	}
}

// Enum is a value of an enumeration as it was sent: its name, or its number as text.
type Enum string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (n *Enum) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	text, _, err := scalar(d)
	*n = Enum(text)
	return err
}

// Of gives the name among those of an enumeration, in the order of their numbers from first;
// an empty one gives fallback. It answers Invalid for what is none of them.
func (n Enum) Of(parameter, fallback string, first int, names ...string) (string, error) {
	if n == "" {
		return fallback, nil
	}
	for i, name := range names {
		if string(n) == name || string(n) == strconv.Itoa(first+i) {
			return name, nil
		}
	}
	return "", Invalid("Invalid value %q for parameter '%s' supplied: it must be one of %s.", clip(string(n)), parameter, strings.Join(names, ", "))
}

// scalar reads a number or a string, as text. It is empty for null, which is as good as no
// value in messages.
func scalar(d *jsontext.Decoder) (text string, v jsontext.Value, err error) {
	if v, err = d.ReadValue(); err != nil {
		return "", nil, err
	}
	switch v.Kind() {
	case 'n':
		return "", v, nil
	case '0':
		return string(v), v, nil
	case '"':
		plain, err := jsontext.AppendUnquote(nil, v)
		if err != nil || len(plain) == 0 {
			return "", v, wrong(v)
		}
		return string(plain), v, nil
	default:
		return "", v, wrong(v)
	}
}

func wrong(v jsontext.Value) error {
	return &json.SemanticError{JSONKind: v.Kind(), JSONValue: v.Clone(), Err: errKind}
}

// Invalid is an error in what a client sent: INVALID_PARAMETER_VALUE, with MLflow's words.
func Invalid(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "correct the request", format, args...)
}

// maxEcho bounds how much of what a client sent it gets back in an error.
const maxEcho = 200

func clip(s string) string { return slipway.OneLine(s, maxEcho) }
