package openinference

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	maxInputs = 1 << 14 // as over REST
	maxDims   = 8
)

// misfit is the error of a request that does not fit; with what it has no values.
func misfit(field, next, format string, args ...any) *slipway.Error {
	e := slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, next, format, args...)
	e.Field = field
	return e
}

// bind reads a request for a schema.
func bind(r *pb.ModelInferRequest, schema *tensor.Schema) (*tensor.Batch, *slipway.Error) {
	in, failed := sent(r)
	if failed != nil {
		return nil, failed
	}
	out, err := tensor.Bind(in, schema)
	if err != nil {
		return nil, slipway.AsError(err)
	}
	return out, nil
}

// sent reads the inputs as they were sent, in their own types, whatever the model takes. Raw
// elements share the memory of the message.
func sent(r *pb.ModelInferRequest) ([]tensor.Tensor, *slipway.Error) {
	raw := r.GetRawInputContents()
	switch {
	case len(r.GetInputs()) == 0:
		return nil, misfit("inputs", "send inputs as the Open Inference Protocol says", "is missing")
	case len(r.GetInputs()) > maxInputs:
		return nil, misfit("inputs", "send one matrix", "has too many tensors")
	case len(raw) > 0 && len(raw) != len(r.GetInputs()):
		return nil, misfit("raw_input_contents", "send the raw contents of every input, or of none", "has %d entries for %d inputs", len(raw), len(r.GetInputs()))
	}
	out := make([]tensor.Tensor, len(r.GetInputs()))
	for i, in := range r.GetInputs() {
		place := fmt.Sprintf("inputs[%d]", i)
		t := &out[i]
		n, err := describe(t, in, place)
		if err != nil {
			return nil, err
		}
		switch {
		case len(raw) == 0:
			err = contents(t, in.GetContents(), n, place+".contents")
		case in.GetContents() != nil:
			err = misfit(place+".contents", "send contents or raw_input_contents, not both", "is there beside raw_input_contents")
		default:
			t.Data = raw[i] // tensor.Bind holds it against the shape
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// describe reads what a tensor is, and of how many elements.
func describe(t *tensor.Tensor, in *pb.ModelInferRequest_InferInputTensor, place string) (n int, _ *slipway.Error) {
	var ok bool
	if t.Type, ok = tensor.ParseType(in.GetDatatype()); !ok {
		return 0, misfit(place+".datatype", "name a type as the Open Inference Protocol does, such as FP64", "is no known type")
	}
	t.Name = in.GetName()
	if len(in.GetShape()) == 0 || len(in.GetShape()) > maxDims {
		return 0, misfit(place+".shape", "send the lengths of one to eight dimensions, rows first", "is no shape")
	}
	n = 1
	t.Shape = make([]int, len(in.GetShape()))
	for i, d := range in.GetShape() {
		if d < 0 || d > math.MaxInt32 || int64(n)*d > maxElements {
			return 0, misfit(place+".shape", "send the lengths of one to eight dimensions, rows first", "is of more than can be sent")
		}
		t.Shape[i] = int(d)
		n *= int(d)
	}
	return n, nil
}

// maxElements is more than any message can hold.
const maxElements = 1 << 31

// contents reads n elements from the one field that is for their type.
func contents(t *tensor.Tensor, c *pb.InferTensorContents, n int, place string) *slipway.Error {
	counts := [...]int{len(c.GetBoolContents()), len(c.GetIntContents()), len(c.GetInt64Contents()), len(c.GetUintContents()),
		len(c.GetUint64Contents()), len(c.GetFp32Contents()), len(c.GetFp64Contents()), len(c.GetBytesContents())}
	field := fieldOf(t.Type)
	if field < 0 {
		return misfit(place, "send it in raw_input_contents", "cannot hold %s", t.Type)
	}
	for i, have := range counts {
		switch {
		case i != field && have > 0:
			return misfit(place+"."+fieldNames[i], "send the elements in "+fieldNames[field], "is not where %s belongs", t.Type)
		case i == field && have != n:
			return misfit(place+"."+fieldNames[i], "send as many elements as the shape says", "has %d elements where the shape says %d", have, n)
		}
	}
	t.Data = make([]byte, 0, n*t.Type.Size())
	switch field {
	case 0:
		for _, v := range c.GetBoolContents() {
			b := byte(0)
			if v {
				b = 1
			}
			t.Data = append(t.Data, b)
		}
	case 1:
		return narrow(t, c.GetIntContents(), place+".int_contents")
	case 2:
		for _, v := range c.GetInt64Contents() {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(v))
		}
	case 3:
		return narrow(t, c.GetUintContents(), place+".uint_contents")
	case 4:
		for _, v := range c.GetUint64Contents() {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, v)
		}
	case 5:
		for _, v := range c.GetFp32Contents() {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	case 6:
		for _, v := range c.GetFp64Contents() {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		}
	default:
		t.Strings = make([]string, n)
		for i, v := range c.GetBytesContents() {
			t.Strings[i] = string(v)
		}
	}
	return nil
}

// fieldNames are the fields of InferTensorContents, in order.
var fieldNames = [...]string{"bool_contents", "int_contents", "int64_contents", "uint_contents", "uint64_contents", "fp32_contents", "fp64_contents", "bytes_contents"}

// fieldOf is the index of the field for a type, -1 for the types of half precision.
func fieldOf(t tensor.Type) int {
	switch t {
	case tensor.Bool:
		return 0
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return 1
	case tensor.Int64:
		return 2
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return 3
	case tensor.Uint64:
		return 4
	case tensor.FP32:
		return 5
	case tensor.FP64:
		return 6
	case tensor.Bytes:
		return 7
	default:
		return -1
	}
}

// narrow writes 32-bit elements in the width of the tensor's type.
func narrow[T int32 | uint32](t *tensor.Tensor, values []T, place string) *slipway.Error {
	for _, v := range values {
		fits := true
		switch t.Type {
		case tensor.Int8:
			fits = T(int8(v)) == v
			t.Data = append(t.Data, byte(v))
		case tensor.Uint8:
			fits = T(uint8(v)) == v
			t.Data = append(t.Data, byte(v))
		case tensor.Int16:
			fits = T(int16(v)) == v
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(v))
		case tensor.Uint16:
			fits = T(uint16(v)) == v
			t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(v))
		default:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(v))
		}
		if !fits {
			return misfit(place, "send numbers that the type can hold", "has a number that does not fit into %s", t.Type)
		}
	}
	return nil
}
