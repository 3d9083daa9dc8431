package mlmodel

import (
	"github.com/slipway-ml/slipway/internal/tensor"
)

// elementType maps MLflow's column types and numpy's names to element types. Times and
// raw bytes travel as strings.
func elementType(name string) tensor.Type {
	switch name {
	case "boolean", "bool":
		return tensor.Bool
	case "int8":
		return tensor.Int8
	case "int16":
		return tensor.Int16
	case "integer", "int32":
		return tensor.Int32
	case "long", "int64":
		return tensor.Int64
	case "uint8":
		return tensor.Uint8
	case "uint16":
		return tensor.Uint16
	case "uint32":
		return tensor.Uint32
	case "uint64":
		return tensor.Uint64
	case "float16":
		return tensor.FP16
	case "float", "float32":
		return tensor.FP32
	case "double", "float64":
		return tensor.FP64
	default:
		return tensor.Bytes
	}
}

// unnamedInput is the name of the only input if it has none.
const unnamedInput = "input"

// Schema is what a revision of this model takes and gives. Outputs are the predictor's
// own if there is one, else those of the signature. It answers Invalid for a model that
// was saved without a signature, unless it is a graph that has been read.
func (m *Model) Schema(p *Predictor) (tensor.Schema, error) {
	if m.ONNX != nil && m.ONNX.Graph != nil {
		s, _, err := m.onnx()
		return s, err
	}
	if m.Signature == nil || len(m.Signature.Inputs) == 0 {
		return tensor.Schema{}, dirError(FileName+":signature", "save the model with signature=infer_signature(X, model.predict(X))",
			"the model has no signature, so its input cannot be checked")
	}
	outputs := m.Signature.Outputs
	if p != nil {
		outputs = p.Outputs()
	}
	return tensor.Schema{Inputs: m.Signature.inputs(), Outputs: tensorFields(outputs, OutputPredict), Params: m.Signature.Params}, nil
}

// inputs are what a model with this signature takes.
func (s *Signature) inputs() []tensor.Field {
	out := tensorFields(s.Inputs, unnamedInput)
	for i := range out {
		switch s.Inputs[i].Type {
		case "binary":
			out[i].Format = tensor.FormatBase64
		case "datetime":
			out[i].Format = tensor.FormatTime
		}
	}
	return out
}

// tensorFields converts fields; unnamed is the name of one that has none.
func tensorFields(fields []Field, unnamed string) []tensor.Field {
	out := make([]tensor.Field, len(fields))
	for i, f := range fields {
		out[i] = tensor.Field{Name: f.Name, Type: elementType(f.Type), Required: f.Required}
		if f.Name == "" {
			out[i].Name = unnamed
		}
		if f.Type == "tensor" {
			out[i].Type = elementType(f.DType)
		}
		for _, n := range f.Shape[min(1, len(f.Shape)):] {
			out[i].Shape = append(out[i].Shape, int(n))
		}
	}
	return out
}
