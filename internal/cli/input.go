package cli

import (
	"bytes"
	"encoding/json"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/client"
)

// The formats of a prediction.
const (
	infer       = "infer"       // Open Inference Protocol, JSON
	invocations = "invocations" // MLflow's scoring protocol
)

// row is one row of a model's input: values by column.
type row = map[string]json.RawMessage

// input is what a user sends: rows, or a whole request in a format.
type input struct {
	rows   []row
	format string
	body   []byte
}

// readInput tells apart what the data may be.
func readInput(raw []byte) (input, error) {
	const next = "give a row {\"column\": value}, a list of rows, or a whole request"
	raw = bytes.TrimSpace(raw)
	var fields row
	var rows []row
	switch {
	case !json.Valid(raw):
		return input{}, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, next, "the data are no JSON")
	case json.Unmarshal(raw, &rows) == nil && len(rows) > 0:
		for _, r := range rows {
			if len(r) == 0 {
				return input{}, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, next, "a row of the data has no columns")
			}
		}
		return input{rows: rows}, nil
	case json.Unmarshal(raw, &fields) != nil || len(fields) == 0:
		return input{}, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, next, "the data are no row and no list of rows")
	}
	for _, k := range []string{"dataframe_split", "dataframe_records", "instances"} {
		if fields[k] != nil {
			return input{format: invocations, body: raw}, nil
		}
	}
	if fields["inputs"] == nil {
		return input{rows: []row{fields}}, nil
	}
	var golden row
	if fields["outputs"] != nil && json.Unmarshal(fields["inputs"], &golden) == nil && len(golden) > 0 {
		return input{rows: []row{golden}}, nil
	}
	var tensors []struct{ Name, Datatype string }
	if json.Unmarshal(fields["inputs"], &tensors) == nil && len(tensors) > 0 && tensors[0].Datatype != "" {
		return input{format: infer, body: raw}, nil
	}
	return input{format: invocations, body: raw}, nil
}

// request gives the format and the body to send. format may be "" for the natural one.
func (in input) request(format string, metadata func() (client.Metadata, error)) (string, []byte, error) {
	switch {
	case in.body != nil && format != "" && format != in.format:
		return "", nil, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "leave --format out", "the data are a whole request of the format %s", in.format)
	case in.body != nil:
		return in.format, in.body, nil
	case format != infer:
		body, err := json.Marshal(map[string]any{"dataframe_records": in.rows})
		return invocations, body, err
	}
	m, err := metadata()
	if err != nil {
		return "", nil, err
	}
	body, err := in.tensors(m)
	return infer, body, err
}

// tensor is one input of an Open Inference request.
type tensor struct {
	Name     string            `json:"name"`
	Shape    []int             `json:"shape"`
	Datatype string            `json:"datatype"`
	Data     []json.RawMessage `json:"data"`
}

// tensors makes one tensor of each column that the model takes and a row has. A row that
// lacks it has null.
func (in input) tensors(m client.Metadata) ([]byte, error) {
	out := []tensor{}
	for _, meta := range m.Inputs {
		t := tensor{Name: meta.Name, Shape: []int{len(in.rows)}, Datatype: meta.Datatype}
		for _, n := range meta.Shape[min(1, len(meta.Shape)):] {
			if n < 0 {
				return nil, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "leave --format out", "%s has no fixed shape, so rows cannot be sent in the format infer", meta.Name)
			}
			t.Shape = append(t.Shape, n)
		}
		given := false
		for _, r := range in.rows {
			v, ok := r[meta.Name]
			if !ok {
				v = json.RawMessage("null")
			}
			given = given || ok
			t.Data = append(t.Data, v)
		}
		if given {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return nil, slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, "platform status "+m.Name, "no column of the data is an input of %s", m.Name)
	}
	return json.Marshal(map[string]any{"inputs": out})
}
