package query

import (
	"maps"
	"slices"
	"strings"
)

// Grammar says what one search may be asked.
type Grammar struct {
	entities map[string]Entity // by every spelling
	unknown  string            // the message for another one
	keys     map[string]field  // attributes that may be compared, by every spelling
	sorts    map[string]field  // attributes that may be ordered by
	unsorted string            // the message for another one; empty: as for keys
	sortable []Entity          // what else may be ordered by
	unsortby string            // the message for another one
	datasets []string          // keys of data sets
	ops      map[Entity][]Op   // those of texts; numbers have all that numbers can have
	nulls    string            // what IS NULL is for, for a message
	lists    []string          // attributes that take a list; nil: all that are texts
	messages map[problem]string
	bare     bool // texts may be numbers without quotes
	whole    bool // numbers must be whole
}

// field is a key as a grammar knows it.
type field struct {
	entity Entity
	key    string
	kind   Kind
}

type problem int

const (
	unreadable problem = iota // %s: from where on
	several                   // %s: the filter
)

func (g *Grammar) message(p problem, s string) error {
	if m := g.messages[p]; m != "" {
		return invalid(m, python(short(s)))
	}
	if p == several {
		return invalid("Search filter contained multiple expression %s. Provide AND-ed expression list.", python(short(s)))
	}
	return invalid("Invalid clause(s) in filter string: %s", python(short(s)))
}

// field finds what a name stands for in a comparison.
func (g *Grammar) field(t token) (field, error) {
	entity, key, err := g.split(t)
	if err != nil {
		return field{}, err
	}
	if f, ok := g.keys[key]; ok && entity == Attribute {
		return f, nil
	} else if entity == Attribute {
		return f, invalid("Invalid attribute key '%s' specified. Valid keys are '{%s}'", short(key), spellings(g.keys))
	}
	return g.free(entity, key)
}

// split gives the entity and the key of a name, which without a dot is an attribute.
func (g *Grammar) split(t token) (Entity, string, error) {
	if len(t.parts) == 1 {
		return Attribute, t.parts[0], nil
	}
	entity, ok := g.entities[t.parts[0]]
	if !ok || t.quotes[0] == '"' {
		return "", "", invalid(g.unknown, short(t.parts[0]))
	}
	key := t.parts[1]
	if len(t.parts) > 2 { // dots are part of a key that is not quoted
		_, key, _ = strings.Cut(t.raw, ".")
	}
	return entity, key, nil
}

// free is a key of an entity in which users choose the keys.
func (g *Grammar) free(entity Entity, key string) (field, error) {
	if entity == Metric {
		return field{Metric, key, Float}, nil
	}
	if entity == Dataset && !slices.Contains(g.datasets, key) {
		return field{}, invalid("Invalid dataset key '%s' specified. Valid keys are '{%s}'", short(key), python(g.datasets))
	}
	return field{entity, key, Text}, nil
}

// spellings lists keys for a message.
func spellings(keys map[string]field) string { return python(slices.Sorted(maps.Keys(keys))) }

var numeric = []Op{Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual}

// comparable refuses an operator that a field does not have.
func (g *Grammar) comparable(f field, op Op) error {
	valid := numeric
	if f.kind == Text {
		valid = g.ops[f.entity]
	}
	if slices.Contains(valid, op) {
		return nil
	}
	words := make([]string, len(valid))
	for i, o := range valid {
		words[i] = string(o)
	}
	return invalid("Invalid comparator '%s' not one of '{%s}'", short(string(op)), python(words))
}

func (g *Grammar) nullable(f field) error {
	if slices.Contains(g.ops[f.entity], IsNull) && f.kind == Text {
		return nil
	}
	return invalid("IS NULL / IS NOT NULL is only supported for %s, not for '%s' '%s'", g.nulls, f.entity, short(f.key))
}

// listable refuses a list where there can be none.
func (g *Grammar) listable(f field, rest string) error {
	switch {
	case f.kind != Text && f.entity == Metric:
		return invalid("Expected numeric value type for metric. Found %s", short(rest))
	case f.kind != Text:
		return invalid("Expected numeric value type for numeric attribute: %s. Found %s", f.key, short(rest))
	case f.entity == Dataset || f.entity == Attribute && (g.lists == nil || slices.Contains(g.lists, f.key)):
		return nil
	case f.entity == Attribute:
		return invalid("Only [%s] attributes support comparison with a list of quoted string values.", python(g.lists))
	case slices.Contains(g.ops[f.entity], In):
		return nil
	}
	return g.wantsText(f, rest)
}

func (g *Grammar) wantsText(f field, got string) error {
	switch f.entity {
	case Attribute:
		return invalid("Expected a quoted string value for attributes. Got value %s", short(got))
	case Dataset:
		return invalid("Expected a quoted string value for dataset attributes. Got value %s", short(got))
	}
	return invalid("Expected a quoted string value for %s (e.g. 'my-value'). Got value %s", f.entity, short(got))
}
