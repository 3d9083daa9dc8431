package openinference

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// wantedOf reads how an answer is wanted: as bytes, if the request was.
func wantedOf(r *pb.ModelInferRequest) (tensor.Wanted, *slipway.Error) {
	w := tensor.Wanted{ID: r.GetId(), Binary: len(r.GetRawInputContents()) > 0}
	for i, o := range r.GetOutputs() {
		place := fmt.Sprintf("outputs[%d]", i)
		if n := o.GetParameters()["classification"]; n.GetInt64Param() != 0 || n.GetUint64Param() != 0 {
			return w, misfit(place+".parameters.classification", "ask for the whole output", "is not supported")
		}
		if err := w.Ask(tensor.Output{Name: o.GetName()}); err != nil {
			err.Field = place + err.Field
			return w, err
		}
	}
	return w, nil
}

// response writes a prediction. Half precision can be written raw only, and then everything
// is.
func response(w *tensor.Wanted, b *tensor.Batch) (*pb.ModelInferResponse, *slipway.Error) {
	chosen, err := w.Of(b)
	if err != nil {
		return nil, slipway.AsError(err)
	}
	raw := w.Binary
	for _, t := range chosen {
		raw = raw || fieldOf(t.Type) < 0
	}
	out := &pb.ModelInferResponse{Id: w.ID, Outputs: make([]*pb.ModelInferResponse_InferOutputTensor, len(chosen))}
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
	return t.AppendRaw(nil)
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
