package lightgbm

import (
	"fmt"
	"math"
)

// line is the model of one linear leaf: a constant and terms.
type line struct {
	constant float64
	from, to uint32 // in Model.terms
}

type term struct {
	feature uint32
	factor  float64
}

// addTerms keeps the linear models of a tree's leaves and answers where they begin.
func (m *Model) addTerms(t *rawTree) (first uint32) {
	first = uint32(len(m.models))
	if !t.linear {
		return first
	}
	at := 0
	for i, n := range t.terms {
		from := uint32(len(m.terms))
		for j := at; j < at+int(n); j++ {
			m.terms = append(m.terms, term{uint32(t.termFeature[j]), t.termFactor[j]})
		}
		at += int(n)
		m.models = append(m.models, line{t.constant[i], from, uint32(len(m.terms))})
	}
	return first
}

// checkTerms holds the features of the terms.
func (m *Model) checkTerms() error {
	for _, x := range m.terms {
		if int(x.feature) >= m.features {
			return fmt.Errorf("leaf_features: the feature %d of %d", x.feature, m.features)
		}
	}
	return nil
}

// lineOf is the answer of a linear leaf: that of an ordinary leaf where a feature of its
// terms is missing (Tree::Predict in LightGBM's tree.h). The conversion keeps a processor
// from rounding product and sum together.
func (m *Model) lineOf(place uint32, row []float64) float64 {
	l := m.models[m.lines[place]]
	sum := l.constant
	for _, x := range m.terms[l.from:l.to] {
		v := row[x.feature]
		if v != v {
			return m.values[place]
		}
		if math.Abs(v) > tiny {
			sum += float64(x.factor * v)
		}
	}
	return sum
}
