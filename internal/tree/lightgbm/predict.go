package lightgbm

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// Predict fills out with what the library's predict answers: rows holds nrows·NumFeature
// values, row-major, NaN for missing; out has room for nrows·Width values, those of a row
// side by side. It answers Invalid for slices of other sizes.
func (m *Model) Predict(rows []float64, nrows int, out []float64) error {
	if nrows < 0 || len(rows) != nrows*m.features || len(out) != nrows*m.groups {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give rows of the model's features and room for its predictions",
			"%d values are not %d rows of %d features", len(rows), nrows, m.features)
	}
	clear(out)
	s := m.pool.Get().(*flat.Scratch)
	flat.Walk(&m.forest, flat.Doubles{Forest: &m.forest, Rows: rows, Features: m.features, Cuts: m.cuts}, nrows, s,
		func(tree, first int, leaves []uint32) {
			sums := out[first*m.groups+tree%m.groups:]
			if m.linear[tree] {
				m.addLines(leaves, rows[first*m.features:], sums)
				return
			}
			for r, place := range leaves {
				sums[r*m.groups] += m.values[place]
			}
		})
	m.pool.Put(s)
	if m.average {
		iterations := float64(m.forest.Trees() / m.groups)
		for i := range out {
			out[i] /= iterations
		}
	}
	m.objective.transform(out, m.groups)
	return nil
}

// addLines adds what the linear leaves of a tree answer for rows.
func (m *Model) addLines(leaves []uint32, rows, sums []float64) {
	for r, place := range leaves {
		sums[r*m.groups] += m.lineOf(place, rows[r*m.features:(r+1)*m.features])
	}
}
