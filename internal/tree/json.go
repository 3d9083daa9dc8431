package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// jsonText reads JSON (RFC 8259), and the NaN that XGBoost writes where a value has no
// meaning, such as the condition of a categorical split. Its Infinity is refused.
type jsonText struct {
	dec   *json.Decoder
	depth int
}

func newJSON(b []byte) *jsonText {
	dec := json.NewDecoder(bytes.NewReader(quoteNaN(b)))
	dec.UseNumber()
	return &jsonText{dec: dec}
}

// quotedNaN is a NaN in a text of encoding/json, which has no other place for it.
const quotedNaN = "N"

// quoteNaN replaces every NaN outside of strings by a string of the same length.
func quoteNaN(b []byte) []byte {
	nan := []byte("NaN")
	if !bytes.Contains(b, nan) {
		return b
	}
	out, inside := bytes.Clone(b), false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '"':
			inside = !inside
		case inside && b[i] == '\\':
			i++
		case !inside && bytes.HasPrefix(b[i:], nan):
			copy(out[i:], `"`+quotedNaN+`"`)
		}
	}
	return out
}

func (j *jsonText) token() (json.Token, error) {
	t, err := j.dec.Token()
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errShort
	case err != nil:
		return nil, fmt.Errorf("no JSON at byte %d", j.dec.InputOffset())
	}
	if d, ok := t.(json.Delim); ok {
		if d == '{' || d == '[' {
			j.depth++
		} else {
			j.depth--
		}
		if j.depth > maxDepth {
			return nil, errDepth
		}
	}
	return t, nil
}

func (j *jsonText) expect(want json.Delim) error {
	t, err := j.token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("found something else instead of %q", want)
	}
	return nil
}

func (j *jsonText) object(visit func(string) error) error {
	if err := j.expect('{'); err != nil {
		return err
	}
	for j.dec.More() {
		key, err := j.text()
		if err != nil {
			return err
		}
		if err := visit(key); err != nil {
			return err
		}
	}
	return j.expect('}')
}

func (j *jsonText) array(visit func() error) error {
	if err := j.expect('['); err != nil {
		return err
	}
	for j.dec.More() {
		if err := visit(); err != nil {
			return err
		}
	}
	return j.expect(']')
}

func (j *jsonText) numbers(bits int, visit func(float64) error) error {
	return j.array(func() error {
		t, err := j.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case bool:
			if t {
				return visit(1)
			}
			return visit(0)
		case json.Number:
			v, err := strconv.ParseFloat(t.String(), bits)
			if err != nil {
				return errors.New("a number is out of range")
			}
			return visit(v)
		case string:
			if t == quotedNaN {
				return visit(math.NaN())
			}
		}
		return errors.New("found something else instead of a number")
	})
}

func (j *jsonText) text() (string, error) {
	t, err := j.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.New("found something else instead of a string")
	}
	return s, nil
}

func (j *jsonText) skip() error {
	outside := j.depth
	for {
		if _, err := j.token(); err != nil {
			return err
		}
		if j.depth <= outside {
			return nil
		}
	}
}

// end fails if anything follows the document.
func (j *jsonText) end() error {
	if _, err := j.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow the model")
	}
	return nil
}
