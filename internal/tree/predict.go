package tree

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// Margins sums the leaves of each row: rows holds nrows·NumFeature values, row-major, NaN
// for missing; out has room for nrows·Groups and gets the groups of a row side by side.
// The sums are taken in single precision in the order of the library, beginning with the
// base score. It allocates nothing. It answers Unprocessable for an infinite value, as the
// library refuses it, and Invalid for slices of other sizes.
func (m *Model) Margins(rows []float32, nrows int, out []float32) error {
	if nrows < 0 || len(rows) != nrows*m.features || len(out) < nrows*m.groups {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give rows of the model's features and room for its groups",
			"%d values are not %d rows of %d features", len(rows), nrows, m.features)
	}
	for _, x := range rows {
		if x-x != 0 && x == x {
			return slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, "give finite values, or none where a value is missing",
				"a value is infinite or too large for single precision")
		}
	}
	out = out[:nrows*m.groups]
	if m.linear != nil {
		m.sumLinear(rows, nrows, out)
	} else {
		m.sum(rows, nrows, out)
	}
	return nil
}

// Predict is Margins followed by the objective's transform, as the library's predict is.
// Out has room for nrows·Groups values; the answer is its first nrows·Width.
func (m *Model) Predict(rows []float32, nrows int, out []float32) ([]float32, error) {
	if err := m.Margins(rows, nrows, out); err != nil {
		return nil, err
	}
	return m.objective.out.transform(out[:nrows*m.groups], nrows, m.groups), nil
}

// sum fills out with the margins of rows.
func (m *Model) sum(rows []float32, nrows int, out []float32) {
	for i := range out {
		out[i] = m.base[i%m.groups]
	}
	s := m.pool.Get().(*flat.Scratch)
	flat.Walk(&m.forest, flat.Singles{Forest: &m.forest, Rows: rows, Features: m.features}, nrows, s,
		func(tree, first int, leaves []uint32) { m.add(m.groupOf[tree], leaves, out[first*m.groups:]) })
	m.pool.Put(s)
}

// add adds the leaves that rows reach in a tree.
func (m *Model) add(group uint32, leaves []uint32, out []float32) {
	switch {
	case m.vectorLeaves:
		for r, place := range leaves {
			m.addVector(place, out[r*m.groups:(r+1)*m.groups])
		}
	case m.groups == 1:
		out = out[:len(leaves)]
		for r, place := range leaves {
			out[r] += m.values[place]
		}
	default:
		for r, place := range leaves {
			out[r*m.groups+int(group)] += m.values[place]
		}
	}
}

// addVector adds the vector of a leaf.
func (m *Model) addVector(place uint32, margins []float32) {
	vector := m.vectors[m.vectorOf[place]:]
	for k := range margins {
		margins[k] += vector[k]
	}
}
