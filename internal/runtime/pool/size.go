package pool

import "reflect"

// Overheads of what the language makes of a map, about: its header, and the room that it
// keeps free.
const (
	mapHeader = 48
	mapSlack  = 2
)

// Size is how many bytes a value takes in memory together with all that it refers to, each
// thing counted once. What only functions and channels refer to is not found.
func Size(v any) int64 {
	m := meter{seen: map[uintptr]bool{}, flat: map[reflect.Type]bool{}}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return 0
	}
	return int64(rv.Type().Size()) + m.beyond(rv)
}

// meter walks a value. Seen has the addresses of what was counted, flat the types whose
// values refer to nothing.
type meter struct {
	seen map[uintptr]bool
	flat map[reflect.Type]bool
}

func (m *meter) first(at uintptr) bool {
	if at == 0 || m.seen[at] {
		return false
	}
	m.seen[at] = true
	return true
}

// beyond is what a value refers to, without the value itself.
func (m *meter) beyond(v reflect.Value) (n int64) {
	if m.isFlat(v.Type()) {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer:
		if m.first(v.Pointer()) {
			return int64(v.Type().Elem().Size()) + m.beyond(v.Elem())
		}
	case reflect.Interface:
		if e := v.Elem(); e.IsValid() {
			return int64(e.Type().Size()) + m.beyond(e)
		}
	case reflect.Slice:
		if !m.first(v.Pointer()) {
			return 0
		}
		return int64(v.Cap())*int64(v.Type().Elem().Size()) + m.items(v)
	case reflect.Array:
		return m.items(v)
	case reflect.Struct:
		for i := range v.NumField() {
			n += m.beyond(v.Field(i))
		}
	case reflect.Map:
		return m.entries(v)
	}
	return n
}

func (m *meter) items(v reflect.Value) (n int64) {
	if m.isFlat(v.Type().Elem()) {
		return 0
	}
	for i := range v.Len() {
		n += m.beyond(v.Index(i))
	}
	return n
}

func (m *meter) entries(v reflect.Value) int64 {
	if !m.first(v.Pointer()) {
		return 0
	}
	t := v.Type()
	n := mapHeader + int64(v.Len())*mapSlack*int64(t.Key().Size()+t.Elem().Size())
	for it := v.MapRange(); it.Next(); {
		n += m.beyond(it.Key()) + m.beyond(it.Value())
	}
	return n
}

// isFlat says whether the values of a type refer to nothing that can be counted.
func (m *meter) isFlat(t reflect.Type) bool {
	flat, known := m.flat[t]
	if known {
		return flat
	}
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
	case reflect.Array:
		flat = m.isFlat(t.Elem())
	case reflect.Struct:
		flat = true
		for i := range t.NumField() {
			flat = m.isFlat(t.Field(i).Type) && flat
		}
	default: // numbers; and channels, functions and unsafe pointers, which are not followed
		flat = true
	}
	m.flat[t] = flat
	return flat
}
