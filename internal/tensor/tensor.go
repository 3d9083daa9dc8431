// Package tensor is the typed columnar batch that crosses every hop of the data plane,
// the schema it must fit, and its codecs: Open Inference JSON, MLflow's JSON forms and
// the binary frame between gateway and runtime.
package tensor

import (
	"fmt"

	"github.com/slipway-ml/slipway/internal/tensor/half"
)

// Type is an element type, named as the Open Inference Protocol names it.
type Type uint8

// The element types. Bytes holds UTF-8 strings or raw bytes. Frames carry the numbers, so
// that new types come last.
const (
	Invalid Type = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	FP32
	FP64
	Bytes
	FP16 // IEEE 754 binary16
	BF16 // the upper half of an FP32
)

var typeNames = [...]string{"", "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64", "BYTES", "FP16", "BF16"}

// String is the protocol's name of the type, "FP64".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// ParseType reads the protocol's name of a type.
func ParseType(s string) (Type, bool) {
	for i, n := range typeNames {
		if i > 0 && n == s {
			return Type(i), true
		}
	}
	return Invalid, false
}

// Size is the width of one element in bytes; 0 for Bytes.
func (t Type) Size() int {
	switch t {
	case Bool, Int8, Uint8:
		return 1
	case Int16, Uint16, FP16, BF16:
		return 2
	case Int32, Uint32, FP32:
		return 4
	case Int64, Uint64, FP64:
		return 8
	default:
		return 0
	}
}

// Float tells whether the type is one of floating-point numbers, in which NaN is a missing
// value.
func (t Type) Float() bool { return t == FP64 || t == FP32 || t == FP16 || t == BF16 }

// half is the format of the types of 16 bits.
func (t Type) half() half.Format {
	if t == BF16 {
		return half.BF16
	}
	return half.FP16
}

// MarshalText prints the protocol's name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the protocol's name.
func (t *Type) UnmarshalText(b []byte) error {
	v, ok := ParseType(string(b))
	if !ok {
		return fmt.Errorf("unknown element type")
	}
	*t = v
	return nil
}

// Tensor is one named block of elements, row-major. Shape[0] is the number of rows.
// Fixed-width elements lie little-endian in Data, len(Data) = product(Shape)·Size; the
// elements of Bytes lie in Strings, len(Strings) = product(Shape).
type Tensor struct {
	Name    string
	Type    Type
	Shape   []int
	Data    []byte
	Strings []string
}

// Batch is a set of tensors with the same number of rows. Coerced is how many of them came
// in another type than the schema's.
type Batch struct {
	Tensors []Tensor
	Coerced int
}

// Rows is the number of rows, 0 for an empty batch.
func (b *Batch) Rows() int {
	if len(b.Tensors) == 0 || len(b.Tensors[0].Shape) == 0 {
		return 0
	}
	return b.Tensors[0].Shape[0]
}

// Tensor finds a tensor by name, or gives nil.
func (b *Batch) Tensor(name string) *Tensor {
	for i := range b.Tensors {
		if b.Tensors[i].Name == name {
			return &b.Tensors[i]
		}
	}
	return nil
}

// Field is one declared input or output. Shape holds the dimensions of one row, -1 for
// any; it is empty for a scalar column. An optional floating-point field may be missing:
// it arrives as NaN. Another optional one that is missing does not arrive at all.
type Field struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Shape    []int  `json:"shape,omitempty"`
	Required bool   `json:"required"`
	Format   string `json:"format,omitempty"` // of BYTES: FormatBase64 or FormatTime; empty for any text
	Bounds          // of inputs
}

// Formats of texts.
const (
	FormatBase64 = "base64"    // raw bytes (MLflow's binary columns), which travel as base64 (RFC 4648)
	FormatTime   = "date-time" // a date, or a date and a time (ISO 8601)
)

// Schema is what a revision takes and gives.
type Schema struct {
	Inputs  []Field `json:"inputs"`
	Outputs []Field `json:"outputs"`
	Unknown string  `json:"unknown,omitempty"` // see Declared
	// Params are what the model's predict takes beside its inputs, with values of its own when
	// nothing is given. They cannot be given here.
	Params []string `json:"params,omitempty"`
}
