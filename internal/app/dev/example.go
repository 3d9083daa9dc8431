package dev

import (
	"bytes"
	"encoding/json"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// firstGolden is the inputs of the first golden row, nil if they do not fit.
func firstGolden(text []byte, schema *tensor.Schema) *tensor.Batch {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var row struct {
		Inputs json.RawMessage `json:"inputs"`
	}
	if json.Unmarshal(line, &row) != nil {
		return nil
	}
	body := append(append([]byte(`{"dataframe_records":[`), row.Inputs...), "]}"...)
	in, err := tensor.ParseInvocations(body, schema)
	if err != nil {
		return nil
	}
	return in
}

// Tensors of a request or an answer, as Open Inference writes them in JSON.
type tensors []struct {
	Name     string          `json:"name"`
	Datatype string          `json:"datatype"`
	Shape    []int           `json:"shape"`
	Data     json.RawMessage `json:"data"`
}

// written is a batch as tensors of JSON.
func written(b *tensor.Batch) tensors {
	var request struct {
		Inputs tensors `json:"inputs"`
	}
	if b == nil || json.Unmarshal(tensor.AppendInferRequest(nil, b), &request) != nil {
		return nil
	}
	return request.Inputs
}

// values is a batch as one value for each tensor, for people.
func values(b *tensor.Batch) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, t := range written(b) {
		out[t.Name] = t.Data
	}
	return out
}
