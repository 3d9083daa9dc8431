package mlmodel

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Field is one input or output of a model: a column, or a tensor.
type Field struct {
	Name     string  // may be empty
	Type     string  // boolean integer long float double string binary datetime tensor
	DType    string  // numpy's name of the element type, for tensors: "float32"
	Shape    []int64 // of tensors and outputs; -1 is any length, the first is the rows
	Required bool
}

// Signature is what a model takes and gives. All inputs are columns, or all are tensors.
type Signature struct {
	Inputs, Outputs []Field
	Params          []string // names of what predict takes beside its input
}

// maxFields bounds the columns of a signature.
const maxFields = 1 << 14

// columnTypes are MLflow's types of columns (mlflow.types.DataType).
func columnTypes() []string {
	return []string{"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"}
}

// dtypes are the element types of tensors that can be carried.
func dtypes() []string {
	return []string{"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "str", "object", "bytes"}
}

// parseSignature reads the JSON texts that MLmodel holds.
func parseSignature(inputs, outputs, params string) (*Signature, error) {
	var s Signature
	var err error
	if s.Inputs, err = parseFields(FileName+":signature.inputs", inputs); err != nil {
		return nil, err
	}
	if s.Outputs, err = parseFields(FileName+":signature.outputs", outputs); err != nil {
		return nil, err
	}
	s.Params, err = parseParams(FileName+":signature.params", params)
	return &s, err
}

// parseParams reads the names of parameters (mlflow.types.schema ParamSpec).
func parseParams(field, text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var params []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(text), &params); err != nil || len(params) > maxFields {
		return nil, dirError(field, saveAgain, "cannot be read as a list of parameters")
	}
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name
	}
	return names, nil
}

// column is a field as MLflow writes it (mlflow.types.schema ColSpec and TensorSpec).
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required *bool  `json:"required"`
	Tensor   *struct {
		DType string  `json:"dtype"`
		Shape []int64 `json:"shape"`
	} `json:"tensor-spec"`
}

func parseFields(field, text string) ([]Field, error) {
	if text == "" {
		return nil, nil
	}
	var columns []column
	if err := json.Unmarshal([]byte(text), &columns); err != nil {
		return nil, dirError(field, saveAgain, "cannot be read as a list of columns or tensors")
	}
	if len(columns) > maxFields {
		return nil, dirError(field, "give a model with fewer columns, or one tensor", "more than %d columns", maxFields)
	}
	out := make([]Field, len(columns))
	names := make(map[string]bool, len(columns))
	for i, c := range columns {
		place := fmt.Sprintf("%s[%d]", field, i)
		f, err := c.field(place)
		if err != nil {
			return nil, err
		}
		if len(columns) > 1 && c.Name == "" {
			return nil, dirError(place, "save the model with a signature whose columns have names", "has no name")
		}
		if names[c.Name] {
			return nil, dirError(place, "rename one of the columns", "has the name of another field")
		}
		if i > 0 && (f.Type == "tensor") != (out[0].Type == "tensor") {
			return nil, dirError(place, saveAgain, "columns and tensors are mixed")
		}
		names[c.Name] = true
		out[i] = f
	}
	return out, nil
}

func (c column) field(place string) (Field, error) {
	f := Field{Name: c.Name, Type: c.Type, Required: c.Required == nil || *c.Required}
	const plain = "save the model with a signature of plain columns or tensors"
	switch {
	case slices.Contains(columnTypes(), c.Type):
		return f, nil
	case c.Type != "tensor":
		return f, dirError(place, plain, "the type %.40q is not supported yet", c.Type)
	case c.Tensor == nil || !slices.Contains(dtypes(), c.Tensor.DType):
		return f, dirError(place, plain, "a tensor of an unknown element type")
	case len(c.Tensor.Shape) > 8 || slices.ContainsFunc(c.Tensor.Shape, func(n int64) bool { return n < -1 }):
		return f, dirError(place, plain, "a tensor of an impossible shape")
	}
	f.DType, f.Shape = c.Tensor.DType, c.Tensor.Shape
	return f, nil
}
