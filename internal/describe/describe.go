// Package describe writes what callers read about an endpoint: its OpenAPI document, and a page
// for people.
package describe

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// Endpoint is what is said of one.
type Endpoint struct {
	Key, Model, Version string
	Base                string // "https://models.example.com", without a slash at its end
	Schema              *tensor.Schema
	Example             *tensor.Batch // rows that the model takes; nil: one is made of the schema
	Deadline            time.Duration // of a request
	MaxBody             int64         // bytes of a request
	Rate                float64       // requests a second of all callers; 0: none is declared
}

// exampleRows bounds the example that is shown.
const exampleRows = 2

// example is some rows of the model's own example, else one row that fits the schema.
func (e *Endpoint) example() *tensor.Batch {
	if e.Example != nil && e.Example.Rows() > 0 {
		return e.Example.Slice(0, min(e.Example.Rows(), exampleRows))
	}
	b := &tensor.Batch{}
	for i := range e.Schema.Inputs {
		b.Tensors = append(b.Tensors, made(&e.Schema.Inputs[i]))
	}
	return b
}

// made is one row of an input that fits what is declared of it.
func made(f *tensor.Field) tensor.Tensor {
	shape, n := []int{1}, 1
	for _, d := range f.Shape {
		d = max(d, 1)
		shape, n = append(shape, d), n*d
	}
	if n > maxMade { // it says nothing more than its shape does
		shape, n = append([]int{0}, shape[1:]...), 0
	}
	t := tensor.Tensor{Name: f.Name, Type: f.Type, Shape: shape}
	if f.Type == tensor.Bytes {
		value := "text"
		switch {
		case len(f.Enum) > 0:
			value = f.Enum[0]
		case f.Format == tensor.FormatTime:
			value = "2026-03-31T12:30:00Z"
		case f.Format == tensor.FormatBase64:
			value = "c2xpcHdheQ=="
		}
		t.Strings = slices.Repeat([]string{value}, n)
		return t
	}
	one := f.Type.Encode(some(f))
	if one == nil { // nothing that it can be is within its bounds
		t.Shape = append([]int{0}, shape[1:]...)
	}
	t.Data = slices.Repeat(one, n)
	return t
}

// some is a value of a field as JSON has it: one that is declared, the least or the greatest
// that is allowed, or nothing.
func some(f *tensor.Field) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	switch {
	case len(f.Enum) > 0:
		return f.Enum[0]
	case f.Type == tensor.Bool:
		return "false"
	case f.Min != nil && *f.Min > 0:
		return number(inside(f.Type, *f.Min, math.Ceil))
	case f.Max != nil && *f.Max < 0:
		return number(inside(f.Type, *f.Max, math.Floor))
	default:
		return "0"
	}
}

// inside is a bound, or the next whole number that it allows where a type has no others.
func inside(t tensor.Type, bound float64, round func(float64) float64) float64 {
	if t.Float() {
		return bound
	}
	return round(bound)
}

const maxMade = 10_000 // elements

// request is the example as the Open Inference Protocol has it, and answer how the answer looks.
func (e *Endpoint) request() json.RawMessage { return tensor.AppendInferRequest(nil, e.example()) }

// invocation is the example as MLflow's clients send it.
func (e *Endpoint) invocation() json.RawMessage { return tensor.AppendInvocation(nil, e.example()) }

// row is the JSON Schema of one value of a field, in one row.
func row(f *tensor.Field) map[string]any {
	out := element(f)
	for i := len(f.Shape) - 1; i >= 0; i-- {
		out = map[string]any{"type": "array", "items": out}
		if n := f.Shape[i]; n >= 0 {
			out["minItems"], out["maxItems"] = n, n
		}
	}
	return out
}

// element is the JSON Schema of one element.
func element(f *tensor.Field) map[string]any {
	out := map[string]any{}
	switch {
	case f.Type == tensor.Bytes:
		out["type"] = "string"
		switch f.Format {
		case tensor.FormatBase64:
			out["contentEncoding"] = "base64"
		case tensor.FormatTime:
			out["description"] = "a date or a time (ISO 8601)"
		}
	case f.Type == tensor.Bool:
		out["type"] = "boolean"
	case f.Type.Float() && f.Missing == tensor.Refuse:
		out["type"] = "number"
	case f.Type.Float():
		out["type"] = []string{"number", "null"}
	default:
		out["type"] = "integer"
		if bits := 8 * f.Type.Size(); f.Type >= tensor.Uint8 {
			out["minimum"], out["maximum"] = 0, uint64(1)<<(bits-1)-1+uint64(1)<<(bits-1)
		} else {
			out["minimum"], out["maximum"] = int64(-1)<<(bits-1), int64(uint64(1)<<(bits-1)-1)
		}
	}
	if f.Min != nil {
		out["minimum"] = *f.Min
	}
	if f.Max != nil {
		out["maximum"] = *f.Max
	}
	if len(f.Enum) > 0 {
		var values []any
		for _, text := range f.Enum {
			if f.Type == tensor.Bytes {
				values = append(values, text)
			} else {
				values = append(values, json.RawMessage(text))
			}
		}
		if _, may := out["type"].([]string); may {
			values = append(values, nil)
		}
		out["enum"] = values
	}
	return out
}

// kind names the type of a field for people: "FP64", "FP32 [3, any]".
func kind(f *tensor.Field) string {
	if len(f.Shape) == 0 {
		return f.Type.String()
	}
	dims := ""
	for i, d := range f.Shape {
		if i > 0 {
			dims += ", "
		}
		if d < 0 {
			dims += "any"
		} else {
			dims += fmt.Sprint(d)
		}
	}
	return f.Type.String() + " [" + dims + "]"
}
