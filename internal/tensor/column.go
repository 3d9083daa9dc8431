package tensor

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor/text"
)

// column collects the elements of one field in its declared type.
type column struct {
	typ     Type
	coerced bool  // some came in another type
	spare   bool  // it may stay away: an optional column of what has no NaN
	nulled  bool  // a spare column that misses values
	set     int32 // for records: 1 + the last row that has it
	data    []byte
	strings []string
	rules   *Field // what is declared beyond the type; nil for nothing
}

// misfit is an error without its place; whoever knows the place adds it.
func misfit(next, format string, args ...any) *slipway.Error {
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, next, format, args...)
}

// at adds the place to an error that has none; nil stays nil.
func at(field string, e *slipway.Error) *slipway.Error {
	if e == nil {
		return nil
	}
	if e.Field == "" && e.Code != slipway.CodeRequest { // malformed JSON has its byte
		e.Field = field
	}
	return e
}

// within puts the place of the whole before that of an error in a part of it.
func within(place string, e *slipway.Error) *slipway.Error {
	if e == nil || e.Code == slipway.CodeRequest {
		return e
	}
	e.Field = place + e.Field
	return e
}

// element names the place of an element in an array.
func element(i int, e *slipway.Error) *slipway.Error { return within("["+strconv.Itoa(i)+"]", e) }

func wrongKind(t Type) *slipway.Error {
	switch t {
	case Bool:
		return misfit("send true or false", "is no boolean")
	case Bytes:
		return misfit("send a JSON string", "is no string")
	case FP16, BF16, FP32, FP64:
		return misfit("send a JSON number, or null for a missing value", "is no number")
	default:
		return misfit("send a whole JSON number", "is no %s", t)
	}
}

// value reads one element. null is NaN where the type has one.
func (c *column) value(s *scanner) *slipway.Error {
	switch first := s.peek(); {
	case first == 'n':
		if err := s.word("null"); err != nil {
			return err
		}
		return c.missing()
	case first == '"':
		text, err := s.text()
		if err != nil {
			return err
		}
		if c.typ != Bytes {
			return wrongKind(c.typ)
		}
		return c.text(string(text))
	case first == 't' || first == 'f':
		word, bit := "true", byte(1)
		if first == 'f' {
			word, bit = "false", 0
		}
		if err := s.word(word); err != nil {
			return err
		}
		if c.typ != Bool {
			return wrongKind(c.typ)
		}
		c.data = append(c.data, bit)
		return c.check()
	case first == '[' || first == '{':
		if err := s.skip(); err != nil {
			return err
		}
		return wrongKind(c.typ)
	}
	text, whole, err := s.number()
	if err != nil {
		return err
	}
	return c.number(text, whole)
}

func (c *column) missing() *slipway.Error {
	switch c.typ {
	case FP16:
		c.data = append(c.data, 0, 0x7e)
	case BF16:
		c.data = append(c.data, 0xc0, 0x7f)
	case FP32:
		c.data = binary.LittleEndian.AppendUint32(c.data, math.Float32bits(float32(math.NaN())))
	case FP64:
		c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(math.NaN()))
	default:
		if !c.spare {
			return misfit("send a value", "is missing, which %s cannot be", c.typ)
		}
		c.nulled = true
		return nil
	}
	return c.check()
}

// text appends a string.
func (c *column) text(s string) *slipway.Error {
	c.strings = append(c.strings, s)
	return c.check()
}

// number appends the number that digits stand for.
func (c *column) number(digits string, whole bool) *slipway.Error {
	switch c.typ {
	case FP32:
		v, err := strconv.ParseFloat(digits, 32)
		if err != nil {
			return outOfRange(c.typ)
		}
		c.data = binary.LittleEndian.AppendUint32(c.data, math.Float32bits(float32(v)))
	case FP64:
		v, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return outOfRange(c.typ)
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(v))
	case FP16, BF16:
		bits, ok := c.typ.half().Parse(digits)
		if !ok {
			return outOfRange(c.typ)
		}
		c.data = binary.LittleEndian.AppendUint16(c.data, bits)
	case Bool, Bytes, Invalid:
		return wrongKind(c.typ)
	default:
		if !whole {
			// Data frames with missing values write whole numbers as 3.0.
			plain, ok := text.Whole(digits)
			if !ok {
				return wrongKind(c.typ)
			}
			c.coerced, digits = true, plain
		}
		return c.integer(digits)
	}
	return c.check()
}

// integer appends a whole number.
func (c *column) integer(text string) *slipway.Error {
	bits := 8 * c.typ.Size()
	var v uint64
	var err error
	if c.typ >= Uint8 {
		v, err = strconv.ParseUint(text, 10, bits)
	} else {
		var i int64
		i, err = strconv.ParseInt(text, 10, bits)
		v = uint64(i)
	}
	if err != nil {
		return outOfRange(c.typ)
	}
	return c.put(v)
}

// put appends an element that fits into the bits of the type.
func (c *column) put(v uint64) *slipway.Error {
	switch c.typ.Size() {
	case 1:
		c.data = append(c.data, byte(v))
	case 2:
		c.data = binary.LittleEndian.AppendUint16(c.data, uint16(v))
	case 4:
		c.data = binary.LittleEndian.AppendUint32(c.data, uint32(v))
	default:
		c.data = binary.LittleEndian.AppendUint64(c.data, v)
	}
	return c.check()
}

func outOfRange(t Type) *slipway.Error {
	return misfit("send a number that the type can hold", "does not fit into %s", t)
}
