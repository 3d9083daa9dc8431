package ort

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"unsafe"
)

// Element is an element type, as the C API numbers it (ONNXTensorElementDataType).
type Element int32

// The element types, but for complex numbers and those of fewer than 16 bits.
const (
	Float32  Element = 1
	Uint8    Element = 2
	Int8     Element = 3
	Uint16   Element = 4
	Int16    Element = 5
	Int32    Element = 6
	Int64    Element = 7
	String   Element = 8
	Bool     Element = 9
	Float16  Element = 10
	Float64  Element = 11
	Uint32   Element = 12
	Uint64   Element = 13
	BFloat16 Element = 16
)

// Size is the width of an element in bytes, 0 for String and what is not known.
func (e Element) Size() int {
	switch e {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Int64, Float64, Uint64:
		return 8
	default:
		return 0
	}
}

// Value is a tensor. Elements of a fixed width lie little-endian in Data, those of String in
// Strings. Its memory is Go's.
type Value struct {
	Element Element
	Shape   []int64
	Data    []byte
	Strings []string
}

// maxElements bounds what an answer may hold, beyond what a frame can carry.
const maxElements = 1 << 28

var errShape = errors.New("its elements do not fit its shape")

// count is the number of elements of a shape, -1 if it is none.
func count(shape []int64) int {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxElements || n*max(d, 1) > maxElements {
			return -1
		}
		n *= d
	}
	return int(n)
}

// give makes a value of the library's of one of ours, whose memory it uses until it is
// released.
func (l *Library) give(v *Value, to *unsafe.Pointer, pin *goruntime.Pinner) error {
	n := count(v.Shape)
	shape := unsafe.SliceData(append(v.Shape[:len(v.Shape):len(v.Shape)], 0)) // a shape may be empty
	if v.Element == String {
		if n != len(v.Strings) {
			return errShape
		}
		if err := l.do(fnCreateTensorAsOrtValue, uintptr(l.heap), uintptr(unsafe.Pointer(shape)), uintptr(len(v.Shape)), uintptr(String), uintptr(unsafe.Pointer(to))); err != nil {
			return err
		}
		for i, s := range v.Strings {
			var room unsafe.Pointer
			if err := l.do(fnGetResizedStringTensorElementBuffer, uintptr(*to), uintptr(i), uintptr(len(s)), uintptr(unsafe.Pointer(&room))); err != nil {
				return err
			}
			if len(s) > 0 {
				copy(unsafe.Slice((*byte)(room), len(s)), s)
			}
		}
		return nil
	}
	size := v.Element.Size()
	if size == 0 || n < 0 || len(v.Data) != n*size {
		return errShape
	}
	data := aligned(v.Data, size)
	pin.Pin(unsafe.SliceData(data))
	return l.do(fnCreateTensorWithDataAsOrtValue, uintptr(l.memory), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(n*size), uintptr(unsafe.Pointer(shape)), uintptr(len(v.Shape)),
		uintptr(v.Element), uintptr(unsafe.Pointer(to)))
}

// aligned gives the same bytes at an address that C may read elements from, which the data of
// a frame need not have. It is never empty.
func aligned(b []byte, size int) []byte {
	if len(b) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%uintptr(size) == 0 {
		return b
	}
	words := make([]uint64, len(b)/8+1)
	out := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
	copy(out, b)
	return out
}

// take copies a value of the library's.
func (l *Library) take(v unsafe.Pointer) (Value, error) {
	var kind int32
	if err := l.do(fnGetValueType, uintptr(v), uintptr(unsafe.Pointer(&kind))); err != nil {
		return Value{}, err
	}
	switch kind {
	case valueTensor:
		return l.tensor(v)
	case valueSequence:
		return l.maps(v)
	default:
		return Value{}, errors.New("it is neither a tensor nor a sequence of maps")
	}
}

func (l *Library) tensor(v unsafe.Pointer) (Value, error) {
	var info unsafe.Pointer
	if err := l.do(fnGetTensorTypeAndShape, uintptr(v), uintptr(unsafe.Pointer(&info))); err != nil {
		return Value{}, err
	}
	defer l.release(fnReleaseTensorTypeAndShapeInfo, info)
	var out Value
	var rank uint64
	if err := errors.Join(l.do(fnGetTensorElementType, uintptr(info), uintptr(unsafe.Pointer(&out.Element))), l.do(fnGetDimensionsCount, uintptr(info), uintptr(unsafe.Pointer(&rank)))); err != nil {
		return out, err
	}
	if rank > 0 {
		out.Shape = make([]int64, rank)
		if err := l.do(fnGetDimensions, uintptr(info), uintptr(unsafe.Pointer(&out.Shape[0])), uintptr(rank)); err != nil {
			return out, err
		}
	}
	n := count(out.Shape)
	if n < 0 {
		return out, fmt.Errorf("it has the shape %v, which is too much", out.Shape)
	}
	if out.Element == String {
		var err error
		out.Strings, err = l.strings(v, n)
		return out, err
	}
	size := out.Element.Size()
	if size == 0 {
		return out, fmt.Errorf("its elements are of a type that is not carried (%d)", out.Element)
	}
	var data unsafe.Pointer
	if err := l.do(fnGetTensorMutableData, uintptr(v), uintptr(unsafe.Pointer(&data))); err != nil {
		return out, err
	}
	out.Data = make([]byte, n*size)
	if n > 0 {
		copy(out.Data, unsafe.Slice((*byte)(data), n*size))
	}
	return out, nil
}

func (l *Library) strings(v unsafe.Pointer, n int) ([]string, error) {
	if n == 0 {
		return nil, nil
	}
	var length uint64
	if err := l.do(fnGetStringTensorDataLength, uintptr(v), uintptr(unsafe.Pointer(&length))); err != nil {
		return nil, err
	}
	if length > math.MaxInt32 {
		return nil, errors.New("its texts are too long")
	}
	all, offsets := make([]byte, length+1), make([]uint64, n+1)
	if err := l.do(fnGetStringTensorContent, uintptr(v), uintptr(unsafe.Pointer(&all[0])), uintptr(length), uintptr(unsafe.Pointer(&offsets[0])), uintptr(n)); err != nil {
		return nil, err
	}
	offsets[n] = length
	out := make([]string, n)
	for i := range out {
		out[i] = string(all[offsets[i]:offsets[i+1]])
	}
	return out, nil
}

// maps makes a matrix of a sequence of maps from a class to a number. All have the same
// classes, which the library keeps sorted.
func (l *Library) maps(v unsafe.Pointer) (Value, error) {
	var rows uint64
	if err := l.do(fnGetValueCount, uintptr(v), uintptr(unsafe.Pointer(&rows))); err != nil {
		return Value{}, err
	}
	var out, classes Value
	for i := range rows {
		keys, values, err := l.pair(v, uintptr(i))
		if err != nil {
			return out, err
		}
		n := int64(count(values.Shape))
		if i == 0 {
			out = Value{Element: values.Element, Shape: []int64{int64(rows), n}}
			classes = keys
		}
		if !bytes.Equal(keys.Data, classes.Data) || !slices.Equal(keys.Strings, classes.Strings) || values.Element != out.Element || n != out.Shape[1] || values.Element.Size() == 0 {
			return out, errors.New("its maps differ in their classes")
		}
		out.Data = append(out.Data, values.Data...)
	}
	return out, nil
}

// pair gives keys and values of one map.
func (l *Library) pair(sequence unsafe.Pointer, i uintptr) (keys, values Value, err error) {
	var one unsafe.Pointer
	if err := l.do(fnGetValue, uintptr(sequence), i, uintptr(l.heap), uintptr(unsafe.Pointer(&one))); err != nil {
		return keys, values, err
	}
	defer l.release(fnReleaseValue, one)
	var kind int32
	if err := l.do(fnGetValueType, uintptr(one), uintptr(unsafe.Pointer(&kind))); err != nil {
		return keys, values, err
	}
	if kind != valueMap {
		return keys, values, errors.New("it is a sequence of what are no maps")
	}
	for at, to := range []*Value{&keys, &values} {
		var part unsafe.Pointer
		if err := l.do(fnGetValue, uintptr(one), uintptr(at), uintptr(l.heap), uintptr(unsafe.Pointer(&part))); err != nil {
			return keys, values, err
		}
		*to, err = l.tensor(part)
		l.release(fnReleaseValue, part)
		if err != nil {
			return keys, values, err
		}
	}
	return keys, values, nil
}
