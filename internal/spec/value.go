package spec

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Value is one value of the record. The items of metrics, slices and training data go by
// what they are, "validation.metrics[roc_auc].min", which is no value beside; lists whose
// order says nothing are sorted. Two records say the same when their values are equal.
type Value struct {
	Path   string
	Text   string // as the record has it, a text without quotes
	Origin string // see Spec.Origin; empty for what every file has
}

// Values lists what Canonical writes, in its order.
func (s *Spec) Values() []Value {
	w := walk{origin: s.Origin}
	w.visit(bytes.TrimSpace(s.Canonical()), "", "", nil)
	return w.values
}

// walk goes through a record; place is the path by which values have an origin.
type walk struct {
	origin map[string]string
	values []Value
}

// visit notes the values below a path; those of the keys in known are in the path.
func (w *walk) visit(raw json.RawMessage, place, path string, known []string) {
	switch raw[0] {
	case '{':
		d := json.NewDecoder(bytes.NewReader(raw))
		decoded(d.Token())
		for d.More() {
			key, _ := decoded(d.Token()).(string)
			var value json.RawMessage
			decoded(0, d.Decode(&value))
			if !slices.Contains(known, key) {
				w.visit(value, strict.Join(place, key), strict.Join(path, key), nil)
			}
		}
	case '[':
		var items []json.RawMessage
		decoded(0, json.Unmarshal(raw, &items))
		if items[0][0] != '{' {
			w.add(listed(path, raw, items), strict.Index(place, 0), path)
			return
		}
		for i, item := range items {
			at, known := identified(path, i, item)
			w.visit(item, strict.Index(place, i), at, known)
		}
	default:
		w.add(plain(raw), place, path)
	}
}

// add notes a value with the origin of its place, or of the nearest above it.
func (w *walk) add(text, place, path string) {
	v := Value{Path: path, Text: text}
	for ; place != "" && v.Origin == ""; place = strict.Parent(place) {
		v.Origin = w.origin[place]
	}
	w.values = append(w.values, v)
}

// listed prints a list of texts: arguments in their order, names sorted.
func listed(path string, raw json.RawMessage, items []json.RawMessage) string {
	if path == "model.command" {
		return string(raw)
	}
	var texts []string
	for _, item := range items {
		texts = append(texts, plain(item))
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// identified is the path of an item of a list of objects, and the keys by which it goes.
func identified(path string, i int, item json.RawMessage) (at string, known []string) {
	var keys struct{ Name, By, Metric, URI string }
	decoded(0, json.Unmarshal(item, &keys))
	switch path {
	case "validation.metrics":
		return path + "[" + keys.Name + "]", []string{"name"}
	case "validation.slices":
		return path + "[" + keys.Metric + " by " + keys.By + "]", []string{"metric", "by"}
	case "data.training":
		return path + "[" + keys.URI + "]", []string{"uri"}
	}
	return strict.Index(path, i), nil
}

// plain prints a scalar.
func plain(raw json.RawMessage) string {
	if raw[0] != '"' {
		return string(raw)
	}
	var text string
	decoded(0, json.Unmarshal(raw, &text))
	return text
}

// decoded is a part of a record that Canonical wrote itself, which always decodes.
func decoded[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
