package eprocess

import (
	"math"
	"slices"
)

// MaxStarts bounds the start times of a Mixture, and with them its memory.
const MaxStarts = 64

// Mixture is a Test started again in every epoch, all of them together at the price of
// one: a long healthy past delays the discovery of a late regression by little. With
// M_h started in epoch h = 1, 2, …, t,
//
//	E = sum_h w_h M_h + (1 - sum_h w_h),   w_h = 1/(h(h+1))
//
// After MaxStarts epochs no more tests are started.
type Mixture struct {
	bets
	starts  [][]float64 // logarithms of the bets, by start
	scratch []float64
	terms   []float64
}

// NewMixture takes the arguments of NewTest.
func NewMixture(null Null, lambdas []float64, limit float64) *Mixture {
	return &Mixture{bets: newBets(null, lambdas, limit)}
}

// Apply adds one bucket, all of whose events are known and which lies in the epoch, the
// first being 0. Epochs never go back.
func (m *Mixture) Apply(epoch int64, bucket ...Events) { m.apply(epoch, m.limit, bucket) }

func (m *Mixture) apply(epoch int64, limit float64, bucket []Events) {
	for int64(len(m.starts)) <= epoch && len(m.starts) < MaxStarts {
		m.starts = append(m.starts, make([]float64, len(m.lambdas)))
	}
	m.scratch = m.gains(bucket, limit, m.scratch)
	for _, logs := range m.starts {
		add(logs, m.scratch)
	}
}

// LogE is the evidence against the hypothesis, see Test.LogE.
func (m *Mixture) LogE() float64 {
	m.terms = m.terms[:0]
	for i, logs := range m.starts {
		m.terms = append(m.terms, logMean(logs)+logStartWeight(i))
	}
	rest := -math.Log(float64(len(m.starts) + 1)) // ln(1 - sum of the weights)
	m.terms = append(m.terms, rest)
	return logSumExp(m.terms)
}

// logStartWeight is ln w_h of the start with index h-1.
func logStartWeight(index int) float64 {
	h := float64(index + 1)
	return -math.Log(h) - math.Log1p(h)
}

// State is what the tests have won so far: one row for each start, one logarithm for each
// bet. It survives JSON exactly.
func (m *Mixture) State() [][]float64 {
	rows := make([][]float64, len(m.starts))
	for i, logs := range m.starts {
		rows[i] = slices.Clone(logs)
	}
	return rows
}

// Restore continues from a State of a mixture that was made in the same way. It is false,
// and the mixture unchanged, if the state cannot be of such a mixture.
func (m *Mixture) Restore(state [][]float64) bool {
	if len(state) > MaxStarts {
		return false
	}
	for _, row := range state {
		if !sound(row, len(m.lambdas)) {
			return false
		}
	}
	m.starts = (&Mixture{starts: state}).State()
	return true
}

// RequestsNeeded is Test.RequestsNeeded for the start that will be there first.
func (m *Mixture) RequestsNeeded(truth Truth, level float64) (mean, p90 float64) {
	starts := m.starts
	if len(starts) == 0 {
		starts = [][]float64{make([]float64, len(m.lambdas))}
	}
	mean, p90 = math.Inf(1), math.Inf(1)
	for i, logs := range starts {
		if n, tail := m.needed(logs, truth, math.Log(1/level)-logStartWeight(i)); n < mean {
			mean, p90 = n, tail
		}
	}
	return mean, p90
}
