package tracking

import (
	"database/sql"

	"github.com/slipway-ml/slipway/internal/query"
)

// page collects the rows of a search, one more than it has to give, and makes the token of
// the next one.
type page[T any] struct {
	terms    []query.Term
	most     int
	question []byte
	items    []T
	last     []any // of the last item that is given
}

func newPage[T any](terms []query.Term, most int, question []byte) *page[T] {
	return &page[T]{terms: terms, most: most, question: question}
}

// columns are what is selected beside an item: the terms of the order.
func (p *page[T]) columns() string {
	out := ""
	for _, t := range p.terms {
		out += ", " + t.Expr
	}
	return out
}

// scan reads a row into an item's places, and gives the values of the terms.
func (p *page[T]) scan(rows *sql.Rows, into []any) ([]any, error) {
	texts, ints, floats := make([]string, len(p.terms)), make([]int64, len(p.terms)), make([]float64, len(p.terms))
	for i, t := range p.terms {
		switch t.Kind {
		case query.Int:
			into = append(into, &ints[i])
		case query.Float:
			into = append(into, &floats[i])
		default:
			into = append(into, &texts[i])
		}
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	if len(p.items) != p.most-1 {
		return nil, nil
	}
	key := make([]any, len(p.terms))
	for i, t := range p.terms {
		switch t.Kind {
		case query.Int:
			key[i] = ints[i]
		case query.Float:
			key[i] = floats[i]
		default:
			key[i] = texts[i]
		}
	}
	return key, nil
}

func (p *page[T]) add(item T, key []any) {
	if p.items = append(p.items, item); len(p.items) == p.most {
		p.last = key
	}
}

// done gives the items and the token of the next page.
func (p *page[T]) done() ([]T, string) {
	if len(p.items) <= p.most {
		return p.items, ""
	}
	return p.items[:p.most], query.Token(p.question, p.last)
}
