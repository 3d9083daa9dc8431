package tree

import (
	"fmt"
)

// readLinear takes the weights of a gblinear model. The library adds the first base score
// to every group (PredictBatchInternal in XGBoost's src/gbm/gblinear.cc).
func (m *Model) readLinear(d *document) error {
	if want := (m.features + 1) * m.groups; len(d.linear) != want {
		return fmt.Errorf("weights: %d numbers for %d features and a bias in %d groups", len(d.linear), m.features, m.groups)
	}
	for i, w := range d.linear {
		if w-w != 0 {
			return fmt.Errorf("weights[%d]: not finite", i)
		}
	}
	m.linear = d.linear
	for i := range m.base {
		m.base[i] = m.base[0]
	}
	return nil
}

// sumLinear fills out with the margins of n rows: bias and base score, then each value that
// is not missing times its weight. The conversion keeps a processor from rounding product
// and sum together.
func (m *Model) sumLinear(rows []float32, n int, out []float32) {
	g, f := m.groups, m.features
	bias := m.linear[f*g:]
	for r := range n {
		row, margins := rows[r*f:(r+1)*f], out[r*g:(r+1)*g]
		for k := range margins {
			margins[k] = bias[k] + m.base[k]
		}
		for i, x := range row {
			if x != x {
				continue
			}
			for k, w := range m.linear[i*g : (i+1)*g] {
				margins[k] += float32(x * w)
			}
		}
	}
}
