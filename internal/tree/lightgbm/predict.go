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
	s := m.pool.Get().(*scratch)
	for from := 0; from < nrows; {
		n := flat.Next(nrows - from)
		block, sums := rows[from*m.features:(from+n)*m.features], out[from*m.groups:(from+n)*m.groups]
		m.forest.FillRanks(block, m.features, n, m.cuts, s.keys)
		if n == 1 {
			m.sumRow(s, block, sums)
		} else {
			m.sumRows(s, block, n, sums)
		}
		from += n
	}
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

// sumRows adds the leaves that n rows reach.
func (m *Model) sumRows(s *scratch, rows []float64, n int, sums []float64) {
	group := 0
	for t := range m.forest.Trees() {
		m.forest.Rows(t, s.keys, n, &s.leaves)
		if m.linear[t] {
			for r, place := range s.leaves[:n] {
				sums[r*m.groups+group] += m.lineOf(place, rows[r*m.features:(r+1)*m.features])
			}
		} else {
			for r, place := range s.leaves[:n] {
				sums[r*m.groups+group] += m.values[place]
			}
		}
		if group++; group == m.groups {
			group = 0
		}
	}
}

// sumRow adds the leaves that one row reaches.
func (m *Model) sumRow(s *scratch, row, sums []float64) {
	group, trees := 0, m.forest.Trees()
	for from := 0; from < trees; {
		n := m.forest.Row(from, s.keys, &s.leaves)
		for i, place := range s.leaves[:n] {
			if m.linear[from+i] {
				sums[group] += m.lineOf(place, row)
			} else {
				sums[group] += m.values[place]
			}
			if group++; group == m.groups {
				group = 0
			}
		}
		from += n
	}
}
