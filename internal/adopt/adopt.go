// Package adopt describes a model that is served elsewhere already, from what its server
// says of it or from one request with its answer, so that it can be deployed as it is.
package adopt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Signature is what a model takes and gives.
type Signature struct{ Inputs, Outputs []Field }

// Field is a column, or a tensor: then Shape is not nil and begins with the rows. If one is
// a tensor, all are written as tensors.
type Field struct {
	Name  string
	Type  tensor.Type
	Shape []int
}

// maxFields bounds a signature.
const maxFields = 1 << 14

func invalid(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
}

const giveExample = "give one request: platform adopt URL --example request.json"

// FromMetadata reads the metadata of a model as the Open Inference Protocol has them:
// {"inputs": [{"name", "datatype", "shape"}], "outputs": …}. A server that does not tell
// the inputs gives an error; an example tells them instead.
func FromMetadata(body []byte) (Signature, error) {
	type field struct {
		Name     string `json:"name"`
		Datatype string `json:"datatype"`
		Shape    []int  `json:"shape"`
	}
	var m struct{ Inputs, Outputs []field }
	if err := json.Unmarshal(body, &m); err != nil {
		return Signature{}, invalid(giveExample, "the server's metadata cannot be read")
	}
	if len(m.Inputs) == 0 {
		return Signature{}, invalid(giveExample, "the server does not tell the inputs of the model")
	}
	read := func(in []field) ([]Field, error) {
		if len(in) > maxFields {
			return nil, invalid(giveExample, "the server tells more than %d fields", maxFields)
		}
		var out []Field
		for _, f := range in {
			t, ok := tensor.ParseType(f.Datatype)
			if !ok || f.Name == "" {
				return nil, invalid(giveExample, "the server tells a field of an unknown type")
			}
			shape := slices.Clone(f.Shape)
			if len(shape) == 0 || len(shape) > 8 {
				return nil, invalid(giveExample, "the server tells a field without a shape")
			}
			shape[0] = -1 // the rows, whatever the server was asked with before
			if len(shape) == 1 {
				shape = nil
			}
			out = append(out, Field{Name: f.Name, Type: t, Shape: shape})
		}
		return out, nil
	}
	var s Signature
	var err error
	if s.Inputs, err = read(m.Inputs); err == nil {
		s.Outputs, err = read(m.Outputs)
	}
	return s, err
}

// FromRequest reads a request of either protocol: {"inputs": [{"name", …}]} of Open
// Inference; dataframe_split, dataframe_records, instances or inputs of MLflow. Types are
// the widest of what the values are: whole numbers are longs, others doubles.
func FromRequest(body []byte) ([]Field, error) {
	var r map[string]json.RawMessage
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, invalid("give a request as the server takes it, as JSON", "the example is no JSON object")
	}
	switch {
	case r["dataframe_split"] != nil:
		return fromSplit(r["dataframe_split"])
	case r["dataframe_records"] != nil:
		return fromRecords(r["dataframe_records"])
	case r["inputs"] != nil:
		var named []struct {
			Name     string `json:"name"`
			Datatype string `json:"datatype"`
		}
		if json.Unmarshal(r["inputs"], &named) == nil && len(named) > 0 && named[0].Name != "" {
			s, err := FromMetadata(body)
			return s.Inputs, err
		}
		return fromTensor(r["inputs"])
	case r["instances"] != nil:
		return fromTensor(r["instances"])
	}
	return nil, invalid("use dataframe_split, dataframe_records, instances or inputs", "the example is no request that is known")
}

func fromSplit(raw json.RawMessage) ([]Field, error) {
	var split struct {
		Columns []string
		Data    [][]any
	}
	if err := decode(raw, &split); err != nil || len(split.Data) == 0 || len(split.Columns) > maxFields {
		return nil, invalid(giveExample, "dataframe_split of the example has no rows")
	}
	out := make([]Field, len(split.Columns))
	for i, name := range split.Columns {
		values := make([]any, len(split.Data))
		for r, row := range split.Data {
			if len(row) != len(split.Columns) {
				return nil, invalid(giveExample, "row %d of the example has %d values for %d columns", r+1, len(row), len(split.Columns))
			}
			values[r] = row[i]
		}
		t, err := typeOf(values)
		if err != nil {
			return nil, invalid("correct the example", "column %.80q of the example: %v", name, err)
		}
		out[i] = Field{Name: name, Type: t}
	}
	return out, nil
}

func fromRecords(raw json.RawMessage) ([]Field, error) {
	var rows []map[string]any
	if err := decode(raw, &rows); err != nil || len(rows) == 0 {
		return nil, invalid(giveExample, "dataframe_records of the example has no rows")
	}
	columns, err := order(raw)
	if err != nil || len(columns) > maxFields {
		return nil, invalid(giveExample, "dataframe_records of the example cannot be read")
	}
	var out []Field
	for _, name := range columns {
		var values []any
		for _, row := range rows {
			values = append(values, row[name])
		}
		t, err := typeOf(values)
		if err != nil {
			return nil, invalid("correct the example", "column %.80q of the example: %v", name, err)
		}
		out = append(out, Field{Name: name, Type: t})
	}
	return out, nil
}

// order is the keys of the first object of a list, as they are written.
func order(raw json.RawMessage) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	depth, key := 0, true
	var out []string
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch v := t.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else if depth--; depth == 1 {
				return out, nil
			}
			key = true
		case string:
			if depth == 2 && key {
				out = append(out, v)
			}
			key = depth != 2 || !key
		default:
			key = true
		}
	}
}

func fromTensor(raw json.RawMessage) ([]Field, error) {
	var v any
	if err := decode(raw, &v); err != nil {
		return nil, invalid(giveExample, "the example's tensor cannot be read")
	}
	shape := []int{}
	var leaves []any
	for level := []any{v}; ; {
		list, ok := level[0].([]any)
		if !ok {
			leaves = level
			break
		}
		if len(list) == 0 || len(shape) == 8 {
			return nil, invalid(giveExample, "the example's tensor is empty or too deep")
		}
		shape = append(shape, len(list))
		var next []any
		for _, e := range level {
			part, ok := e.([]any)
			if !ok || len(part) != len(list) {
				return nil, invalid("correct the example", "the example's tensor is not rectangular")
			}
			next = append(next, part...)
		}
		level = next
	}
	t, err := typeOf(leaves)
	if err != nil || len(shape) == 0 {
		return nil, invalid("correct the example", "the example's tensor holds no rows of numbers, texts or booleans")
	}
	shape[0] = -1
	return []Field{{Type: t, Shape: shape}}, nil
}

func decode(raw json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v)
}

// typeOf is the widest type of values; null is a missing number.
func typeOf(values []any) (tensor.Type, error) {
	var t tensor.Type
	for _, v := range values {
		var one tensor.Type
		switch v := v.(type) {
		case json.Number:
			one = tensor.FP64
			if f, err := v.Float64(); err == nil && f == math.Trunc(f) && !strings.ContainsAny(v.String(), ".eE") {
				one = tensor.Int64
			}
		case nil:
			one = tensor.FP64
		case bool:
			one = tensor.Bool
		case string:
			one = tensor.Bytes
		default:
			return 0, errors.New("a value is neither number, text nor boolean")
		}
		switch {
		case t == tensor.Invalid || t == one:
			t = one
		case t == tensor.Int64 && one == tensor.FP64 || t == tensor.FP64 && one == tensor.Int64:
			t = tensor.FP64
		default:
			return 0, fmt.Errorf("its values are of different types")
		}
	}
	return t, nil
}
