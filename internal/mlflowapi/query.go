package mlflowapi

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// tagName is the name of a field in JSON.
func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// ofQuery makes the JSON of a message of a query, in which everything is text.
func (m *message) ofQuery(q url.Values) ([]byte, error) {
	out := []byte{'{'}
	for i := range m.fields {
		f := &m.fields[i]
		values := q[f.name]
		if len(values) == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(append(out, f.name...), '"', ':')
		if !f.repeated {
			value, err := f.ofText(values[0])
			if err != nil {
				return nil, err
			}
			out = append(out, value...)
			continue
		}
		out = append(out, '[')
		for n, text := range values {
			value, err := f.ofText(text)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				out = append(out, ',')
			}
			out = append(out, value...)
		}
		out = append(out, ']')
	}
	return append(out, '}'), nil
}

func (f *field) ofText(text string) ([]byte, error) {
	if f.quoted {
		return json.Marshal(text, lenient)
	}
	switch low := strings.ToLower(text); low {
	case "true", "false":
		return []byte(low), nil
	default:
		return nil, Invalid("Invalid boolean value: %s, must be 'true' or 'false'.", clip(text))
	}
}

// misfit is the error of a value of another type than its field's, in MLflow's words.
func misfit(body jsontext.Value, at jsontext.Pointer) error {
	name := nameOf(at)
	value := find(body, at)
	if len(value) == 0 || name == "" {
		return Invalid("The body of the request does not fit: it must be a JSON object with the fields of the message.")
	}
	_ = value.Compact() // it was read before
	return Invalid("Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'. See the API docs for more information about request parameters.",
		clip(string(value)), name, pythonType(value))
}

// nameOf is a pointer into JSON as MLflow writes it: metrics[0].key.
func nameOf(at jsontext.Pointer) string {
	var b strings.Builder
	for token := range at.Tokens() {
		switch _, err := strconv.Atoi(token); {
		case err == nil && b.Len() > 0:
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return clip(b.String())
}

// find is the value that a pointer leads to, or nothing.
func find(body jsontext.Value, at jsontext.Pointer) jsontext.Value {
	d := jsontext.NewDecoder(strings.NewReader(string(body)), lenient)
	for token := range at.Tokens() {
		start, err := d.ReadToken()
		if err != nil {
			return nil
		}
		switch start.Kind() {
		case '{':
			for d.PeekKind() == '"' {
				name, err := d.ReadToken()
				if err != nil {
					return nil
				}
				if name.String() == token {
					break
				}
				if d.SkipValue() != nil {
					return nil
				}
			}
		case '[':
			index, _ := strconv.Atoi(token)
			for range index {
				if d.SkipValue() != nil {
					return nil
				}
			}
		}
	}
	v, err := d.ReadValue()
	if err != nil {
		return nil
	}
	return v.Clone()
}

// pythonType is what Python calls the type of a value, as MLflow's messages do.
func pythonType(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return "str"
	case '0':
		if strings.ContainsAny(string(v), ".eE") {
			return "float"
		}
		return "int"
	case 't', 'f':
		return "bool"
	case '{':
		return "dict"
	case '[':
		return "list"
	default:
		return "NoneType"
	}
}
