package eprocess

import "math"

// Truth is what a forecast assumes.
type Truth struct {
	Share float64 // of bad requests: stable's; for an absolute test, the tested revision's
	Ratio float64 // how many times as bad the candidate is; unused by an absolute test
	Rho   float64 // the candidate's share of the traffic; unused by an absolute test
}

// Overshoot allowances of the forecast, measured: what evidence has beyond the threshold
// when it crosses, plus what the grid loses against its best bet.
const (
	kappaRollback  = 1.5
	kappaPromotion = 1
)

// RequestsNeeded forecasts how many more requests of the tested revision the test needs
// from where it stands to refute its hypothesis at the level: on average, and the number
// that one run in ten exceeds. Both are +Inf when the truth gives it nothing to win, and 0
// when it is there. Limits on buckets are left out; they matter to effects so large that
// a few buckets decide.
func (t *Test) RequestsNeeded(truth Truth, level float64) (mean, p90 float64) {
	return t.needed(t.won, truth, math.Log(1/level))
}

// needed is the number of requests until a bet that stands at won[k] and grows by g per
// event is worth threshold+kappa: Wald's identity. The spread is that of the first
// passage of a random walk with that drift.
func (b *bets) needed(won []float64, truth Truth, threshold float64) (mean, p90 float64) {
	mean, p90 = math.Inf(1), math.Inf(1)
	theta, perEvent := truth.Share, 1.
	if b.null.relative {
		share := 1 + truth.Rho*(truth.Ratio-1)
		theta, perEvent = truth.Rho*truth.Ratio/share, truth.Rho/(truth.Share*share)
	}
	theta0 := b.null.theta(truth.Rho)
	if !(theta0 > 0 && theta0 < 1) || math.IsInf(perEvent, 0) || math.IsNaN(perEvent) {
		return mean, p90
	}
	for k, lambda := range b.lambdas {
		growth := theta*b.logs[k] - math.Log1p(theta0*(lambda-1))
		missing := threshold + kappa(lambda) - won[k]
		need := max(missing, 0) / growth * perEvent
		if !(growth > 0) || need >= mean {
			continue
		}
		variance := math.Pow(b.logs[k], 2) * theta * (1 - theta)
		spread := math.Sqrt(max(missing, 0) * (growth*growth + variance) / math.Pow(growth, 3))
		mean, p90 = need, need+1.28*perEvent*spread
	}
	return mean, p90
}

func kappa(lambda float64) float64 {
	if lambda > 1 {
		return kappaRollback
	}
	return kappaPromotion
}
