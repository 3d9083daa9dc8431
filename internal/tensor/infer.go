package tensor

import (
	"fmt"

	"github.com/slipway-ml/slipway"
)

// maxInputs bounds the tensors of a request beyond what a schema can have.
const maxInputs = 1 << 14

// ParseInfer reads an inference request of the Open Inference Protocol (REST, JSON data)
// for a schema: one tensor for each input, or one matrix with a column for each. The
// batch has the tensors of the schema, in its order and in its types. It answers Invalid
// for what is no request, and Unprocessable, with the path of the field, for one that
// does not fit.
func ParseInfer(body []byte, schema *Schema) (_ *Batch, id string, _ error) {
	b := newBinder(body, schema)
	batch, id, err := b.infer()
	if err != nil {
		return nil, "", err
	}
	return batch, id, nil
}

func (b *binder) infer() (*Batch, string, *slipway.Error) {
	var id string
	seen := false
	err := b.s.object(func(key []byte) *slipway.Error {
		switch string(key) {
		case "id":
			if b.s.peek() != '"' {
				return at("id", misfit("send the id as a string", "is no string"))
			}
			t, err := b.s.text()
			id = string(t)
			return err
		case "inputs":
			if seen {
				return at("inputs", misfit("send inputs once", "is sent twice"))
			}
			seen = true
			return b.inputs()
		default: // parameters and outputs change nothing here
			return b.s.skip()
		}
	})
	if err == nil {
		err = b.s.end()
	}
	if err != nil {
		return nil, "", err
	}
	if !seen {
		return nil, "", at("inputs", misfit("send inputs as the Open Inference Protocol says", "is missing"))
	}
	batch, err := b.batch("inputs")
	return batch, id, err
}

func (b *binder) inputs() *slipway.Error {
	if b.s.peek() != '[' {
		return at("inputs", misfit("send an array of tensors", "is no array"))
	}
	return b.s.array(func(i int) *slipway.Error {
		place := fmt.Sprintf("inputs[%d]", i)
		if i >= maxInputs {
			return at(place, misfit("send one matrix", "is one tensor too many"))
		}
		if b.s.peek() != '{' {
			return at(place, misfit("send an object with name, shape, datatype and data", "is no tensor"))
		}
		in := input{b: b, index: i, place: place, data: -1}
		return in.read()
	})
}

// input is one tensor of a request while it is read.
type input struct {
	b                      *binder
	index                  int
	place                  string
	name, datatype         []byte
	hasName, hasType, done bool
	shape                  []int
	data                   int // where the data are, if they came before what describes them
}

func (in *input) read() *slipway.Error {
	s := &in.b.s
	err := s.object(func(key []byte) (err *slipway.Error) {
		switch string(key) {
		case "name":
			in.name, err = in.text("name")
			in.hasName = true
		case "datatype":
			in.datatype, err = in.text("datatype")
			in.hasType = true
		case "shape":
			err = in.readShape()
		case "data":
			s.peek()
			if in.data >= 0 {
				return at(in.place+".data", misfit("send data once", "is sent twice"))
			}
			in.data = s.at
			if in.hasName && in.hasType && in.shape != nil {
				in.done = true
				return in.bind()
			}
			return s.skip()
		default:
			return s.skip()
		}
		return err
	})
	if err != nil || in.done {
		return err
	}
	for _, part := range []struct {
		key  string
		have bool
	}{{"name", in.hasName}, {"datatype", in.hasType}, {"shape", in.shape != nil}, {"data", in.data >= 0}} {
		if !part.have {
			next := "send name, shape, datatype and data"
			if part.key == "data" {
				next = "send the data as JSON; binary data are not supported (binary_data=False)"
			}
			return at(in.place+"."+part.key, misfit(next, "is missing"))
		}
	}
	after := s.at
	s.at = in.data
	err = in.bind()
	s.at = after
	return err
}

func (in *input) text(key string) ([]byte, *slipway.Error) {
	if in.b.s.peek() != '"' {
		return nil, at(in.place+"."+key, misfit("send a string", "is no string"))
	}
	return in.b.s.text()
}

func (in *input) readShape() *slipway.Error {
	shape, err := readShape(&in.b.s)
	if err != nil {
		return at(in.place+".shape", err)
	}
	in.shape = shape
	return nil
}

// readShape reads an array of one to eight lengths.
func readShape(s *scanner) ([]int, *slipway.Error) {
	bad := misfit("send the lengths of one to eight dimensions, rows first", "is no shape")
	if s.peek() != '[' {
		return nil, bad
	}
	c := column{typ: Uint32}
	shape := make([]int, 0, 2)
	err := s.array(func(i int) *slipway.Error {
		c.data = c.data[:0]
		if err := c.value(s); err != nil {
			if err.Code == slipway.CodeRequest {
				return err
			}
			return bad
		}
		t := Tensor{Type: Uint32, Data: c.data}
		if shape = append(shape, int(t.Int(0))); len(shape) > 8 {
			return bad
		}
		return nil
	})
	if err == nil && len(shape) == 0 {
		err = bad
	}
	return shape, err
}

// bind finds the field that the tensor is for and reads the data.
func (in *input) bind() *slipway.Error {
	b := in.b
	declared, ok := ParseType(string(in.datatype))
	if !ok {
		return at(in.place+".datatype", misfit("name a type as the Open Inference Protocol does, such as FP64", "is no known type"))
	}
	i, whole := b.find(in.name, in.index), false
	matrix := len(in.shape) == 2 && in.shape[1] == len(b.fields) && b.scalars()
	switch {
	case i >= 0 && (!matrix || len(b.fields) == 1):
	case b.single():
		i = 0
	case matrix:
		i, whole = 0, true
	default:
		return at(in.place+".name", misfit("see the endpoint's metadata for its inputs, or send one matrix with a column for each", "is no input of this model"))
	}
	cols := b.cols[i : i+1]
	if whole {
		cols = b.cols
	}
	for j := range cols {
		if !carries(declared, cols[j].typ) {
			return at(in.place+".datatype", misfit("send the type of the endpoint's metadata", "is %s where %s belongs", declared, cols[j].typ))
		}
		if len(cols[j].data)+len(cols[j].strings) > 0 {
			return at(in.place, misfit("send each input once", "is sent twice"))
		}
	}
	n := nested{s: &b.s, cols: cols}
	if err := n.readAll(in.place + ".data"); err != nil {
		return err
	}
	if have, want := product(n.shape), product(in.shape); len(n.shape) == 0 || have != want || len(n.shape) > 1 && !fits(n.shape, in.shape) {
		return at(in.place+".data", misfit("send as many elements as the shape says", "has the shape %v where %v was announced", n.shape, in.shape))
	}
	if whole {
		return at(in.place, b.matrix(in.shape[0]))
	}
	return at(in.place+".shape", b.put(i, in.shape))
}

// carries tells whether elements announced as one type may become another without loss
// beyond rounding.
func carries(from, to Type) bool {
	switch to {
	case Bool, Bytes:
		return from == to
	case FP32, FP64:
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
			t, err := readOutput(&s, fmt.Sprintf("outputs[%d]", i))
			out.Tensors = append(out.Tensors, t)
			return err
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
		if out.Tensors[i].Shape[0] != out.Rows() {
			return nil, at(fmt.Sprintf("outputs[%d].shape", i), misfit("answer as many rows in every output", "has another number of rows"))
		}
	}
	return out, nil
}

// readOutput reads one tensor of a response.
func readOutput(s *scanner, place string) (Tensor, *slipway.Error) {
	t := Tensor{}
	data := -1
	if s.peek() != '{' {
		return t, at(place, misfit("send an object with name, shape, datatype and data", "is no tensor"))
	}
	err := s.object(func(key []byte) (err *slipway.Error) {
		var text []byte
		switch string(key) {
		case "name":
			text, err = s.text()
			t.Name = string(text)
		case "datatype":
			text, err = s.text()
			t.Type, _ = ParseType(string(text))
		case "shape":
			t.Shape, err = readShape(s)
			err = at(place+".shape", err)
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
		return t, at(place, misfit("send name, shape, datatype and data", "is not whole"))
	}
	after := s.at
	s.at = data
	n := nested{s: s, cols: []column{{typ: t.Type}}}
	if err := n.readAll(place + ".data"); err != nil {
		return t, err
	}
	s.at = after
	if product(n.shape) != product(t.Shape) || len(n.shape) == 0 {
		return t, at(place+".data", misfit("send as many elements as the shape says", "does not have the announced shape"))
	}
	t.Data, t.Strings = n.cols[0].data, n.cols[0].strings
	return t, nil
}
