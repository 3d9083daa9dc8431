package tensor

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway"
)

// maxInputs bounds the tensors of a request beyond what a schema can have.
const maxInputs = 1 << 14

// Wanted is what a request of the Open Inference Protocol says beside its inputs.
type Wanted struct {
	ID      string   // the client's name for the request, which the answer repeats
	Outputs []Output // in the order of the answer; none: all
	Binary  bool     // outputs that do not say otherwise come as binary data
}

// Output is an output that a client asks for.
type Output struct {
	Name         string
	Binary, JSON bool // how it comes; neither: as Wanted says
}

// maxOutputs bounds the outputs that are asked for; who wants more leaves them out to get all.
const maxOutputs = 1 << 10

// Ask adds an output, which answers have room for once. Places of errors are those in it.
func (w *Wanted) Ask(o Output) *slipway.Error {
	switch {
	case len(w.Outputs) == maxOutputs:
		return misfit("leave outputs out to get all", "is one output too many")
	case slices.ContainsFunc(w.Outputs, func(have Output) bool { return have.Name == o.Name }):
		return at(".name", misfit("ask for each output once", "is asked for twice"))
	}
	w.Outputs = append(w.Outputs, o)
	return nil
}

// ParseInfer reads an inference request of the Open Inference Protocol (REST) for a schema:
// one tensor for each input, or one matrix with a column for each. The first head bytes of
// body are JSON; binary data of tensors follow. Without JSON, head 0, body is the data of
// the only input. The batch has the tensors of the schema, in its order and in its types. It
// answers Invalid for what is no request, and Unprocessable, with the path of the field, for
// one that does not fit. It keeps nothing of body.
func ParseInfer(body []byte, head int, schema *Schema) (_ *Batch, w Wanted, _ error) {
	b := newBinder(body[:head], schema)
	var batch *Batch
	var err *slipway.Error
	if b.wanted, b.raw = &w, body[head:]; head == 0 && len(body) > 0 {
		w.Binary = true
		batch, err = b.only(body)
	} else {
		batch, err = b.infer()
	}
	if err != nil {
		return nil, Wanted{}, err
	}
	return batch, w, nil
}

// once answers for a member that comes again.
func once(seen *uint8, bit uint8, place string) *slipway.Error {
	if *seen&bit != 0 {
		return at(place, misfit("send it once", "is sent twice"))
	}
	*seen |= bit
	return nil
}

func (b *binder) infer() (*Batch, *slipway.Error) {
	var seen uint8
	const id, inputs, outputs, parameters = 1, 2, 4, 8
	err := b.s.object(func(key []byte) *slipway.Error {
		switch string(key) {
		case "id":
			if err := once(&seen, id, "id"); err != nil || b.s.null() {
				return err
			}
			t, err := b.text()
			b.wanted.ID = string(t)
			return within("id", err)
		case "inputs":
			if err := once(&seen, inputs, "inputs"); err != nil {
				return err
			}
			return within("inputs", b.inputs())
		case "outputs":
			if err := once(&seen, outputs, "outputs"); err != nil || b.s.null() {
				return err
			}
			return within("outputs", b.outputs())
		case "parameters":
			if err := once(&seen, parameters, "parameters"); err != nil {
				return err
			}
			return within("parameters", b.requestParameters())
		default: // model_name and what later versions of the protocol add
			return b.s.skip()
		}
	})
	if err == nil {
		err = b.s.end()
	}
	switch {
	case err != nil:
		return nil, err
	case seen&inputs == 0:
		return nil, at("inputs", misfit("send inputs as the Open Inference Protocol says", "is missing"))
	case len(b.raw) > 0:
		return nil, at("inputs", misfit("give each input its binary_data_size", "announces %d bytes less than follow the JSON", len(b.raw)))
	}
	return b.batch("inputs")
}

func (b *binder) inputs() *slipway.Error {
	if b.s.peek() != '[' {
		return misfit("send an array of tensors", "is no array")
	}
	return b.s.array(func(i int) *slipway.Error {
		if i >= maxInputs {
			return element(i, misfit("send one matrix", "is one tensor too many"))
		}
		if b.s.peek() != '{' {
			return element(i, misfit("send an object with name, shape, datatype and data", "is no tensor"))
		}
		in := input{b: b, index: i, data: -1, size: -1}
		if err := in.read(); err != nil {
			return element(i, err)
		}
		return nil
	})
}

// outputs reads which outputs are asked for.
func (b *binder) outputs() *slipway.Error {
	if b.s.peek() != '[' {
		return misfit("send an array of outputs", "is no array")
	}
	return b.s.array(func(i int) *slipway.Error {
		if b.s.peek() != '{' {
			return element(i, misfit(`send an object such as {"name": "predict"}`, "is no output"))
		}
		return element(i, b.output())
	})
}

func (b *binder) output() *slipway.Error {
	var o Output
	var seen uint8
	const name, parameters = 1, 2
	err := b.s.object(func(key []byte) *slipway.Error {
		switch string(key) {
		case "name":
			if err := once(&seen, name, ".name"); err != nil {
				return err
			}
			t, err := b.text()
			o.Name = string(t)
			return within(".name", err)
		case "parameters":
			if err := once(&seen, parameters, ".parameters"); err != nil {
				return err
			}
			return within(".parameters", b.parameters(func(key []byte) *slipway.Error {
				switch string(key) {
				case "binary_data":
					yes, err := b.boolean()
					o.Binary, o.JSON = yes, !yes
					return err
				case "classification", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset":
					return misfit("ask for the output itself", "is an extension that is not served here")
				}
				return b.scalar()
			}))
		}
		return b.s.skip()
	})
	if err != nil {
		return err
	}
	if seen&name == 0 {
		return at(".name", misfit("name the output", "is missing"))
	}
	return b.wanted.Ask(o)
}

func (b *binder) requestParameters() *slipway.Error {
	return b.parameters(func(key []byte) *slipway.Error {
		switch string(key) {
		case "binary_data_output":
			yes, err := b.boolean()
			b.wanted.Binary = yes
			return err
		case "sequence_id", "sequence_start", "sequence_end":
			return misfit("send each request for itself", "is of models that remember requests, which are not served here")
		}
		return b.scalar()
	})
}

// parameters reads an object of strings, numbers and booleans, or null. Value reads one.
func (b *binder) parameters(value func(key []byte) *slipway.Error) *slipway.Error {
	if b.s.null() {
		return nil
	}
	if b.s.peek() != '{' {
		return misfit("send an object", "is no object")
	}
	var seen []string
	return b.s.object(func(key []byte) *slipway.Error {
		if known(key) {
			if slices.Contains(seen, string(key)) {
				return at("."+string(key), misfit("send it once", "is sent twice"))
			}
			seen = append(seen, string(key))
		}
		err := value(key)
		if err != nil && err.Code != slipway.CodeRequest && known(key) {
			return within("."+string(key), err)
		}
		return err
	})
}

// known tells whether a parameter is the protocol's: another's name is the client's own text,
// which errors do not repeat.
func known(key []byte) bool {
	switch string(key) {
	case "binary_data", "binary_data_output", "binary_data_size", "classification", "content_type", "sequence_id", "sequence_start", "sequence_end",
		"shared_memory_region", "shared_memory_byte_size", "shared_memory_offset":
		return true
	}
	return false
}

// scalar reads what a parameter may be.
func (b *binder) scalar() *slipway.Error {
	switch b.s.peek() {
	case '[', '{', 'n':
		return misfit("send strings, numbers and booleans", "has a value of another kind")
	}
	return b.s.skip()
}

func (b *binder) boolean() (bool, *slipway.Error) {
	switch b.s.peek() {
	case 't':
		return true, b.s.word("true")
	case 'f':
		return false, b.s.word("false")
	}
	return false, misfit("send true or false", "is no boolean")
}

func (b *binder) text() ([]byte, *slipway.Error) { return textOf(&b.s) }

func textOf(s *scanner) ([]byte, *slipway.Error) {
	if s.peek() != '"' {
		return nil, misfit("send a string", "is no string")
	}
	return s.text()
}

// input is one tensor of a request while it is read. Places of errors are those in it.
type input struct {
	b              *binder
	index          int
	seen           uint8
	name, datatype []byte
	shape          []int
	data           int  // where the data are, if they came before what describes them
	size           int  // of binary data, in bytes; -1 for none
	base64         bool // strings are the base64 of bytes
	done           bool
}

// The members of a tensor.
const (
	seenName = 1 << iota
	seenType
	seenShape
	seenParameters
	seenData
)

func (in *input) read() *slipway.Error {
	s := &in.b.s
	err := s.object(func(key []byte) (err *slipway.Error) {
		switch string(key) {
		case "name":
			if err = once(&in.seen, seenName, ".name"); err != nil {
				return err
			}
			in.name, err = in.b.text()
			return within(".name", err)
		case "datatype":
			if err = once(&in.seen, seenType, ".datatype"); err != nil {
				return err
			}
			in.datatype, err = in.b.text()
			return within(".datatype", err)
		case "shape":
			if err = once(&in.seen, seenShape, ".shape"); err == nil {
				in.shape, err = readShape(s)
			}
			return at(".shape", err)
		case "parameters":
			if err = once(&in.seen, seenParameters, ".parameters"); err != nil {
				return err
			}
			return within(".parameters", in.b.parameters(in.parameter))
		case "data":
			if err = once(&in.seen, seenData, ".data"); err != nil {
				return err
			}
			s.peek()
			if in.data = s.at; in.described() && in.size < 0 {
				in.done = true
				return in.bind()
			}
		}
		return s.skip()
	})
	if err != nil {
		return err
	}
	return in.finish()
}

// readShape reads an array of one to eight lengths.
func readShape(s *scanner) ([]int, *slipway.Error) {
	bad := func() *slipway.Error {
		return misfit("send the lengths of one to eight dimensions, rows first", "is no shape")
	}
	if s.peek() != '[' {
		return nil, bad()
	}
	var four [4]byte
	c := column{typ: Uint32, data: four[:0]}
	shape := make([]int, 0, 2)
	err := s.array(func(i int) *slipway.Error {
		c.data = c.data[:0]
		if err := c.value(s); err != nil {
			if err.Code == slipway.CodeRequest {
				return err
			}
			return bad()
		}
		t := Tensor{Type: Uint32, Data: c.data}
		if shape = append(shape, int(t.Int(0))); len(shape) > 8 {
			return bad()
		}
		return nil
	})
	if err == nil && len(shape) == 0 {
		err = bad()
	}
	return shape, err
}

// parameter reads one parameter of a tensor.
func (in *input) parameter(key []byte) *slipway.Error {
	switch string(key) {
	case "binary_data_size":
		n, whole, err := in.b.s.number()
		if err != nil {
			return err
		}
		size, wrong := strconv.Atoi(n)
		if !whole || wrong != nil || size < 0 {
			return misfit("send the number of bytes", "is no size")
		}
		in.size = size
		return nil
	case "content_type": // as MLServer's clients say how they have encoded strings
		t, err := in.b.text()
		in.base64 = string(t) == FormatBase64
		return err
	case "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset":
		return misfit("send the data in the request", "is an extension that is not served here")
	}
	return in.b.scalar()
}

// described tells whether the data can be read where they are: of strings, the parameters say
// more.
func (in *input) described() bool {
	const must = seenName | seenType | seenShape
	return in.seen&must == must && (in.seen&seenParameters != 0 || string(in.datatype) != "BYTES")
}

// finish reads the data of a tensor that is described now.
func (in *input) finish() *slipway.Error {
	binary := in.size >= 0
	switch {
	case binary && in.seen&seenData != 0:
		return at(".data", misfit("send the data as JSON or as binary data", "comes beside binary_data_size"))
	case in.done:
		return nil
	}
	for _, part := range []struct {
		bit  uint8
		path string
	}{{seenName, ".name"}, {seenType, ".datatype"}, {seenShape, ".shape"}, {seenData, ".data"}} {
		if in.seen&part.bit == 0 && !(binary && part.bit == seenData) {
			return at(part.path, misfit("send name, shape, datatype and data", "is missing"))
		}
	}
	if binary {
		return in.bind()
	}
	s := &in.b.s
	after := s.at
	s.at = in.data
	err := in.bind()
	s.at = after
	return err
}

// bind finds the field that the tensor is for and reads the data.
func (in *input) bind() *slipway.Error {
	b := in.b
	announced, ok := ParseType(string(in.datatype))
	if !ok {
		return at(".datatype", misfit("name a type as the Open Inference Protocol does, such as FP64", "is no known type"))
	}
	to, err := b.target(in.index, in.name, announced, in.shape)
	if err != nil {
		return err
	}
	if in.size >= 0 {
		return in.binary(to, announced)
	}
	if to.drop {
		return b.s.skip()
	}
	n := nested{s: &b.s, cols: b.columnsOf(to), base64: in.base64}
	if err := n.readAll(); err != nil {
		return within(".data", err)
	}
	if have, want := product(n.shape), product(in.shape); len(n.shape) == 0 || have != want || len(n.shape) > 1 && !fits(n.shape, in.shape) {
		return at(".data", misfit("send as many elements as the shape says", "has the shape %v where %v was announced", n.shape, in.shape))
	}
	return b.taken(to, in.shape)
}

// binary takes the data from what follows the JSON.
func (in *input) binary(to target, announced Type) *slipway.Error {
	b := in.b
	if in.size > len(b.raw) {
		return at(".parameters.binary_data_size", misfit("send the data after the JSON, and the length of the JSON in Inference-Header-Content-Length",
			"is more than the %d bytes that follow", len(b.raw)))
	}
	data := b.raw[:in.size]
	b.raw = b.raw[in.size:]
	if to.drop {
		return nil
	}
	return b.take(to, &Tensor{Type: announced, Shape: in.shape, Data: data})
}

// carries tells whether elements announced as one type may become another without loss
// beyond rounding.
func carries(from, to Type) bool {
	switch to {
	case Bool, Bytes:
		return from == to
	case FP16, BF16, FP32, FP64:
		return from != Bool && from != Bytes
	default:
		return from >= Int8 && from <= Uint64
	}
}

// ParseInferResponse reads an inference response of the Open Inference Protocol. It
// answers Invalid or Unprocessable for anything else.
func ParseInferResponse(body []byte) (*Batch, error) {
	s := scanner{b: body}
	out, seen := &Batch{}, false
	err := s.object(func(key []byte) *slipway.Error {
		if string(key) != "outputs" || seen {
			return s.skip()
		}
		seen = true
		if s.peek() != '[' {
			return at("outputs", misfit("send an array of tensors", "is no array"))
		}
		return s.array(func(i int) *slipway.Error {
			if i >= maxInputs {
				return at("outputs", misfit("send fewer", "has too many tensors"))
			}
			t, err := readOutput(&s)
			out.Tensors = append(out.Tensors, t)
			if err != nil {
				return within("outputs", element(i, err))
			}
			return nil
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && !seen {
		err = at("outputs", misfit("answer as the Open Inference Protocol says", "is missing"))
	}
	if err != nil {
		return nil, err
	}
	for i := range out.Tensors {
		if hollow(out.Tensors[i].Shape) {
			return nil, at(fmt.Sprintf("outputs[%d].shape", i), misfit("answer rows that have elements", "has rows without elements"))
		}
		if out.Tensors[i].Shape[0] != out.Rows() {
			return nil, at(fmt.Sprintf("outputs[%d].shape", i), misfit("answer as many rows in every output", "has another number of rows"))
		}
	}
	return out, nil
}

// readOutput reads one tensor of a response. Places of errors are those in it.
func readOutput(s *scanner) (Tensor, *slipway.Error) {
	t := Tensor{}
	data := -1
	if s.peek() != '{' {
		return t, misfit("send an object with name, shape, datatype and data", "is no tensor")
	}
	err := s.object(func(key []byte) (err *slipway.Error) {
		var text []byte
		switch string(key) {
		case "name":
			text, err = textOf(s)
			t.Name, err = string(text), within(".name", err)
		case "datatype":
			text, err = textOf(s)
			t.Type, _ = ParseType(string(text))
			err = within(".datatype", err)
		case "shape":
			t.Shape, err = readShape(s)
			err = at(".shape", err)
		case "data":
			s.peek()
			data = s.at
			err = s.skip()
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return t, err
	}
	if t.Type == Invalid || len(t.Shape) == 0 || data < 0 || t.Name == "" {
		return t, misfit("send name, shape, datatype and data", "is not whole")
	}
	after := s.at
	s.at = data
	n := nested{s: s, cols: []column{{typ: t.Type}}}
	if err := n.readAll(); err != nil {
		return t, within(".data", err)
	}
	s.at = after
	if product(n.shape) != product(t.Shape) || len(n.shape) == 0 {
		return t, at(".data", misfit("send as many elements as the shape says", "does not have the announced shape"))
	}
	t.Data, t.Strings = n.cols[0].data, n.cols[0].strings
	return t, nil
}
