package query

import (
	"slices"
)

// OrderBy reads the terms of an order, each a key and perhaps ASC or DESC.
func (g *Grammar) OrderBy(terms []string) ([]Order, error) {
	if len(terms) > maxOrders {
		return nil, invalid("`order_by` has more than %d terms", maxOrders)
	}
	var out []Order
	for _, s := range terms {
		o, err := g.term(s)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(x Order) bool { return x.Entity == o.Entity && x.Key == o.Key }) {
			return nil, invalid("`order_by` contains duplicate fields: [%s]", short(python(terms)))
		}
		out = append(out, o)
	}
	return out, nil
}

func (g *Grammar) term(s string) (Order, error) {
	unreadable := invalid("Invalid order_by clause '%s'. Could not be parsed.", short(s))
	if len(s) > maxOrder {
		return Order{}, unreadable
	}
	l := lexer{in: s}
	key, direction, after := l.next(), l.next(), l.next()
	if key.kind != name || direction.kind != end && direction.kind != name || after.kind != end {
		return Order{}, unreadable
	}
	o := Order{}
	switch {
	case direction.kind == end || direction.is("ASC"):
	case direction.is("DESC"):
		o.Desc = true
	default:
		return o, invalid("Invalid ordering key in order_by clause '%s'.", short(s))
	}
	f, err := g.sorted(key)
	o.Entity, o.Key = f.entity, f.key
	return o, err
}

// sorted finds what a name stands for in an order.
func (g *Grammar) sorted(t token) (field, error) {
	entity, key, err := g.split(t)
	if err != nil {
		return field{}, err
	}
	f, ok := g.sorts[key]
	switch {
	case entity == Attribute && ok:
		return f, nil
	case entity == Attribute && g.unsorted != "":
		return f, invalid(g.unsorted, short(key))
	case entity == Attribute:
		return f, invalid("Invalid attribute key '%s' specified. Valid keys are '{%s}'", short(key), spellings(g.sorts))
	case !slices.Contains(g.sortable, entity):
		return f, invalid(g.unsortby, entity)
	}
	return g.free(entity, key)
}
