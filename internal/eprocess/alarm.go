package eprocess

import (
	"math"
	"slices"
)

// Alarm says whether a share of bad requests is above the allowed one now, whatever the
// past: the bets of a Test, each started afresh whenever it is behind (Page's cumulative
// sums, 1954), and none above a ceiling of twice what a crossing takes, so that the alarm
// ends soon after its cause. It has no stated error probability and must decide nothing
// but to hold back.
type Alarm struct {
	bets
	level   float64
	won     []float64
	scratch []float64
}

// NewAlarm watches for a hypothesis to fail; level is as for a test.
func NewAlarm(null Null, lambdas []float64, level float64) *Alarm {
	return &Alarm{bets: newBets(null, lambdas, math.Inf(1)), level: level, won: make([]float64, len(lambdas))}
}

// Apply adds one bucket, all of whose events are known.
func (a *Alarm) Apply(bucket ...Events) {
	a.scratch = a.gains(bucket, a.limit, a.scratch)
	ceiling := 2 * Limit(a.level, len(a.lambdas), 1)
	for k, gain := range a.scratch {
		a.won[k] = min(max(a.won[k]+gain, 0), ceiling)
	}
}

// On says whether the bets of late would have refuted the hypothesis.
func (a *Alarm) On() bool { return reached(logMean(a.won), a.level) }

// State is what the bets are worth, as of Test.
func (a *Alarm) State() []float64 { return slices.Clone(a.won) }

// Restore is Test.Restore.
func (a *Alarm) Restore(state []float64) bool {
	if !sound(state, len(a.lambdas)) {
		return false
	}
	copy(a.won, state)
	return true
}
