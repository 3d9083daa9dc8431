package openinference

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// contentsByType has two elements of each type that contents can hold.
var contentsByType = map[tensor.Type]*pb.InferTensorContents{
	tensor.Bool:   {BoolContents: []bool{true, false}},
	tensor.Int8:   {IntContents: []int32{-128, 127}},
	tensor.Int16:  {IntContents: []int32{-32768, 32767}},
	tensor.Int32:  {IntContents: []int32{math.MinInt32, math.MaxInt32}},
	tensor.Int64:  {Int64Contents: []int64{math.MinInt64, math.MaxInt64}},
	tensor.Uint8:  {UintContents: []uint32{0, 255}},
	tensor.Uint16: {UintContents: []uint32{0, 65535}},
	tensor.Uint32: {UintContents: []uint32{0, math.MaxUint32}},
	tensor.Uint64: {Uint64Contents: []uint64{0, math.MaxUint64}},
	tensor.FP32:   {Fp32Contents: []float32{-1.5, float32(math.Inf(1))}},
	tensor.FP64:   {Fp64Contents: []float64{math.SmallestNonzeroFloat64, math.MaxFloat64}},
	tensor.Bytes:  {BytesContents: [][]byte{[]byte("é"), nil}},
}

func schemaOf(t tensor.Type) *tensor.Schema {
	f := []tensor.Field{{Name: "x", Type: t, Required: true}}
	return &tensor.Schema{Inputs: f, Outputs: f}
}

func request(datatype string, c *pb.InferTensorContents, shape ...int64) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: datatype, Shape: shape, Contents: c}}}
}

// What is read of contents is written as the same contents; raw, as the same bytes, which
// read again are the same batch.
func TestEveryTypeBothWays(t *testing.T) {
	for typ, c := range contentsByType {
		r := request(typ.String(), c, 2)
		in, err := bind(r, schemaOf(typ))
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		w := tensor.Wanted{}
		out, err := response(&w, in)
		if err != nil || !proto.Equal(out.GetOutputs()[0].GetContents(), c) {
			t.Errorf("%s: %v became %v, %v", typ, c, out, err)
		}
		w.Binary = true
		if out, err = response(&w, in); err != nil {
			t.Fatal(err)
		}
		r.Inputs[0].Contents, r.RawInputContents = nil, out.GetRawOutputContents()
		again, err := bind(r, schemaOf(typ))
		if err != nil || !cmp.Equal(in, again) {
			t.Errorf("%s: raw %v, %v", typ, again, err)
		}
	}
	for _, typ := range []tensor.Type{tensor.FP16, tensor.BF16} {
		r := request(typ.String(), nil, 2)
		r.RawInputContents = [][]byte{{0, 0x3c, 0x80, 0x3f}}
		in, err := bind(r, schemaOf(typ))
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		w := tensor.Wanted{} // not raw, but there is no other way
		if out, err := response(&w, in); err != nil || !cmp.Equal(out.GetRawOutputContents(), r.GetRawInputContents()) {
			t.Errorf("%s: %v, %v", typ, out, err)
		}
	}
}

func TestWrongInputs(t *testing.T) {
	fp64 := contentsByType[tensor.FP64]
	raw := func(datatype string, data ...[]byte) *pb.ModelInferRequest {
		r := request(datatype, nil, 2)
		r.RawInputContents = data
		return r
	}
	both := raw("FP64", make([]byte, 16))
	both.Inputs[0].Contents = fp64
	for name, c := range map[string]struct {
		request *pb.ModelInferRequest
		typ     tensor.Type
		field   string
	}{
		"nothing":              {&pb.ModelInferRequest{}, tensor.FP64, "inputs"},
		"no shape":             {request("FP64", fp64), tensor.FP64, "inputs[0].shape"},
		"nine dimensions":      {request("FP64", fp64, 1, 1, 1, 1, 1, 1, 1, 1, 2), tensor.FP64, "inputs[0].shape"},
		"negative":             {request("FP64", fp64, -2), tensor.FP64, "inputs[0].shape"},
		"overflow":             {request("FP64", fp64, math.MaxInt64, math.MaxInt64), tensor.FP64, "inputs[0].shape"},
		"overflow to nothing":  {request("FP64", nil, 1<<30, 1<<30, 1<<30, 0), tensor.FP64, "inputs[0].shape"},
		"too few":              {request("FP64", fp64, 3), tensor.FP64, "inputs[0].contents.fp64_contents"},
		"no contents":          {request("FP64", nil, 2), tensor.FP64, "inputs[0].contents.fp64_contents"},
		"unknown type":         {request("FP8", fp64, 2), tensor.FP64, "inputs[0].datatype"},
		"the field of another": {request("FP32", fp64, 2), tensor.FP32, "inputs[0].contents.fp32_contents"},
		"beyond the type":      {request("INT8", &pb.InferTensorContents{IntContents: []int32{1, 128}}, 2), tensor.Int8, "inputs[0].contents.int_contents"},
		"beyond an unsigned":   {request("UINT16", &pb.InferTensorContents{UintContents: []uint32{1, 65536}}, 2), tensor.Uint16, "inputs[0].contents.uint_contents"},
		"half as contents":     {request("FP16", &pb.InferTensorContents{Fp32Contents: []float32{1, 2}}, 2), tensor.FP16, "inputs[0].contents"},
		"raw and contents":     {both, tensor.FP64, "inputs[0].contents"},
		"raw of two":           {raw("FP64", make([]byte, 16), nil), tensor.FP64, "raw_input_contents"},
		"raw too short":        {raw("FP64", make([]byte, 15)), tensor.FP64, "inputs[0].data"},
		"raw too long":         {raw("FP64", make([]byte, 24)), tensor.FP64, "inputs[0].data"},
		"no boolean":           {raw("BOOL", []byte{1, 2}), tensor.Bool, "inputs[0].data[1]"},
		"texts that lie":       {raw("BYTES", binary.LittleEndian.AppendUint32(make([]byte, 4), math.MaxUint32)), tensor.Bytes, "inputs[0].data[1]"},
	} {
		if in, err := bind(c.request, schemaOf(c.typ)); err == nil || err.Field != c.field || err.Next == "" {
			t.Errorf("%s: %v, %v (field %q)", name, in, err, err.Field)
		}
	}
}

func TestRequestedOutputs(t *testing.T) {
	b := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("a", []int{1}, []int64{1}), tensor.NewStrings("b", []int{1}, []string{"x"})}}
	r := &pb.ModelInferRequest{Outputs: []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "b"}}}
	w, err := wantedOf(r)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := response(&w, b); err != nil || len(out.GetOutputs()) != 1 || string(out.GetOutputs()[0].GetContents().GetBytesContents()[0]) != "x" {
		t.Errorf("%v, %v", out, err)
	}
	if err := slipway.AsError(w.Missing(schemaOf(tensor.FP32).Outputs)); err == nil || err.Field != "outputs[0].name" {
		t.Error(err)
	}
	r.Outputs = append(r.Outputs, r.Outputs[0])
	if _, err := wantedOf(r); err == nil || err.Field != "outputs[1].name" {
		t.Error(err)
	}
	r.Outputs[0].Parameters = map[string]*pb.InferParameter{"classification": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 3}}}
	if _, err := wantedOf(r); err == nil {
		t.Error("classes are not what is answered")
	}
}

// A message is refused, or is a batch that fits the schema and can be written; nothing that
// it claims makes more memory than it has.
func FuzzBind(f *testing.F) {
	for typ, c := range contentsByType {
		b, _ := proto.Marshal(request(typ.String(), c, 2))
		f.Add(b, uint8(typ))
	}
	r := request("FP64", nil, 1<<20, 1<<20)
	r.RawInputContents = [][]byte{make([]byte, 16)}
	b, _ := proto.Marshal(r)
	f.Add(b, uint8(tensor.FP64))
	f.Fuzz(func(t *testing.T, message []byte, typ uint8) {
		var r pb.ModelInferRequest
		if proto.Unmarshal(message, &r) != nil {
			return
		}
		schema := schemaOf(tensor.Type(typ%uint8(tensor.BF16)) + 1)
		if typ%2 == 1 {
			schema.Inputs = append(schema.Inputs, tensor.Field{Name: "y", Type: tensor.FP32})
		}
		w, err := wantedOf(&r)
		if err != nil {
			return
		}
		in, err := bind(&r, schema)
		if err != nil {
			return
		}
		if err := tensor.Check(in, schema.Inputs); err != nil {
			t.Fatal(err)
		}
		w.Outputs = nil
		if _, err := response(&w, in); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCrowded: of a request with too many parts no more is read than shows that.
func TestCrowded(t *testing.T) {
	for name, r := range map[string]*pb.ModelInferRequest{
		"inputs":  {Inputs: make([]*pb.ModelInferRequest_InferInputTensor, 1<<20)},
		"outputs": {Outputs: make([]*pb.ModelInferRequest_InferRequestedOutputTensor, 1<<20)},
		"raw":     {RawInputContents: make([][]byte, 1<<20)},
	} {
		for i := range r.Inputs {
			r.Inputs[i] = &pb.ModelInferRequest_InferInputTensor{}
		}
		for i := range r.Outputs {
			r.Outputs[i] = &pb.ModelInferRequest_InferRequestedOutputTensor{}
		}
		message, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got pb.ModelInferRequest
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, &got); err != nil {
			t.Fatal(err)
		}
		if n := len(got.GetInputs()) + len(got.GetOutputs()) + len(got.GetRawInputContents()); n != maxInputs+1 {
			t.Errorf("%s: %d parts are read", name, n)
		}
		_, refused := wantedOf(&got)
		if _, err := bind(&got, schemaOf(tensor.FP32)); refused == nil && err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	r := request("FP32", contentsByType[tensor.FP32], 2)
	message, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got pb.ModelInferRequest
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(message[:5]), mem.SliceBuffer(message[5:])}, &got); err != nil || !proto.Equal(r, &got) {
		t.Errorf("%v became %v, %v", r, &got, err)
	}
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(message[:5])}, &got); err == nil {
		t.Error("a message that is cut is taken")
	}
}
