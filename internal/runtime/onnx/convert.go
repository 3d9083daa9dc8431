package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/ort"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// element gives the library's name of a type, 0 if it has none.
func element(t tensor.Type) ort.Element {
	switch t {
	case tensor.Bool:
		return ort.Bool
	case tensor.Int8:
		return ort.Int8
	case tensor.Int16:
		return ort.Int16
	case tensor.Int32:
		return ort.Int32
	case tensor.Int64:
		return ort.Int64
	case tensor.Uint8:
		return ort.Uint8
	case tensor.Uint16:
		return ort.Uint16
	case tensor.Uint32:
		return ort.Uint32
	case tensor.Uint64:
		return ort.Uint64
	case tensor.FP32:
		return ort.Float32
	case tensor.FP64:
		return ort.Float64
	case tensor.Bytes:
		return ort.String
	case tensor.FP16:
		return ort.Float16
	case tensor.BF16:
		return ort.BFloat16
	default:
		return 0
	}
}

// feed makes an input of the graph of tensors of a batch.
type feed struct {
	from   []tensor.Field
	to     tensor.Type
	matrix bool // each field is a column
	whole  bool // a row is the whole input, which has no dimension of rows
	column bool // a vector, for a matrix of one column
	rows   int  // that it must have, 0 for any
}

func newFeed(f mlmodel.Feed, fields []tensor.Field) (feed, error) {
	out := feed{to: f.Input.Type, matrix: f.Matrix}
	for _, i := range f.Fields {
		out.from = append(out.from, fields[i])
	}
	if element(out.to) == 0 {
		return out, fmt.Errorf("the input %.80q is of a type that is not carried", f.Input.Name)
	}
	shape := f.Input.Shape
	if !f.Matrix && f.Input.Ranked {
		row := out.from[0].Shape
		out.whole, out.column = len(shape) == len(row), len(shape) == len(row)+2
	}
	if len(shape) > 0 && shape[0].Size > 0 && !out.whole {
		out.rows = int(shape[0].Size)
	}
	return out, nil
}

// value makes the input of a batch.
func (f *feed) value(in *tensor.Batch) (ort.Value, error) {
	v := ort.Value{Element: element(f.to)}
	n := in.Rows()
	if f.rows > 1 && n != f.rows {
		return v, misfit(fmt.Sprintf("send %d rows in a request", f.rows), "has %d rows, and the model takes %d at a time", n, f.rows)
	}
	first := in.Tensor(f.from[0].Name)
	if first == nil {
		return v, misfit("send every input", "lacks %s", f.from[0].Name)
	}
	if f.matrix {
		return f.columns(in, v)
	}
	for _, d := range first.Shape {
		v.Shape = append(v.Shape, int64(d))
	}
	switch {
	case f.whole:
		v.Shape = v.Shape[1:]
	case f.column && len(v.Shape) == 1:
		v.Shape = append(v.Shape, 1)
	}
	if first.Type == f.to {
		v.Data, v.Strings = first.Data, first.Strings
		return v, nil
	}
	v.Data = make([]byte, first.Len()*f.to.Size())
	return v, f.convert(first, v.Data, 1)
}

// columns makes a matrix.
func (f *feed) columns(in *tensor.Batch, v ort.Value) (ort.Value, error) {
	n, width := in.Rows(), len(f.from)
	v.Shape = []int64{int64(n), int64(width)}
	size := f.to.Size()
	if f.to == tensor.Bytes {
		v.Strings = make([]string, n*width)
	} else {
		v.Data = make([]byte, n*width*size)
	}
	for i := range f.from {
		t := in.Tensor(f.from[i].Name)
		if t == nil || t.Len() != n {
			return v, misfit("send one value for each row", "lacks %s, or values of it", f.from[i].Name)
		}
		if f.to == tensor.Bytes {
			for r, s := range t.Strings {
				v.Strings[r*width+i] = s
			}
		} else if err := f.convert(t, v.Data[i*size:], width); err != nil {
			return v, err
		}
	}
	return v, nil
}

// convert writes the elements of t to every stride-th place of out, in the type of the feed.
func (f *feed) convert(t *tensor.Tensor, out []byte, stride int) error {
	n, size := t.Len(), f.to.Size()
	step := stride * size
	switch f.to {
	case tensor.FP32:
		for i := range n {
			binary.LittleEndian.PutUint32(out[i*step:], math.Float32bits(float32(t.Float(i))))
		}
	case tensor.FP64:
		for i := range n {
			binary.LittleEndian.PutUint64(out[i*step:], math.Float64bits(t.Float(i)))
		}
	default:
		if t.Type == f.to {
			for i := range n {
				copy(out[i*step:], t.Data[i*size:(i+1)*size])
			}
			return nil
		}
		for i := range n {
			x := t.Int(i)
			if !holds(f.to, x, t.Type == tensor.Uint64 && x < 0) {
				return misfit("send a number that the type can hold", "a value of %s does not fit into the %s that the model takes", t.Name, f.to)
			}
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], uint64(x))
			copy(out[i*step:i*step+size], word[:])
		}
	}
	return nil
}

// holds says whether an integer type has a number; beyond says that it is not x, but one beyond
// 2^63.
func holds(t tensor.Type, x int64, beyond bool) bool {
	bits := 8 * t.Size()
	if t >= tensor.Uint8 && t <= tensor.Uint64 {
		return bits == 64 && (beyond || x >= 0) || bits < 64 && !beyond && x >= 0 && x < 1<<bits
	}
	return !beyond && (bits == 64 || x >= -1<<(bits-1) && x < 1<<(bits-1))
}

// answer makes a tensor of an output.
type answer struct {
	field tensor.Field
	whole bool // it has no dimension of rows
}

func (a *answer) tensor(v *ort.Value, rows int) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: a.field.Name, Type: a.field.Type, Data: v.Data, Strings: v.Strings}
	if element(t.Type) != v.Element {
		return t, fmt.Errorf("the model answered %s in another type than it declares", t.Name)
	}
	for _, d := range v.Shape {
		t.Shape = append(t.Shape, int(d))
	}
	if rows == 1 && (a.whole || len(t.Shape) == 0 || t.Shape[0] != 1) {
		t.Shape = append([]int{1}, t.Shape...)
	}
	if len(t.Shape) == 0 || t.Shape[0] != rows {
		return t, misfit("send one row in a request", "the model does not answer %s row by row", t.Name)
	}
	if len(t.Shape) == 2 && t.Shape[1] == 1 && len(a.field.Shape) == 0 {
		t.Shape = t.Shape[:1]
	}
	if len(t.Shape) > 8 {
		return t, fmt.Errorf("the model answered %s in %d dimensions", t.Name, len(t.Shape))
	}
	return t, nil
}
