package onnxfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Wire types of protocol buffers (https://protobuf.dev/programming-guides/encoding/).
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// parser reads messages from a stream, without keeping them.
type parser struct {
	r    *bufio.Reader
	at   int64 // bytes read
	kept int   // bytes of texts given out
}

// field is one field of a message. Its payload, if it is of bytes, has not been read.
type field struct {
	number uint64
	wire   byte
	value  uint64 // of a varint
	length int64  // of bytes
}

func newParser(r io.Reader) *parser {
	return &parser{r: bufio.NewReaderSize(io.LimitReader(r, MaxBytes+1), 64<<10)}
}

// fields calls on for each field of a message of n bytes, or of all that is left if n is
// negative. What on leaves of a payload is passed over.
func (p *parser) fields(n int64, depth int, on func(field) error) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: messages lie %d deep in each other", ErrLimit, depth)
	}
	end := p.at + n
	for n < 0 || p.at < end {
		if n < 0 {
			if _, err := p.r.Peek(1); errors.Is(err, io.EOF) {
				if p.at > MaxBytes {
					return fmt.Errorf("%w: it is larger than %d bytes", ErrLimit, int64(MaxBytes))
				}
				return nil
			}
		}
		tag, err := p.varint()
		if err != nil {
			return err
		}
		if tag > math.MaxUint32 || tag>>3 == 0 { // of which other readers would take a part for another field
			return p.bad("a field has a number that there is not")
		}
		f := field{number: tag >> 3, wire: byte(tag & 7)}
		var skip int64
		switch f.wire {
		case wireVarint:
			f.value, err = p.varint()
		case wire64:
			skip = 8
		case wire32:
			skip = 4
		case wireBytes:
			var length uint64
			length, err = p.varint()
			if f.length = int64(min(length, MaxBytes+1)); err == nil && (f.length > MaxBytes || n >= 0 && f.length > end-p.at) {
				err = p.bad("a field is longer than what it is in")
			}
			skip = f.length
		default:
			err = p.bad("a field is of no wire type")
		}
		if err != nil {
			return err
		}
		after := p.at + skip
		if err := on(f); err != nil {
			return err
		}
		if err := p.skip(after - p.at); err != nil {
			return err
		}
	}
	if p.at != end {
		return p.bad("a message is longer than what it is in")
	}
	return nil
}

func (p *parser) bad(what string) error {
	return fmt.Errorf("%w: %s, at byte %d", ErrFormat, what, p.at)
}

// cut is the error of a file that ends early.
func (p *parser) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.bad("it is cut")
	}
	return err
}

func (p *parser) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		b, err := p.r.ReadByte()
		if err != nil {
			return 0, p.cut(err)
		}
		p.at++
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, p.bad("a number has more than 64 bits")
}

func (p *parser) skip(n int64) error {
	done, err := p.r.Discard(int(n)) // at most MaxBytes
	p.at += int64(done)
	return p.cut(err)
}

// text reads a payload that is a name.
func (p *parser) text(n int64) (string, error) {
	if n > maxName || p.kept+int(n) > maxKept {
		return "", fmt.Errorf("%w: its names are too long, or too many", ErrLimit)
	}
	p.kept += int(n)
	b := make([]byte, n)
	got, err := io.ReadFull(p.r, b)
	if p.at += int64(got); err == nil && !utf8.Valid(b) {
		err = p.bad("a name is no UTF-8")
	}
	return string(b), p.cut(err)
}
