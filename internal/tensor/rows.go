package tensor

import (
	"encoding/binary"
	"math"
	"slices"
)

// Rows appends the values of the fields to dst, row by row and within a row in the order of
// the fields: what a tree takes. Singles are rounded from doubles and whole numbers. Strings
// answer Unprocessable.
func Rows[F float32 | float64](b *Batch, fields []Field, dst []F) ([]F, error) {
	rows, width := b.Rows(), 0
	tensors := make([]*Tensor, len(fields))
	for i := range fields {
		t := b.Tensor(fields[i].Name)
		if t == nil {
			return dst, at(fields[i].Name, misfit("send it: this model needs every input that is no floating-point number", "is missing"))
		}
		if t.Type == Bytes || len(t.Shape) == 0 || t.Shape[0] != rows {
			return dst, at(fields[i].Name, misfit("send numbers", "is no column of %d numbers", rows))
		}
		tensors[i] = t
		width += product(t.Shape[1:])
	}
	start := len(dst)
	dst = slices.Grow(dst, rows*width)[:start+rows*width]
	offset := start
	for _, t := range tensors {
		n := product(t.Shape[1:])
		for r := range rows {
			spread(dst[offset+r*width:offset+r*width+n], t, r*n)
		}
		offset += n
	}
	return dst, nil
}

// spread fills dst with the elements of a tensor of numbers from one on.
func spread[F float32 | float64](dst []F, t *Tensor, from int) {
	switch t.Type {
	case FP32:
		for i := range dst {
			dst[i] = F(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*(from+i):])))
		}
	case FP64:
		for i := range dst {
			dst[i] = F(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*(from+i):])))
		}
	default:
		for i := range dst {
			dst[i] = F(t.Float(from + i))
		}
	}
}
