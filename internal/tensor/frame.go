package tensor

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// AppendBatch writes a batch as it goes between gateway and runtime. All integers are
// little-endian:
//
//	u32 number of tensors, then for each tensor
//	u16 length of its name, the name
//	u8  type, u8 number of dimensions (1…8), u32 for each dimension, rows first
//	    the elements, row-major: little-endian, or u32 length and the bytes for each string
func AppendBatch(dst []byte, b *Batch) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.Tensors)))
	for i := range b.Tensors {
		t := &b.Tensors[i]
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(t.Name)))
		dst = append(append(dst, t.Name...), byte(t.Type), byte(len(t.Shape)))
		for _, n := range t.Shape {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		}
		dst = t.AppendRaw(dst)
	}
	return dst
}

// minTensor is the length of the smallest tensor in a frame.
const minTensor = 2 + 1 + 1 + 4

// frameDecoder reads a batch from memory of its own.
type frameDecoder struct {
	b   []byte
	bad bool
}

func (d *frameDecoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, n = true, 0
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *frameDecoder) uint(width int) int {
	b := d.take(width)
	if len(b) < width {
		return 0
	}
	switch width {
	case 1:
		return int(b[0])
	case 2:
		return int(binary.LittleEndian.Uint16(b))
	default:
		return int(binary.LittleEndian.Uint32(b))
	}
}

func (d *frameDecoder) text(width int) string {
	b := d.take(d.uint(width))
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// DecodeBatch reads what AppendBatch wrote. It copies body once and keeps nothing of it.
func DecodeBatch(body []byte) (*Batch, error) {
	d := frameDecoder{b: append([]byte(nil), body...)}
	count := d.uint(4)
	if count > len(d.b)/minTensor {
		return nil, fmt.Errorf("a batch of %d tensors in %d bytes", count, len(body))
	}
	out := &Batch{Tensors: make([]Tensor, count)}
	shapes := make([]int, 0, 2*count)
	for i := range out.Tensors {
		t := &out.Tensors[i]
		t.Name = d.text(2)
		t.Type = Type(d.uint(1))
		dims := d.uint(1)
		if dims < 1 || dims > 8 || t.Type == Invalid || t.Type > BF16 {
			return nil, fmt.Errorf("tensor %d of a batch has no type or shape", i)
		}
		from := len(shapes)
		for range dims {
			shapes = append(shapes, d.uint(4))
		}
		t.Shape = shapes[from:len(shapes):len(shapes)]
		n := product(t.Shape)
		if d.bad || n < 0 || hollow(t.Shape) || n > len(d.b) && t.Shape[0] != 0 || t.Shape[0] != out.Tensors[0].Shape[0] {
			return nil, fmt.Errorf("tensor %d of a batch does not fit its shape", i)
		}
		if t.Type != Bytes {
			t.Data = d.take(n * t.Type.Size())
			continue
		}
		if n > len(d.b)/4 {
			return nil, fmt.Errorf("tensor %d of a batch does not fit its shape", i)
		}
		t.Strings = make([]string, n)
		for j := range t.Strings {
			t.Strings[j] = d.text(4)
		}
	}
	if d.bad || len(d.b) != 0 {
		return nil, fmt.Errorf("a batch is cut or has %d bytes too many", len(d.b))
	}
	return out, nil
}
