package adopt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// Server is where a model is served.
type Server struct {
	URL      string
	Protocol string // as platform.yaml names it: open-inference or mlflow
	Model    string // its name there, of open-inference
}

// Project is what `platform deploy` needs to know.
type Project struct {
	Name      string // of the endpoint
	Team      string
	Tier      int
	Server    Server
	Signature Signature
	Example   []byte // a request of MLflow's scoring protocol, nil without one
}

// Files are the project's files by name.
func (p Project) Files() (map[string][]byte, error) {
	inputs, err := columns(p.Signature.Inputs)
	if err != nil {
		return nil, err
	}
	outputs, err := columns(p.Signature.Outputs)
	if err != nil {
		return nil, err
	}
	var m strings.Builder
	fmt.Fprintf(&m, "# What the server at %s takes and gives. Callers are held to it.\nflavors:\n  external: {}\nsignature:\n  inputs: %s\n  outputs: %s\n",
		p.Server.URL, quoted(inputs), quoted(outputs))
	files := map[string][]byte{}
	if p.Example != nil {
		m.WriteString("saved_input_example_info: {artifact_path: serving_input_example.json, serving_input_path: serving_input_example.json, type: dataframe}\n")
		files["model/serving_input_example.json"] = append(p.Example, '\n')
	}
	files["model/MLmodel"] = []byte(m.String())
	model := ""
	if p.Server.Protocol == "open-inference" {
		model = ", model: " + jsonText(p.Server.Model)
	}
	files["platform.yaml"] = fmt.Appendf(nil, `# A model that is served elsewhere: requests come in here, are counted and judged, and go on
# to that server. Nothing there changes.
apiVersion: platform/v1
kind: RealtimeModel

name: %s
tier: %d                 # 1 is critical for customers or money, 4 an experiment
owner:
  team: %s

model:
  source: ./model        # MLmodel with the signature, and nothing else
  external: {url: %s, protocol: %s%s}
`, p.Name, p.Tier, p.Team, jsonText(p.Server.URL), p.Server.Protocol, model)
	return files, nil
}

// quoted writes a text as a YAML string in single quotes.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always marshals
	}
	return string(b)
}

// columns writes fields as MLflow writes a signature.
func columns(fields []Field) (string, error) {
	type spec struct {
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
	}
	type column struct {
		Name   string `json:"name,omitempty"`
		Type   string `json:"type"`
		Tensor *spec  `json:"tensor-spec,omitempty"`
	}
	out := []column{}
	tensors := slices.ContainsFunc(fields, func(f Field) bool { return f.Shape != nil || columnType(f.Type) == "" })
	for _, f := range fields {
		c := column{Name: f.Name, Type: columnType(f.Type)}
		if tensors {
			shape := f.Shape
			if shape == nil {
				shape = []int{-1}
			}
			c.Type, c.Tensor = "tensor", &spec{DType: dtype(f.Type), Shape: shape}
		}
		out = append(out, c)
	}
	b, err := json.Marshal(out)
	return string(b), err
}

// columnType is MLflow's type of a column, empty for a type that only tensors have.
func columnType(t tensor.Type) string {
	switch t {
	case tensor.Bool:
		return "boolean"
	case tensor.Int32:
		return "integer"
	case tensor.Int64:
		return "long"
	case tensor.FP32:
		return "float"
	case tensor.FP64:
		return "double"
	case tensor.Bytes:
		return "string"
	default:
		return ""
	}
}

// dtype is numpy's name of an element type.
func dtype(t tensor.Type) string {
	switch t {
	case tensor.Bool:
		return "bool"
	case tensor.FP32:
		return "float32"
	case tensor.FP64:
		return "float64"
	case tensor.Bytes:
		return "str"
	default:
		return strings.ToLower(t.String())
	}
}
