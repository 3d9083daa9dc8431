package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ubjson reads Universal Binary JSON, draft 12 (https://ubjson.org), in the part of it
// that XGBoost writes: objects without a count, arrays with or without one, and typed
// arrays of numbers of a fixed size. Numbers are big-endian. Every length is held against
// the bytes that are left before anything is done with it.
type ubjson struct {
	b     []byte
	pos   int
	depth int
}

var errShort = errors.New("the file ends early")

func (u *ubjson) take(n int) ([]byte, error) {
	if n < 0 || n > len(u.b)-u.pos {
		return nil, errShort
	}
	b := u.b[u.pos : u.pos+n]
	u.pos += n
	return b, nil
}

func (u *ubjson) marker() (byte, error) {
	b, err := u.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// peek is the next byte, or 0 at the end of the file.
func (u *ubjson) peek() byte {
	if u.pos < len(u.b) {
		return u.b[u.pos]
	}
	return 0
}

func (u *ubjson) expect(want byte) error {
	got, err := u.marker()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("found marker %q instead of %q", got, want)
	}
	return nil
}

// width is the size in bytes of a number of the given marker, or 0.
func width(marker byte) int {
	switch marker {
	case 'i', 'U':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	default:
		return 0
	}
}

// number reads the payload of a number.
func (u *ubjson) number(marker byte) (float64, error) {
	b, err := u.take(width(marker))
	if err != nil {
		return 0, err
	}
	switch marker {
	case 'T':
		return 1, nil
	case 'F':
		return 0, nil
	case 'i':
		return float64(int8(b[0])), nil
	case 'U':
		return float64(b[0]), nil
	case 'I':
		return float64(int16(binary.BigEndian.Uint16(b))), nil
	case 'l':
		return float64(int32(binary.BigEndian.Uint32(b))), nil
	case 'L':
		return float64(int64(binary.BigEndian.Uint64(b))), nil
	case 'd':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
	case 'D':
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	default:
		return 0, fmt.Errorf("found marker %q instead of a number", marker)
	}
}

// length reads a length and checks that as many elements of the given size can follow.
func (u *ubjson) length(size int) (int, error) {
	m, err := u.marker()
	if err != nil {
		return 0, err
	}
	if m == 'd' || m == 'D' || width(m) == 0 {
		return 0, fmt.Errorf("found marker %q instead of a length", m)
	}
	n, err := u.number(m)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > float64((len(u.b)-u.pos)/size) {
		return 0, fmt.Errorf("a length of %.0f is beyond the end of the file", n)
	}
	return int(n), nil
}

func (u *ubjson) bytes() ([]byte, error) {
	n, err := u.length(1)
	if err != nil {
		return nil, err
	}
	return u.take(n)
}

func (u *ubjson) down() error {
	if u.depth++; u.depth > maxDepth {
		return errDepth
	}
	return nil
}

func (u *ubjson) object(visit func(string) error) error {
	if err := u.expect('{'); err != nil {
		return err
	}
	if err := u.down(); err != nil {
		return err
	}
	for u.peek() != '}' {
		key, err := u.bytes()
		if err != nil {
			return err
		}
		if err := visit(string(key)); err != nil {
			return err
		}
	}
	u.pos++
	u.depth--
	return nil
}

// open reads the head of an array: the type of its elements, 0 if each says its own, and
// their number, -1 if a closing bracket ends it.
func (u *ubjson) open() (kind byte, n int, err error) {
	if err := u.expect('['); err != nil {
		return 0, 0, err
	}
	if err := u.down(); err != nil {
		return 0, 0, err
	}
	size := 1 // an untyped element has at least its marker
	if u.peek() == '$' {
		u.pos++
		if kind, err = u.marker(); err != nil {
			return 0, 0, err
		}
		if size = width(kind); size == 0 {
			return 0, 0, fmt.Errorf("typed array of %q: only numbers are supported", kind)
		}
		if u.peek() != '#' {
			return 0, 0, errors.New("a typed array without a length")
		}
	}
	if u.peek() != '#' {
		return 0, -1, nil
	}
	u.pos++
	n, err = u.length(size)
	return kind, n, err
}

// more says whether an array of n elements, i of them read, goes on, and closes it if not.
func (u *ubjson) more(i, n int) bool {
	if n < 0 && u.peek() != ']' || i < n {
		return true
	}
	if n < 0 {
		u.pos++
	}
	u.depth--
	return false
}

func (u *ubjson) array(visit func() error) error {
	kind, n, err := u.open()
	if err != nil {
		return err
	}
	if kind != 0 && n > 0 {
		return errors.New("found numbers in an array of other things")
	}
	for i := 0; u.more(i, n); i++ {
		if err := visit(); err != nil {
			return err
		}
	}
	return nil
}

func (u *ubjson) numbers(_ int, visit func(float64) error) error {
	kind, n, err := u.open()
	if err != nil {
		return err
	}
	for i := 0; u.more(i, n); i++ {
		m := kind
		if m == 0 {
			if m, err = u.marker(); err != nil {
				return err
			}
		}
		v, err := u.number(m)
		if err != nil {
			return err
		}
		if err := visit(v); err != nil {
			return err
		}
	}
	return nil
}

func (u *ubjson) text() (string, error) {
	if err := u.expect('S'); err != nil {
		return "", err
	}
	b, err := u.bytes()
	return string(b), err
}

func (u *ubjson) skip() error {
	switch m := u.peek(); m {
	case '{':
		return u.object(func(string) error { return u.skip() })
	case '[':
		return u.skipArray()
	case 'S':
		_, err := u.text()
		return err
	case 'T', 'F', 'Z':
		u.pos++
		return nil
	default:
		if width(m) == 0 && u.pos < len(u.b) {
			return fmt.Errorf("unknown marker %q", m)
		}
		_, err := u.take(1 + width(m))
		return err
	}
}

func (u *ubjson) skipArray() error {
	kind, n, err := u.open()
	if err != nil {
		return err
	}
	if kind != 0 {
		u.depth--
		_, err := u.take(n * width(kind))
		return err
	}
	for i := 0; u.more(i, n); i++ {
		if err := u.skip(); err != nil {
			return err
		}
	}
	return nil
}

// end fails if anything follows the document.
func (u *ubjson) end() error {
	if u.pos != len(u.b) {
		return errors.New("bytes follow the model")
	}
	return nil
}
