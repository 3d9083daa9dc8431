package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// maxToken bounds a page token, in bytes.
const maxToken = 64 << 10

// page is what a token says: which question it is of, and the last row that was given.
type page struct {
	Query []byte `json:"q"`
	Last  []any  `json:"k"`
}

// Fingerprint names a question, by everything that decides what is found and in which
// order.
func Fingerprint(question any) []byte {
	b, err := json.Marshal(question)
	if err != nil {
		panic(err) // a question is texts and numbers
	}
	sum := sha256.Sum256(b)
	return sum[:12]
}

// Token makes the token of the page after a row, given by its values of the terms.
func Token(fingerprint []byte, last []any) string {
	values := make([]any, len(last))
	for i, v := range last {
		values[i] = v
		if f, ok := v.(float64); ok { // JSON has no infinities
			values[i] = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	b, err := json.Marshal(page{fingerprint, values})
	if err != nil {
		panic(err) // texts and numbers
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Last reads a token: the values of the terms, each of its kind; nil for an empty token. It
// answers Invalid for what is no token, or one of another question.
func Last(token string, fingerprint []byte, terms []Term) ([]any, error) {
	if token == "" {
		return nil, nil
	}
	if len(token) > maxToken {
		return nil, invalid("Invalid page token, it is too long")
	}
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, invalid("Invalid page token, could not base64-decode")
	}
	var p page
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&p); err != nil {
		return nil, invalid("Invalid page token, decoded value=%s", short(string(b)))
	}
	if !bytes.Equal(p.Query, fingerprint) {
		return nil, invalid("Invalid page token, it is of another query")
	}
	out := make([]any, len(p.Last))
	ok := len(p.Last) == len(terms)
	for i := 0; ok && i < len(terms); i++ {
		out[i], ok = ofKind(p.Last[i], terms[i].Kind)
	}
	if !ok {
		return nil, invalid("Invalid page token, parsed value=%s", short(string(b)))
	}
	return out, nil
}

func ofKind(v any, kind Kind) (any, bool) {
	switch kind {
	case Int:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		i, err := n.Int64()
		return i, err == nil
	case Float:
		s, ok := v.(string)
		if !ok {
			return nil, false
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	s, ok := v.(string)
	return s, ok
}
