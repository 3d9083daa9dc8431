package openinference

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// form is how an answer is wanted.
type form struct {
	raw     bool     // as bytes, because the request was
	outputs []string // none: all
}

// formOf reads it from a request.
func formOf(r *pb.ModelInferRequest) (form, *slipway.Error) {
	f := form{raw: len(r.GetRawInputContents()) > 0}
	for i, o := range r.GetOutputs() {
		if n := o.GetParameters()["classification"]; n.GetInt64Param() != 0 || n.GetUint64Param() != 0 {
			return f, misfit(fmt.Sprintf("outputs[%d].parameters.classification", i), "ask for the whole output", "is not supported")
		}
		f.outputs = append(f.outputs, o.GetName())
	}
	return f, nil
}

// wants holds the requested outputs against what a model has, before it is asked.
func (f *form) wants(schema *tensor.Schema) *slipway.Error {
	for i, name := range f.outputs {
		if !has(schema.Outputs, name) {
			return misfit(fmt.Sprintf("outputs[%d].name", i), "see the model's metadata for its outputs", "is no output of this model")
		}
	}
	return nil
}

func has(fields []tensor.Field, name string) bool {
	for i := range fields {
		if fields[i].Name == name {
			return true
		}
	}
	return false
}

// response writes a prediction. Half precision can be written raw only, and then everything
// is.
func (f *form) response(b *tensor.Batch) (*pb.ModelInferResponse, *slipway.Error) {
	var chosen []*tensor.Tensor
	if len(f.outputs) == 0 {
		for i := range b.Tensors {
			chosen = append(chosen, &b.Tensors[i])
		}
	}
	for i, name := range f.outputs {
		t := b.Tensor(name)
		if t == nil {
			return nil, misfit(fmt.Sprintf("outputs[%d].name", i), "see the model's metadata for its outputs", "is no output of this model")
		}
		chosen = append(chosen, t)
	}
	raw := f.raw
	for _, t := range chosen {
		raw = raw || fieldOf(t.Type) < 0
	}
	out := &pb.ModelInferResponse{Outputs: make([]*pb.ModelInferResponse_InferOutputTensor, len(chosen))}
	for i, t := range chosen {
		out.Outputs[i] = &pb.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: t.Type.String(), Shape: shapeOf(t.Shape)}
		if raw {
			out.RawOutputContents = append(out.RawOutputContents, rawOf(t))
		} else {
			out.Outputs[i].Contents = contentsOf(t)
		}
	}
	return out, nil
}

func shapeOf(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}

// rawOf is a tensor's elements as bytes.
func rawOf(t *tensor.Tensor) []byte {
	if t.Type != tensor.Bytes {
		return t.Data
	}
	n := 0
	for _, s := range t.Strings {
		n += 4 + len(s)
	}
	out := make([]byte, 0, n)
	for _, s := range t.Strings {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(s))), s...)
	}
	return out
}

func contentsOf(t *tensor.Tensor) *pb.InferTensorContents {
	n := t.Len()
	switch fieldOf(t.Type) {
	case 0:
		return &pb.InferTensorContents{BoolContents: each(n, func(i int) bool { return t.Data[i] != 0 })}
	case 1:
		return &pb.InferTensorContents{IntContents: each(n, func(i int) int32 { return int32(t.Int(i)) })}
	case 2:
		return &pb.InferTensorContents{Int64Contents: each(n, t.Int)}
	case 3:
		return &pb.InferTensorContents{UintContents: each(n, func(i int) uint32 { return uint32(t.Int(i)) })}
	case 4:
		return &pb.InferTensorContents{Uint64Contents: each(n, func(i int) uint64 { return uint64(t.Int(i)) })}
	case 5:
		return &pb.InferTensorContents{Fp32Contents: each(n, func(i int) float32 {
			return math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		})}
	case 6:
		return &pb.InferTensorContents{Fp64Contents: each(n, t.Float)}
	default:
		return &pb.InferTensorContents{BytesContents: each(n, func(i int) []byte { return []byte(t.Strings[i]) })}
	}
}

func each[T any](n int, element func(int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = element(i)
	}
	return out
}
