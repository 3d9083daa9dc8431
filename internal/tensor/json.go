package tensor

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/slipway-ml/slipway"
)

// maxDepth bounds the nesting of JSON values.
const maxDepth = 64

// scanner reads JSON (RFC 8259) from memory, strictly: no trailing commas, no duplicate
// meaning, no NaN. encoding/json would cost more than the prediction does.
type scanner struct {
	b     []byte
	at    int
	depth int
}

func malformed(at int) *slipway.Error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "send JSON (RFC 8259); NaN is written null",
		"no valid JSON at byte %d", at)
}

func (s *scanner) malformed() *slipway.Error { return malformed(s.at) }

// peek gives the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.b) {
		switch c := s.b[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take reads the byte c.
func (s *scanner) take(c byte) *slipway.Error {
	if s.peek() != c {
		return s.malformed()
	}
	s.at++
	return nil
}

// open reads the start of an array or object.
func (s *scanner) open(c byte) *slipway.Error {
	if s.depth++; s.depth > maxDepth {
		return slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "send flatter JSON", "nested deeper than %d levels at byte %d", maxDepth, s.at)
	}
	return s.take(c)
}

// more is asked before each element: it tells whether there is one, reads the comma
// between two and the closing byte after the last.
func (s *scanner) more(first bool, closing byte) (bool, *slipway.Error) {
	c := s.peek()
	if c == closing {
		s.at++
		s.depth--
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, s.malformed()
	}
	s.at++
	if s.peek() == closing {
		return false, s.malformed()
	}
	return true, nil
}

// object calls member for each member, with its key. The key is valid until the next.
func (s *scanner) object(member func(key []byte) *slipway.Error) *slipway.Error {
	if err := s.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		ok, err := s.more(first, '}')
		if !ok || err != nil {
			return err
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
}

// array calls element for each element, with its index.
func (s *scanner) array(element func(i int) *slipway.Error) *slipway.Error {
	if err := s.open('['); err != nil {
		return err
	}
	for i := 0; ; i++ {
		ok, err := s.more(i == 0, ']')
		if !ok || err != nil {
			return err
		}
		if err := element(i); err != nil {
			return err
		}
	}
}

// skip reads a value of any kind.
func (s *scanner) skip() *slipway.Error {
	switch s.peek() {
	case '{':
		return s.object(func([]byte) *slipway.Error { return s.skip() })
	case '[':
		return s.array(func(int) *slipway.Error { return s.skip() })
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, _, err := s.number()
		return err
	}
}

// null reads null, if that is what follows.
func (s *scanner) null() bool { return s.peek() == 'n' && s.word("null") == nil }

func (s *scanner) word(w string) *slipway.Error {
	if len(s.b)-s.at < len(w) || string(s.b[s.at:s.at+len(w)]) != w {
		return s.malformed()
	}
	s.at += len(w)
	return nil
}

// end holds that nothing follows.
func (s *scanner) end() *slipway.Error {
	if s.peek(); s.at != len(s.b) {
		return s.malformed()
	}
	return nil
}

// number reads a number and gives its text; whole is one without fraction and exponent.
func (s *scanner) number() (text string, whole bool, _ *slipway.Error) {
	s.peek()
	b, start, at := s.b, s.at, s.at
	digits := func() int {
		from := at
		for at < len(b) && b[at]-'0' <= 9 {
			at++
		}
		return at - from
	}
	if at < len(b) && b[at] == '-' {
		at++
	}
	lead := at
	if n := digits(); n == 0 || n > 1 && b[lead] == '0' {
		return "", false, malformed(at)
	}
	whole = true
	if at < len(b) && b[at] == '.' {
		whole = false
		at++
		if digits() == 0 {
			return "", false, malformed(at)
		}
	}
	if at < len(b) && b[at]|0x20 == 'e' {
		whole = false
		at++
		if at < len(b) && (b[at] == '+' || b[at] == '-') {
			at++
		}
		if digits() == 0 {
			return "", false, malformed(at)
		}
	}
	s.at = at
	return unsafe.String(unsafe.SliceData(b[start:at]), at-start), whole, nil
}

// text reads a string. What it gives is part of the input unless the string has escapes.
func (s *scanner) text() ([]byte, *slipway.Error) {
	if err := s.take('"'); err != nil {
		return nil, err
	}
	for i := s.at; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			t := s.b[s.at:i]
			s.at = i + 1
			return t, nil
		case c == '\\' || c >= utf8.RuneSelf:
			return s.escaped(i)
		case c < ' ':
			return nil, malformed(i)
		}
	}
	return nil, malformed(len(s.b))
}

// escaped reads the rest of a string from i on, into memory of its own. Half a surrogate
// pair becomes U+FFFD; bytes that are no UTF-8 are refused.
func (s *scanner) escaped(i int) ([]byte, *slipway.Error) {
	out := append([]byte(nil), s.b[s.at:i]...)
	for i < len(s.b) {
		switch c := s.b[i]; {
		case c == '"':
			s.at = i + 1
			return out, nil
		case c < ' ':
			return nil, malformed(i)
		case c == '\\':
			r, n := unescape(s.b[i:])
			if n == 0 {
				return nil, malformed(i)
			}
			out, i = utf8.AppendRune(out, r), i+n
		case c < utf8.RuneSelf:
			out, i = append(out, c), i+1
		default:
			r, n := utf8.DecodeRune(s.b[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, malformed(i)
			}
			out, i = append(out, s.b[i:i+n]...), i+n
		}
	}
	return nil, malformed(len(s.b))
}

// unescape reads one escape sequence; n is 0 if it is none.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(b)
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if second, ok := hex4(b[6:]); ok && b[6] == '\\' {
			if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default:
		return 0, 0
	}
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		if c-'0' > 9 && (c|0x20)-'a' > 5 {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(v), err == nil
}
