package eprocess

import (
	"math"
	"slices"
)

// Rollback is the grid of bets that the share of bad requests is higher than allowed.
func Rollback() []float64 { return []float64{1.25, 1.5, 2, 3, 5, 10, 30, 100} }

// Promotion is the grid of bets that it is lower.
func Promotion() []float64 { return []float64{.8, .65, .5, .35, .2, .05} }

// Null is a hypothesis that a Test can refute. Make one with Relative or Absolute.
type Null struct {
	relative bool
	value    float64
}

// Relative is "the candidate is at most r0 times as bad as stable" (at least r0 times, for
// a grid below 1). Its events are the bad requests of both; one is ours if it was the
// candidate's.
func Relative(r0 float64) Null { return Null{relative: true, value: r0} }

// Absolute is "at most a share p0 of the requests is bad" (at least p0, for a grid below
// 1). Its events are all requests of one revision; one is ours if it was bad.
func Absolute(p0 float64) Null { return Null{value: p0} }

// theta is the probability that an event is ours on the boundary of the hypothesis.
func (h Null) theta(rho float64) float64 {
	if !h.relative {
		return h.value
	}
	return rho * h.value / (1 + rho*(h.value-1))
}

// Events is a batch of events that were routed with the same probability.
type Events struct {
	Rho  float64 // probability of the candidate when routed; unused by Absolute
	N    uint64  // events
	Ours uint64  // of these, ours
}

// Limit is the most that one bucket may add to one bet, so that at least minBuckets
// buckets must agree before k bets reach 1/alpha: a burst of failures in one replica
// cannot decide alone. Without minBuckets there is no limit.
func Limit(alpha float64, k, minBuckets int) float64 {
	if minBuckets <= 0 {
		return math.Inf(1)
	}
	return (math.Log(1/alpha) + math.Log(float64(k))) / float64(minBuckets)
}

// bets is what a test does with a bucket, apart from what it has won so far.
type bets struct {
	null    Null
	lambdas []float64
	logs    []float64 // ln of the lambdas
	limit   float64
}

func newBets(null Null, lambdas []float64, limit float64) bets {
	b := bets{null, lambdas, make([]float64, len(lambdas)), limit}
	for k, lambda := range lambdas {
		b.logs[k] = math.Log(lambda)
	}
	return b
}

// gains gives what each bet wins in a bucket, as a logarithm:
// ours*ln(lambda) - n*ln(1+theta0*(lambda-1)), at most limit. To lower a gain is always
// valid, whatever the reason. Events that were not
// randomised (theta0 of 0 or 1) say nothing and are skipped. dst is overwritten.
func (b *bets) gains(bucket []Events, limit float64, dst []float64) []float64 {
	dst = dst[:0]
	for range b.lambdas {
		dst = append(dst, 0)
	}
	for _, e := range bucket {
		theta := b.null.theta(e.Rho)
		if e.N == 0 || !(theta > 0 && theta < 1) {
			continue
		}
		for k, lambda := range b.lambdas {
			dst[k] += float64(e.Ours)*b.logs[k] - float64(e.N)*math.Log1p(theta*(lambda-1))
		}
	}
	for k := range dst {
		dst[k] = min(dst[k], limit)
	}
	return dst
}

// Test is one sequential test: the mean over a grid of bets, started once.
type Test struct {
	bets
	won     []float64 // ln of what each bet has become
	scratch []float64
}

// NewTest starts a test of the hypothesis with the grid of bets (each above 0). A bucket
// adds at most limit to a bet; math.Inf(1) for no limit.
func NewTest(null Null, lambdas []float64, limit float64) *Test {
	return &Test{bets: newBets(null, lambdas, limit), won: make([]float64, len(lambdas))}
}

// Apply adds one bucket, all of whose events are known.
func (t *Test) Apply(bucket ...Events) {
	t.scratch = t.gains(bucket, t.limit, t.scratch)
	add(t.won, t.scratch)
}

// LogE is the evidence against the hypothesis, as a natural logarithm: 0 at the start;
// the hypothesis is refuted at level alpha when it reaches ln(1/alpha) for the first time.
func (t *Test) LogE() float64 { return logMean(t.won) }

// State is what the test has won so far, one logarithm for each bet. It survives JSON
// exactly.
func (t *Test) State() []float64 { return slices.Clone(t.won) }

// Restore continues from a State of a test that was made in the same way. It is false,
// and the test unchanged, if the state cannot be of such a test.
func (t *Test) Restore(state []float64) bool {
	if !sound(state, len(t.lambdas)) {
		return false
	}
	copy(t.won, state)
	return true
}

// sound bounds what a state may hold: far beyond any traffic, far within float64.
func sound(state []float64, bets int) bool {
	const most = 1e15
	for _, l := range state {
		if !(math.Abs(l) <= most) {
			return false
		}
	}
	return len(state) == bets
}

func add(logs, gains []float64) {
	for k := range logs {
		logs[k] += gains[k]
	}
}

func logMean(logs []float64) float64 {
	return logSumExp(logs) - math.Log(float64(len(logs)))
}

func logSumExp(logs []float64) float64 {
	top := math.Inf(-1)
	for _, l := range logs {
		top = max(top, l)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum)
}
