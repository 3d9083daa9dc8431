package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// Scoring asks a server that speaks MLflow's scoring protocol
// (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/):
//
//	GET  /ping         200 when it can answer
//	POST /invocations  {"dataframe_split": …} or {"inputs": …} gives {"predictions": …}
type Scoring struct {
	s      server
	schema tensor.Schema
}

// NewScoring makes a client for a server whose model has the given schema.
func NewScoring(o Options, schema tensor.Schema) *Scoring {
	return &Scoring{s: newServer(o), schema: schema}
}

// Close gives the connections back.
func (c *Scoring) Close() { c.s.client.CloseIdleConnections() }

// Ready asks the server for its health, unless it has shown it of late.
func (c *Scoring) Ready(ctx context.Context) error { return c.s.ready(ctx, "/ping") }

// Predict sends the batch as a data frame or as tensors and reads the predictions.
func (c *Scoring) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	body, err := json.Marshal(question(in))
	if err != nil {
		return nil, err
	}
	answer, err := c.s.post(ctx, "/invocations", body)
	if err != nil {
		return nil, err
	}
	out, err := parsePredictions(answer, in.Rows(), c.schema.Outputs)
	if err != nil {
		return nil, failed(c.s.what+"'s answer is no list of predictions: "+err.Error(), nil)
	}
	return out, nil
}

// question is a data frame if every tensor is a column, else tensors by name.
func question(in *tensor.Batch) map[string]any {
	if slices.ContainsFunc(in.Tensors, func(t tensor.Tensor) bool { return len(t.Shape) > 1 }) {
		if len(in.Tensors) == 1 {
			return map[string]any{"inputs": nested(&in.Tensors[0], 0, len(in.Tensors[0].Shape), 0)}
		}
		inputs := map[string]any{}
		for i := range in.Tensors {
			t := &in.Tensors[i]
			inputs[t.Name] = nested(t, 0, len(t.Shape), 0)
		}
		return map[string]any{"inputs": inputs}
	}
	columns := make([]string, len(in.Tensors))
	rows := make([][]any, in.Rows())
	for i := range in.Tensors {
		columns[i] = in.Tensors[i].Name
		for r := range rows {
			rows[r] = append(rows[r], element(&in.Tensors[i], r))
		}
	}
	return map[string]any{"dataframe_split": map[string]any{"columns": columns, "data": rows}}
}

// nested gives the elements of a tensor from at on as lists in lists.
func nested(t *tensor.Tensor, level, levels, at int) any {
	if level == levels {
		return element(t, at)
	}
	width := 1
	for _, n := range t.Shape[level+1:] {
		width *= n
	}
	list := make([]any, t.Shape[level])
	for i := range list {
		list[i] = nested(t, level+1, levels, at+i*width)
	}
	return list
}

func element(t *tensor.Tensor, i int) any {
	switch t.Type {
	case tensor.Bytes:
		return t.Strings[i]
	case tensor.Bool:
		return t.Data[i] != 0
	case tensor.FP32, tensor.FP64:
		if v := t.Float(i); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
		return nil
	default:
		return t.Int(i)
	}
}

// parsePredictions reads {"predictions": …} or the bare list of older servers: a value, a
// list or an object for each row.
func parsePredictions(body []byte, rows int, declared []tensor.Field) (*tensor.Batch, error) {
	var wrapped struct {
		Predictions json.RawMessage `json:"predictions"`
	}
	list := json.RawMessage(bytes.TrimSpace(body))
	if bytes.HasPrefix(list, []byte("{")) {
		if err := json.Unmarshal(list, &wrapped); err != nil || wrapped.Predictions == nil {
			return nil, errors.New("there is no member predictions")
		}
		list = wrapped.Predictions
	}
	var values []any
	d := json.NewDecoder(bytes.NewReader(list))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil, errors.New("the predictions are no list")
	}
	if len(values) != rows || rows == 0 {
		return nil, fmt.Errorf("%d predictions for %d rows", len(values), rows)
	}
	name := "predict"
	if len(declared) == 1 {
		name = declared[0].Name
	}
	if _, objects := values[0].(map[string]any); !objects {
		t, err := column(name, values)
		return &tensor.Batch{Tensors: []tensor.Tensor{t}}, err
	}
	return frame(values)
}

// frame makes a column of each member that the objects have.
func frame(rows []any) (*tensor.Batch, error) {
	first, _ := rows[0].(map[string]any)
	names := make([]string, 0, len(first))
	for name := range first {
		names = append(names, name)
	}
	slices.Sort(names)
	out := &tensor.Batch{}
	for _, name := range names {
		values := make([]any, len(rows))
		for i, row := range rows {
			object, _ := row.(map[string]any)
			v, ok := object[name]
			if !ok || len(object) != len(names) {
				return nil, fmt.Errorf("row %d has other members than the first", i+1)
			}
			values[i] = v
		}
		t, err := column(name, values)
		if err != nil {
			return nil, err
		}
		out.Tensors = append(out.Tensors, t)
	}
	return out, nil
}

// column makes a tensor of one value, or a list of as many values, for each row.
func column(name string, rows []any) (tensor.Tensor, error) {
	shape, values := []int{len(rows)}, rows
	if list, ok := rows[0].([]any); ok {
		shape, values = append(shape, len(list)), make([]any, 0, len(rows)*len(list))
		for i, row := range rows {
			part, ok := row.([]any)
			if !ok || len(part) != len(list) {
				return tensor.Tensor{}, fmt.Errorf("row %d has another shape than the first", i+1)
			}
			values = append(values, part...)
		}
	}
	return scalars(name, shape, values)
}

// scalars chooses the narrowest of int64, float64 and text that holds all values; null is a
// missing number.
func scalars(name string, shape []int, values []any) (tensor.Tensor, error) {
	ints, floats, texts := make([]int64, 0, len(values)), make([]float64, 0, len(values)), make([]string, 0, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case json.Number:
			f, err := v.Float64()
			if err != nil {
				return tensor.Tensor{}, fmt.Errorf("value %d is out of range", i+1)
			}
			floats = append(floats, f)
			if n, err := v.Int64(); err == nil {
				ints = append(ints, n)
			}
		case bool:
			n := int64(0)
			if v {
				n = 1
			}
			ints, floats = append(ints, n), append(floats, float64(n))
		case nil:
			floats = append(floats, math.NaN())
		case string:
			texts = append(texts, v)
		default:
			return tensor.Tensor{}, fmt.Errorf("value %d is no number and no text", i+1)
		}
	}
	switch len(values) {
	case len(ints):
		return tensor.NewInt64(name, shape, ints), nil
	case len(floats):
		return tensor.NewFloat64(name, shape, floats), nil
	case len(texts):
		return tensor.NewStrings(name, shape, texts), nil
	default:
		return tensor.Tensor{}, errors.New("numbers and text are mixed")
	}
}
