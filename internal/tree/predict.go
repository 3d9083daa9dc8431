package tree

import (
	"github.com/slipway-ml/slipway"
)

// block is how many rows go through a tree before the next tree is taken: enough to keep
// its nodes in the first cache, few enough to keep the rows there too.
const block = 64

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
	for from := 0; from < nrows; from += block {
		to := min(from+block, nrows)
		m.sum(rows[from*m.features:to*m.features], to-from, out[from*m.groups:to*m.groups])
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

// child is the next node of the row that begins at an offset.
func (n *node) child(rows []float32, offset uint32) uint32 {
	x := rows[offset+n.feature&^missingRight]
	// Where x is missing, the first comparison is false.
	return n.left + one(x >= n.threshold) + one(x != x)&(n.feature>>31)
}

// one is 1 for true, in a form that needs no jump: the directions of splits are too
// irregular to be foreseen.
func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// sum fills out with the margins of n rows. Four rows walk a tree at once: their loads do
// not wait for one another.
func (m *Model) sum(rows []float32, n int, out []float32) {
	if m.linear != nil {
		m.sumLinear(rows, n, out)
		return
	}
	for i := range out {
		out[i] = m.base[i%m.groups]
	}
	if len(m.extra) > 0 {
		m.sumAny(rows, n, out)
		return
	}
	four := n &^ 3
	if four > 0 {
		for _, w := range m.walks {
			for r := 0; r < four; r += 4 {
				m.walkRows(w, rows[r*m.features:(r+4)*m.features], out[r*m.groups+int(w.group):])
			}
		}
	}
	for r := four; r < n; r++ {
		m.sumRow(rows[r*m.features:(r+1)*m.features], out[r*m.groups:(r+1)*m.groups])
	}
}

// walkRows takes four rows through one tree.
func (m *Model) walkRows(w walk, rows, out []float32) {
	nodes, f, g := m.nodes, uint32(m.features), m.groups
	a, b, c, d := w.root, w.root, w.root, w.root
	for range w.steps {
		a, b, c, d = nodes[a].child(rows, 0), nodes[b].child(rows, f), nodes[c].child(rows, 2*f), nodes[d].child(rows, 3*f)
	}
	out[0] += nodes[a].value
	out[g] += nodes[b].value
	out[2*g] += nodes[c].value
	out[3*g] += nodes[d].value
}

// sumRow takes one row through all trees, four at a time.
func (m *Model) sumRow(row, out []float32) {
	nodes, walks := m.nodes, m.walks
	for ; len(walks) >= 4; walks = walks[4:] {
		a, b, c, d := walks[0].root, walks[1].root, walks[2].root, walks[3].root
		for range max(walks[0].steps, walks[1].steps, walks[2].steps, walks[3].steps) {
			a, b, c, d = nodes[a].child(row, 0), nodes[b].child(row, 0), nodes[c].child(row, 0), nodes[d].child(row, 0)
		}
		out[walks[0].group] += nodes[a].value
		out[walks[1].group] += nodes[b].value
		out[walks[2].group] += nodes[c].value
		out[walks[3].group] += nodes[d].value
	}
	for _, w := range walks {
		a := w.root
		for range w.steps {
			a = nodes[a].child(row, 0)
		}
		out[w.group] += nodes[a].value
	}
}

// sumAny adds the trees of a model with categorical splits or vector leaves.
func (m *Model) sumAny(rows []float32, n int, out []float32) {
	f, g := m.features, m.groups
	for _, w := range m.walks {
		for r := range n {
			at := m.leafOf(w.root, rows[r*f:(r+1)*f])
			if !m.vectorLeaves {
				out[r*g+int(w.group)] += m.nodes[at].value
				continue
			}
			margins, vector := out[r*g:(r+1)*g], m.vectors[m.extra[at]:]
			for k := range margins {
				margins[k] += vector[k]
			}
		}
	}
}

// leafOf is the leaf that a row reaches.
func (m *Model) leafOf(at uint32, row []float32) uint32 {
	for {
		n := &m.nodes[at]
		if n.left == at {
			return at
		}
		x := row[n.feature&featureMask]
		switch {
		case x != x:
			at = n.left + n.feature>>31
		case n.feature&categorical != 0:
			at = n.left + m.chosen(at, x)
		default:
			at = n.left + one(x >= n.threshold)
		}
	}
}
