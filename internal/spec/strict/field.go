// Package strict reads YAML by a table of fields: what the table does not have, a value in
// another form, and every feature of YAML that hides what is meant are refused, all at once,
// each mistake with its place and what to do.
package strict

import "strings"

// Field is one row of the table from which a file is read, its keys are suggested and the
// JSON Schema is generated. It is a value (Kind), a list (Item), a map (Each) or an object
// (Fields).
type Field struct {
	Key      string
	Doc      string
	Required bool
	Kind     *Kind
	Item     *Field
	Each     *Field // what each name of a map stands for
	Names    *Kind  // how those names are written; nil: as names of the platform
	Items    int    // most items of a list or a map
	Fields   []Field
	Short    string  // the key that a plain value in place of the object stands for
	Others   Mistake // of keys that the file has, but not this object
}

// child finds a key of an object, or gives nil.
func (f *Field) child(key string) *Field {
	for i := range f.Fields {
		if f.Fields[i].Key == key {
			return &f.Fields[i]
		}
	}
	return nil
}

// names is how the names of a map are written.
func (f *Field) names() *Kind {
	if f.Names != nil {
		return f.Names
	}
	return Name()
}

// keys lists an object's keys for a message.
func (f *Field) keys() string {
	var keys []string
	for i := range f.Fields {
		keys = append(keys, f.Fields[i].Key)
	}
	return strings.Join(keys, ", ")
}
