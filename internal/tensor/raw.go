package tensor

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"unicode/utf8"
	"unsafe"

	"github.com/slipway-ml/slipway"
)

// Bind makes a batch of tensors that a client sent, as ParseInfer does of those in JSON.
// Elements of BYTES are in Strings or, with a length of 4 bytes before each, in Data.
func Bind(in []Tensor, schema *Schema) (*Batch, error) {
	b := newBinder(nil, schema)
	size := 0
	for i := range in {
		size += in[i].rawSize()
	}
	b.room = room(size)
	for i := range in {
		t := &in[i]
		to, err := b.target(i, unsafe.Slice(unsafe.StringData(t.Name), len(t.Name)), t.Type, t.Shape)
		if err == nil && !to.drop {
			err = b.take(to, t)
		}
		if err != nil {
			return nil, within("inputs", element(i, err))
		}
	}
	out, err := b.batch("inputs")
	if err != nil {
		return nil, err
	}
	return out, nil
}

// take reads the elements of a tensor for the columns that it is for, in turn.
func (b *binder) take(to target, t *Tensor) *slipway.Error {
	cols, n := b.columnsOf(to), product(t.Shape)
	if n < 0 || len(t.Shape) == 0 {
		return at(".shape", misfit("send the lengths of one to eight dimensions, rows first", "is no shape"))
	}
	var err *slipway.Error
	if t.Type == Bytes {
		err = takeTexts(cols, t, n)
	} else {
		err = takeNumbers(cols, t, n)
	}
	if err != nil {
		return within(".data", err)
	}
	return b.taken(to, t.Shape)
}

func takeNumbers(cols []column, t *Tensor, n int) *slipway.Error {
	size := t.Type.Size()
	if len(t.Data)%size != 0 || len(t.Data)/size != n {
		return misfit("send as many bytes as the shape and the type say", "has %d bytes where %s%v takes %d", len(t.Data), t.Type, t.Shape, n*size)
	}
	if c := &cols[0]; len(cols) == 1 && c.typ == t.Type && c.rules == nil && c.typ != Bool {
		c.data = append(c.data, t.Data...)
		return nil
	}
	for i := range n {
		c := &cols[i%len(cols)]
		if err := c.element(t.Type, t.Data[i*size:]); err != nil {
			return element(i, err)
		}
	}
	return nil
}

// element appends an element of another type, or of the same.
func (c *column) element(from Type, data []byte) *slipway.Error {
	one := Tensor{Type: from, Data: data}
	c.coerced = c.coerced || from != c.typ
	switch {
	case c.typ == Bool:
		if data[0] > 1 {
			return wrongKind(Bool)
		}
		return c.put(uint64(data[0]))
	case c.typ.Float():
		return c.float(one.Float(0))
	case from == Uint64:
		v := binary.LittleEndian.Uint64(data)
		if c.typ != Uint64 && v > math.MaxInt64 {
			return outOfRange(c.typ)
		}
		return c.whole(int64(v), c.typ == Uint64)
	default:
		return c.whole(one.Int(0), false)
	}
}

// whole appends an integer if the type has it; wrapped is one whose bits are of a UINT64.
func (c *column) whole(v int64, wrapped bool) *slipway.Error {
	bits := 8 * c.typ.Size()
	fits := v>>(bits-1) == 0 || v>>(bits-1) == -1
	if c.typ >= Uint8 {
		fits = wrapped || v >= 0 && (bits == 64 || v>>bits == 0)
	}
	if !fits {
		return outOfRange(c.typ)
	}
	return c.put(uint64(v))
}

// float appends a number, rounded to the type. NaN and infinite numbers stay what they are,
// a finite one does not become infinite.
func (c *column) float(v float64) *slipway.Error {
	var bits uint64
	infinite := false
	switch c.typ {
	case FP16, BF16:
		f := c.typ.half()
		b, _ := f.Narrow(v)
		bits, infinite = uint64(b), f.Infinite(b)
	case FP32:
		bits, infinite = uint64(math.Float32bits(float32(v))), math.IsInf(float64(float32(v)), 0)
	default:
		bits, infinite = math.Float64bits(v), math.IsInf(v, 0)
	}
	if infinite && !math.IsInf(v, 0) {
		return outOfRange(c.typ)
	}
	return c.put(bits)
}

const lengths = "write the length of each element before it, in 4 bytes, little-endian"

// takeTexts reads the elements of BYTES. What is text must be UTF-8; raw bytes go on as
// base64.
func takeTexts(cols []column, t *Tensor, n int) *slipway.Error {
	rest := t.Data
	switch {
	case t.Strings != nil && len(t.Strings) != n:
		return misfit("send as many elements as the shape says", "has %d elements where %v was announced", len(t.Strings), t.Shape)
	case t.Strings == nil && n > len(rest)/4:
		return misfit(lengths, "has %d bytes, too few for %d elements", len(rest), n)
	}
	for i := range n {
		var s string
		if t.Strings != nil {
			s = t.Strings[i]
		} else {
			if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return element(i, misfit(lengths, "is longer than what is left of the data"))
			}
			size := int(binary.LittleEndian.Uint32(rest))
			s, rest = string(rest[4:4+size]), rest[4+size:]
		}
		if err := cols[i%len(cols)].bytes(s); err != nil {
			return element(i, err)
		}
	}
	if t.Strings == nil && len(rest) > 0 {
		return misfit(lengths, "has %d bytes more than its %d elements", len(rest), n)
	}
	return nil
}

// bytes appends an element of BYTES as it came, without JSON around it.
func (c *column) bytes(s string) *slipway.Error {
	if c.rules != nil && c.rules.Format == FormatBase64 {
		return c.text(base64.StdEncoding.EncodeToString(unsafe.Slice(unsafe.StringData(s), len(s))))
	}
	return c.utf8(s)
}

// utf8 appends what must be text.
func (c *column) utf8(s string) *slipway.Error {
	if !utf8.ValidString(s) {
		return misfit("send text as UTF-8; a model takes raw bytes if its signature says binary", "is no UTF-8")
	}
	return c.text(s)
}

// decoded reads a JSON string that is the base64 of an element of BYTES.
func (c *column) decoded(s *scanner) *slipway.Error {
	if s.peek() != '"' {
		return c.value(s) // which says what is wrong
	}
	t, err := s.text()
	if err != nil {
		return err
	}
	if c.rules != nil && c.rules.Format == FormatBase64 {
		return c.text(string(t))
	}
	raw, wrong := base64.StdEncoding.AppendDecode(nil, t)
	if wrong != nil {
		return misfit("encode the bytes as base64 (RFC 4648)", "is no base64")
	}
	return c.bytes(string(raw))
}

// only reads a request that is the data of one tensor and nothing else: that of a model with
// one input, of which only the number of rows is free.
func (b *binder) only(body []byte) (*Batch, *slipway.Error) {
	if len(b.fields) != 1 {
		return nil, at("inputs", misfit("announce the inputs in JSON before the data", "cannot come raw: the model has %d", len(b.fields)))
	}
	f := &b.fields[0]
	width := product(f.Shape)
	if width < 0 {
		return nil, at("inputs[0].shape", misfit("announce the input in JSON before the data", "cannot be told from raw data: a row has the shape %v", f.Shape))
	}
	t := Tensor{Name: f.Name, Type: f.Type, Data: body}
	n := 0
	if f.Type != Bytes {
		n = len(body) / f.Type.Size()
	} else {
		for rest := body; len(rest) >= 4; n++ {
			size := uint64(binary.LittleEndian.Uint32(rest))
			rest = rest[min(4+size, uint64(len(rest))):]
		}
	}
	if width == 0 || n%width != 0 || n == 0 {
		return nil, at("inputs[0].data", misfit("send whole rows", "has %d elements, and a row has %d", n, width))
	}
	t.Shape = append([]int{n / width}, f.Shape...)
	if err := b.take(target{}, &t); err != nil {
		return nil, within("inputs[0]", err)
	}
	return b.batch("inputs")
}
