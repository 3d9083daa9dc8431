package mlflowapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Limits of a request of JSON. The largest that a client may send are the inputs of a run,
// with the profiles of its data sets.
const (
	maxBody     = 32 << 20 // bytes
	readTimeout = 30 * time.Second
	useTimeout  = time.Minute // for all else
)

// lenient takes and gives text that is not UTF-8, with replacement characters: a lone half of
// a pair of code units in a parameter is no reason to lose a run.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), json.MatchCaseInsensitiveNames(true))

// JSON is a route whose request and answer are messages of MLflow's protocol buffers: structs
// whose fields have the names of the messages in their tags. Of an answer what is "omitzero"
// or "omitempty" is left out, which is what clients get of fields that are not set.
//
// Of a request, names are taken in camel case too; what is not known is passed over. With GET
// the fields are read from the query, repeated ones from repeated keys. Parameters of the path
// are fields of their name, and win. A field tagged required:"true" must be there, and not be
// "", else the answer is Invalid with MLflow's words, also in elements of a list; a pointer
// says whether a number was there. A field tagged legacy:"other" is filled from that of the
// other name, if it is empty itself.
func JSON[In, Out any](method, path string, a authz.Action, fn func(context.Context, Caller, *In) (Out, error)) Route {
	m := messageOf(reflect.TypeFor[In]())
	serve := func(w http.ResponseWriter, r *http.Request, c Caller) error {
		in := new(In)
		if err := m.read(w, r, in); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), useTimeout)
		defer cancel()
		out, err := fn(ctx, c, in)
		if err != nil {
			return err
		}
		return Answer(w, out)
	}
	return Route{Method: method, Path: path, Major: 2, Action: a, Serve: serve}
}

// Answer writes a message.
func Answer(w http.ResponseWriter, message any) error {
	body, err := json.Marshal(message, lenient)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that left
	return nil
}

// Empty is a message without fields.
type Empty struct{}

// read fills a message from a request.
func (m *message) read(w http.ResponseWriter, r *http.Request, in any) error {
	var body []byte
	var err error
	if r.Method == http.MethodGet && r.URL.RawQuery != "" {
		body, err = m.ofQuery(r.URL.Query())
	} else {
		body, err = bodyOf(w, r)
	}
	if err != nil {
		return err
	}
	bad := m.decode(body, in)
	v := reflect.ValueOf(in).Elem()
	for _, f := range m.fields {
		if value := r.PathValue(f.name); value != "" && v.Field(f.index).Kind() == reflect.String {
			v.Field(f.index).SetString(value)
		}
	}
	var syntax *jsontext.SyntacticError
	if bad != nil && !errors.As(bad, &syntax) {
		return bad
	}
	if path := m.lacks(v); path != "" {
		return missing(path, body)
	}
	return notJSON(bad)
}

func notJSON(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return Invalid("The body of the request is no JSON object: byte %d.", syntax.ByteOffset)
	}
	return err
}

// bodyOf reads a body of bounded size, in bounded time.
func bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		switch t := r.Header.Get("Content-Type"); {
		case t == "":
			return nil, Invalid("Bad Request. Content-Type header is missing.")
		case t != "application/json":
			if kind, _, err := mime.ParseMediaType(t); err != nil || kind != "application/json" {
				return nil, Invalid("Bad Request. Content-Type must be one of ['application/json'].")
			}
		}
	}
	late := time.AfterFunc(readTimeout, func() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // not every writer has deadlines
	})
	defer late.Stop()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send less at once", "the body is larger than %d bytes", maxBody)
	case err != nil:
		return nil, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Message: "the body of the request did not come whole", Next: "send it again"}
	}
	return body, nil
}

// decode reads a message. Old clients encode it twice: then it is a string of JSON.
func (m *message) decode(body []byte, in any) error {
	value := jsontext.Value(body)
	switch value.Kind() {
	case '"':
		var inner string
		if err := json.Unmarshal(value, &inner, lenient); err != nil {
			return err
		}
		value = jsontext.Value(inner)
	case 'n', jsontext.KindInvalid:
		if len(trimmed(body)) == 0 || string(trimmed(body)) == "null" {
			return nil
		}
	}
	err := json.Unmarshal(value, in, lenient)
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return misfit(value, semantic.JSONPointer)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName) {
		return Invalid("Request specifies '%s' twice; provide only one of them.", nameOf(syntax.JSONPointer))
	}
	return err
}

func trimmed(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\n' || b[n-1] == '\r' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}

// field is one of a message.
type field struct {
	name     string
	index    int
	required bool
	legacy   int // the field that it is filled from, or -1
	repeated bool
	quoted   bool     // a string, or what can be read from one
	nested   *message // of a list's elements
}

// message is what is known of a struct's type.
type message struct{ fields []field }

func messageOf(t reflect.Type) *message {
	m := &message{}
	byName := map[string]int{}
	for i := range t.NumField() {
		byName[tagName(t.Field(i))] = i
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous {
			panic(fmt.Sprintf("%v: an embedded struct would not be checked", t))
		}
		f := field{name: tagName(sf), index: i, required: sf.Tag.Get("required") == "true", legacy: -1}
		if other := sf.Tag.Get("legacy"); other != "" {
			f.legacy = byName[other]
		}
		kind := sf.Type
		if kind.Kind() == reflect.Slice {
			f.repeated, kind = true, kind.Elem()
		}
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		f.quoted = kind.Kind() != reflect.Bool
		if f.repeated && kind.Kind() == reflect.Struct {
			f.nested = messageOf(kind)
		}
		m.fields = append(m.fields, f)
	}
	return m
}

// lacks finds what is required and not there: its path, metrics[0].key, or nothing. On the way
// it fills what has an older name.
func (m *message) lacks(v reflect.Value) string {
	for i := range m.fields {
		f := &m.fields[i]
		value := v.Field(f.index)
		if f.legacy >= 0 && value.Len() == 0 {
			value.SetString(v.Field(f.legacy).String())
		}
		if f.required && absent(value) {
			return f.name
		}
		if f.nested == nil {
			continue
		}
		for n := range value.Len() {
			if path := f.nested.lacks(reflect.Indirect(value.Index(n))); path != "" {
				return fmt.Sprintf("%s[%d].%s", f.name, n, path)
			}
		}
	}
	return ""
}

func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice:
		return v.IsNil() || v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.String && v.Elem().Len() == 0
	default:
		return v.IsZero()
	}
}

// missing says in MLflow's words what is not there. Of an element of a list its older versions
// say that the list is wrong, and newer ones what is missing in it.
func missing(path string, body jsontext.Value) error {
	const docs = " See the API docs for more information about request parameters."
	list, _, nested := strings.Cut(path, "[")
	var value jsontext.Value
	if nested {
		value = find(body, jsontext.Pointer("/"+list))
	}
	if value.Compact() != nil || len(value) == 0 {
		return Invalid("Missing value for required parameter '%s'.%s", path, docs)
	}
	return Invalid("Missing value for required parameter '%s'.%s Invalid value %s for parameter '%s' supplied.", path, docs, clip(string(value)), list)
}
