package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// NewFloat64 makes an FP64 tensor. The product of shape must be len(v).
func NewFloat64(name string, shape []int, v []float64) Tensor {
	t := Tensor{Name: name, Type: FP64, Shape: shape, Data: make([]byte, 0, 8*len(v))}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(x))
	}
	return t
}

// NewFloat32 makes an FP32 tensor. The product of shape must be len(v).
func NewFloat32(name string, shape []int, v []float32) Tensor {
	t := Tensor{Name: name, Type: FP32, Shape: shape, Data: make([]byte, 0, 4*len(v))}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(x))
	}
	return t
}

// NewInt64 makes an INT64 tensor. The product of shape must be len(v).
func NewInt64(name string, shape []int, v []int64) Tensor {
	t := Tensor{Name: name, Type: Int64, Shape: shape, Data: make([]byte, 0, 8*len(v))}
	for _, x := range v {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(x))
	}
	return t
}

// NewStrings makes a BYTES tensor. The product of shape must be len(v).
func NewStrings(name string, shape []int, v []string) Tensor {
	return Tensor{Name: name, Type: Bytes, Shape: shape, Strings: v}
}

// Encode gives the bytes of one element of a numeric or boolean type, as Data has them, of
// its JSON; none for a value that the type does not have.
func (t Type) Encode(text string) []byte {
	c := column{typ: t}
	s := scanner{b: []byte(text)}
	if t == Bytes || t == Invalid || c.value(&s) != nil || s.end() != nil {
		return nil
	}
	return c.data
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	if t.Type == Bytes {
		return len(t.Strings)
	}
	return len(t.Data) / max(1, t.Type.Size())
}

// Float gives element i as a number; NaN for BYTES. 64-bit integers beyond 2^53 are
// rounded.
func (t *Tensor) Float(i int) float64 {
	switch t.Type {
	case FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:])))
	case FP64:
		return math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
	case FP16, BF16:
		return t.Type.half().Widen(binary.LittleEndian.Uint16(t.Data[2*i:]))
	case Uint64:
		return float64(binary.LittleEndian.Uint64(t.Data[8*i:]))
	case Bytes, Invalid:
		return math.NaN()
	default:
		return float64(t.Int(i))
	}
}

// Int gives element i of a boolean or integer tensor; 0 for others.
func (t *Tensor) Int(i int) int64 {
	switch t.Type {
	case Bool, Uint8:
		return int64(t.Data[i])
	case Int8:
		return int64(int8(t.Data[i]))
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(t.Data[2*i:])))
	case Uint16:
		return int64(binary.LittleEndian.Uint16(t.Data[2*i:]))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
	case Uint32:
		return int64(binary.LittleEndian.Uint32(t.Data[4*i:]))
	case Int64, Uint64:
		return int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
	default:
		return 0
	}
}

// Slice gives the rows from, to (not included). It shares the memory of the batch.
func (b *Batch) Slice(from, to int) *Batch {
	out := &Batch{Tensors: make([]Tensor, len(b.Tensors))}
	for i := range b.Tensors {
		t := &b.Tensors[i]
		width := product(t.Shape[1:])
		shape := append([]int{to - from}, t.Shape[1:]...)
		out.Tensors[i] = Tensor{Name: t.Name, Type: t.Type, Shape: shape}
		if t.Type == Bytes {
			out.Tensors[i].Strings = t.Strings[from*width : to*width]
		} else {
			out.Tensors[i].Data = t.Data[from*width*t.Type.Size() : to*width*t.Type.Size()]
		}
	}
	return out
}

// maxElements bounds what a shape may stand for, far above what a request can hold.
const maxElements = 1 << 40

// product is the number of elements of a shape, -1 if a length is negative or the product
// is beyond maxElements.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 || d > maxElements/max(n, 1) {
			return -1
		}
		n *= d
	}
	return n
}

// maxHollow is how many rows without elements a shape may have: nothing in a body pays for them.
const maxHollow = 1 << 12

func hollow(shape []int) bool { return shape[0] > maxHollow && product(shape) == 0 }

// Check holds a batch against the fields it must have: each once, of its type and of the
// shape of one row, all with the same number of rows. It answers Unprocessable.
func Check(b *Batch, fields []Field) error {
	if len(b.Tensors) != len(fields) {
		return misfit("correct the model or its signature", "has %d tensors where %d belong", len(b.Tensors), len(fields))
	}
	for i := range fields {
		f := &fields[i]
		t := b.Tensor(f.Name)
		switch {
		case t == nil:
			return at(f.Name, misfit("correct the model or its signature", "is missing"))
		case t.Type != f.Type:
			return at(f.Name, misfit("correct the model or its signature", "has the type %s, not %s", t.Type, f.Type))
		case len(t.Shape) == 0 || t.Shape[0] != b.Rows() || !fits(t.Shape[1:], f.Shape):
			return at(f.Name, misfit("correct the model or its signature", "has the shape %v, not %v", t.Shape, rowsOf(f.Shape)))
		}
	}
	return nil
}

// fits compares the shape of a row with the declared one. A scalar may come as an array
// of one.
func fits(row, declared []int) bool {
	if len(declared) == 0 && len(row) == 1 && row[0] == 1 {
		return true
	}
	return slices.EqualFunc(row, declared, func(a, b int) bool { return b < 0 || a == b })
}

func rowsOf(shape []int) []int { return append([]int{-1}, shape...) }

// String describes a batch without its values.
func (b *Batch) String() string {
	s := fmt.Sprintf("%d rows", b.Rows())
	for i := range b.Tensors {
		s += fmt.Sprintf(" %s %s%v", b.Tensors[i].Name, b.Tensors[i].Type, b.Tensors[i].Shape)
	}
	return s
}
