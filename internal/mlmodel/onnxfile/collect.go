package onnxfile

import (
	"fmt"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// message is a type of message of onnx.proto3 that others, which matter, lie in.
type message int

const (
	none message = iota
	model
	training
	function
	graph
	node
	attribute
	sparse
	weight
)

// inside gives the type of message of a field; none if it is passed over.
func inside(m message, number uint64) message {
	switch {
	case m == model && number == 7, m == training && (number == 1 || number == 2), m == attribute && (number == 6 || number == 11):
		return graph
	case m == model && number == 20:
		return training
	case m == model && number == 25:
		return function
	case m == function && number == 7, m == graph && number == 1:
		return node
	case m == function && number == 11, m == node && number == 5:
		return attribute
	case m == graph && number == 15, m == attribute && (number == 22 || number == 23):
		return sparse
	case m == graph && number == 5, m == attribute && (number == 5 || number == 10), m == sparse && (number == 1 || number == 2):
		return weight
	default:
		return none
	}
}

// Numbers of fields.
const (
	graphInput, graphOutput  = 11, 12
	weightName               = 8
	weightExternal           = 13
	entryKey, entryValue     = 1, 2
	valueName, valueType     = 1, 2
	typeTensor, typeSequence = 1, 4
	typeMap                  = 5
	mapValue                 = 2
	elemType, tensorShape    = 1, 2
	dimValue, dimParam       = 1, 2
)

// collector walks through a model.
type collector struct {
	p       *parser
	g       *Graph
	graph   bool            // the model's own was seen
	weights map[string]bool // of the model's own graph
	files   map[string]bool
}

// walk acts on a field of a message that lies depth deep; those of the model itself lie 0
// deep.
func (c *collector) walk(in message, f field, depth int) error {
	if f.wire != wireBytes {
		return nil
	}
	own := in == graph && depth == 1
	switch {
	case own && f.number == graphInput:
		return c.value(&c.g.Inputs, f, depth+1)
	case own && f.number == graphOutput:
		return c.value(&c.g.Outputs, f, depth+1)
	case in == weight && f.number == weightExternal:
		return c.external(f, depth+1)
	case in == weight && f.number == weightName && (depth == 2 || depth == 3): // 3: a sparse one
		return c.weight(f)
	}
	next := inside(in, f.number)
	if next == none {
		return nil
	}
	if in == model && next == graph {
		if c.graph {
			return c.p.bad("it has two graphs")
		}
		c.graph = true
	}
	return c.p.fields(f.length, depth+1, func(f field) error { return c.walk(next, f, depth+1) })
}

func (c *collector) weight(f field) error {
	name, err := c.p.text(f.length)
	if c.weights == nil {
		c.weights = map[string]bool{}
	}
	c.weights[name] = true
	return err
}

// external reads an entry of where a tensor's elements lie.
func (c *collector) external(f field, depth int) error {
	var key, value string
	err := c.p.fields(f.length, depth, func(f field) (err error) {
		switch {
		case f.wire != wireBytes:
		case f.number == entryKey:
			key, err = c.p.text(f.length)
		case f.number == entryValue:
			value, err = c.p.text(f.length)
		}
		return err
	})
	if err != nil || key != "location" || c.files[value] {
		return err
	}
	if c.files == nil {
		c.files = map[string]bool{}
	}
	c.files[value] = true
	if len(c.g.External) == maxExternal {
		return fmt.Errorf("%w: its weights lie in more than %d files", ErrLimit, maxExternal)
	}
	c.g.External = append(c.g.External, value)
	return nil
}

// value reads an input or output.
func (c *collector) value(to *[]Value, f field, depth int) error {
	if len(*to) == maxValues {
		return fmt.Errorf("%w: it has more than %d inputs or outputs", ErrLimit, maxValues)
	}
	v := Value{Spelt: "nothing"}
	err := c.p.fields(f.length, depth, func(f field) (err error) {
		switch {
		case f.wire != wireBytes:
		case f.number == valueName:
			v.Name, err = c.p.text(f.length)
		case f.number == valueType:
			err = c.typeOf(&v, f, depth+1)
		}
		return err
	})
	*to = append(*to, v)
	return err
}

// typeOf reads the type of a value: a tensor, or what the operator ZipMap gives.
func (c *collector) typeOf(v *Value, f field, depth int) error {
	return c.p.fields(f.length, depth, func(f field) error {
		switch {
		case f.wire != wireBytes:
			return nil
		case f.number == typeTensor:
			return c.tensor(v, f, depth+1)
		case f.number == typeSequence:
			return c.sequence(v, f, depth+1)
		case f.number == typeMap || f.number > typeMap && f.number != 6: // 6 is a denotation
			v.Spelt = "a map, an optional or an opaque value"
		}
		return nil
	})
}

// sequence reads the type of a sequence, of which only that of maps to numbers is known.
func (c *collector) sequence(v *Value, f field, depth int) error {
	v.Spelt = "a sequence"
	return c.p.fields(f.length, depth, func(f field) error { // its element type
		if f.wire != wireBytes || f.number != 1 {
			return nil
		}
		return c.p.fields(f.length, depth+1, func(f field) error { // a map
			if f.wire != wireBytes || f.number != typeMap {
				return nil
			}
			return c.p.fields(f.length, depth+2, func(f field) error {
				if f.wire != wireBytes || f.number != mapValue {
					return nil
				}
				inner := Value{}
				err := c.typeOf(&inner, f, depth+3)
				if inner.Type == tensor.FP32 || inner.Type == tensor.FP64 {
					v.Type, v.ZipMap, v.Ranked, v.Spelt = inner.Type, true, true, "a sequence of maps to numbers"
					v.Shape = []Dim{{Size: -1}, {Size: -1}}
				}
				return err
			})
		})
	})
}

// tensor reads the type of a tensor.
func (c *collector) tensor(v *Value, f field, depth int) error {
	return c.p.fields(f.length, depth, func(f field) error {
		switch {
		case f.wire == wireVarint && f.number == elemType:
			v.Type, v.Spelt = elementType(f.value)
		case f.wire == wireBytes && f.number == tensorShape:
			v.Ranked = true
			return c.shape(v, f, depth+1)
		}
		return nil
	})
}

func (c *collector) shape(v *Value, f field, depth int) error {
	return c.p.fields(f.length, depth, func(f field) error {
		if f.wire != wireBytes || f.number != 1 {
			return nil
		}
		if len(v.Shape) == maxDims {
			return fmt.Errorf("%w: a value has more than %d dimensions", ErrLimit, maxDims)
		}
		d := Dim{Size: -1}
		err := c.p.fields(f.length, depth+1, func(f field) (err error) {
			switch {
			case f.wire == wireVarint && f.number == dimValue:
				d.Size = max(int64(f.value), -1)
			case f.wire == wireBytes && f.number == dimParam:
				d.Name, err = c.p.text(f.length)
			}
			return err
		})
		v.Shape = append(v.Shape, d)
		return err
	})
}

// elementType gives the type that a batch has for an element type of ONNX
// (TensorProto.DataType), and how ONNX Runtime spells a tensor of it.
func elementType(n uint64) (tensor.Type, string) {
	types := [...]struct {
		t     tensor.Type
		spelt string
	}{
		1: {tensor.FP32, "float"}, 2: {tensor.Uint8, "uint8"}, 3: {tensor.Int8, "int8"}, 4: {tensor.Uint16, "uint16"}, 5: {tensor.Int16, "int16"},
		6: {tensor.Int32, "int32"}, 7: {tensor.Int64, "int64"}, 8: {tensor.Bytes, "string"}, 9: {tensor.Bool, "bool"},
		10: {tensor.FP16, "float16"}, 11: {tensor.FP64, "double"}, 12: {tensor.Uint32, "uint32"}, 13: {tensor.Uint64, "uint64"}, 14: {tensor.Invalid, "complex64"}, 15: {tensor.Invalid, "complex128"}, 16: {tensor.BF16, "bfloat16"},
	}
	if n < uint64(len(types)) && types[n].spelt != "" {
		return types[n].t, "tensor(" + types[n].spelt + ")"
	}
	return tensor.Invalid, fmt.Sprintf("tensor(type %d)", n)
}
