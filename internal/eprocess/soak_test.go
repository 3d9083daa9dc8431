//go:build soak

package eprocess_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/slipway-ml/slipway/internal/eprocess"
)

// Traffic of the long simulations: 20 of 200 requests a second go to the candidate.
const (
	soakRPS    = 200
	soakRho    = .1
	soakFail   = .005
	soakSlow   = .05
	soakReject = .01
)

// binomial draws from tables, n up to its size.
type binomial [][]float64

func newBinomial(n int, p float64) binomial {
	b := make(binomial, n+1)
	for n := range b {
		term, sum := math.Pow(1-p, float64(n)), 0.
		for k := range n + 1 {
			sum += term
			b[n] = append(b[n], sum)
			term *= float64(n-k) / float64(k+1) * p / (1 - p)
		}
	}
	return b
}

func (b binomial) draw(rng *rand.Rand, n int) int {
	u := rng.Float64()
	for k, below := range b[n] {
		if u < below {
			return k
		}
	}
	return n
}

// soak makes the traffic of buckets, in which the candidate crashes once.
type soak struct {
	rng                       *rand.Rand
	perBucket                 int
	share, fail, slow, reject binomial
	at                        int  // bucket of the crash
	left                      int  // failures of the crash to come
	packed                    bool // all its requests were routed in one bucket
}

func newSoak(seed uint64, bucket float64, burst int, packed bool) *soak {
	n := int(soakRPS * bucket)
	return &soak{rng: rand.New(rand.NewPCG(seed, 7)), perBucket: n, left: burst, packed: packed,
		share: newBinomial(n, soakRho), fail: newBinomial(n, soakFail), slow: newBinomial(n, soakSlow),
		reject: newBinomial(n, soakReject)}
}

// next gives one bucket of both arms.
func (s *soak) next(i int) (counts [2]eprocess.Counts) {
	candidate := s.share.draw(s.rng, s.perBucket)
	for arm, n := range [2]int{s.perBucket - candidate, candidate} {
		counts[arm] = eprocess.Counts{Requests: uint64(n), Failed: uint64(s.fail.draw(s.rng, n)),
			Slow: uint64(s.slow.draw(s.rng, n)), Rejected: uint64(s.reject.draw(s.rng, n))}
	}
	if i < s.at || s.left == 0 {
		return counts
	}
	c, hit := &counts[eprocess.Candidate], s.left
	if s.packed {
		c.Requests += uint64(hit)
		c.Failed += uint64(hit)
	} else {
		if hit = int(c.Requests); i == s.at {
			hit = int(math.Round(s.rng.Float64() * float64(hit)))
		}
		hit = min(hit, s.left)
		c.Failed = min(c.Failed+uint64(hit), c.Requests)
	}
	s.left -= hit
	return counts
}

// wilson is the 95 % interval of a rate, in per cent.
func wilson(k, n int) string {
	const z = 1.959964
	p, m := float64(k)/float64(n), float64(n)
	mid, half := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return fmt.Sprintf("%d of %d: %.3f %% [%.3f, %.3f]", k, n, 100*p, 100*max(0, (mid-half)/(1+z*z/m)), 100*(mid+half)/(1+z*z/m))
}

// TestSoakBursts runs one-hour rollouts of a candidate that is as good as stable, in which
// its one replica crashes once, at any time. Crashes of stable's replicas only lower the
// evidence and are left out. Beside the whole family it follows the relative error test
// alone.
func TestSoakBursts(t *testing.T) {
	const bucket = .5
	for _, c := range []struct {
		burst  int
		packed bool
		reps   int
	}{{0, false, 4000}, {5, false, 1000}, {20, false, 1000}, {40, false, 1000}, {5, true, 500}, {20, true, 500}, {40, true, 500}} {
		t.Run(fmt.Sprintf("burst=%d,packed=%v", c.burst, c.packed), func(t *testing.T) {
			limits := []int{0, 3, 6}
			if c.burst == 0 {
				limits = limits[:2]
			}
			family, alone, by := map[int]int{}, map[int]int{}, map[string]int{}
			for seed := range uint64(c.reps) {
				s := newSoak(seed, bucket, c.burst, c.packed)
				s.at = s.rng.IntN(int(3600 / bucket))
				for i, h := range s.hour(t, limits, int(3600/bucket)) {
					if h.crossed {
						family[limits[i]]++
						by[fmt.Sprintf("%d:%s", limits[i], h.by)]++
					}
					if h.alone {
						alone[limits[i]]++
					}
				}
			}
			for _, m := range limits {
				t.Logf("min buckets %d: family %s; errors alone %s", m, wilson(family[m], c.reps), wilson(alone[m], c.reps))
			}
			t.Log(by)
		})
	}
}

type hour struct {
	crossed bool
	by      string
	alone   bool // the error test alone
}

// hour runs the same hour through judges that differ in their MinBuckets.
func (s *soak) hour(t *testing.T, limits []int, buckets int) []hour {
	t.Helper()
	hours := make([]hour, len(limits))
	judges, tests := make([]*eprocess.Judge, len(limits)), make([]*eprocess.Test, len(limits))
	for i, m := range limits {
		c := config(.001)
		c.MinBuckets = m
		j, err := eprocess.NewJudge(c)
		if err != nil {
			t.Fatal(err)
		}
		judges[i], tests[i] = j, eprocess.NewTest(eprocess.Relative(1), eprocess.Rollback(), eprocess.Limit(.001, 8, m))
	}
	for b := range buckets {
		counts := s.next(b)
		failed := counts[0].Failed + counts[1].Failed
		for i, j := range judges {
			j.Add(int64(b), soakRho, eprocess.Stable, counts[eprocess.Stable])
			j.Add(int64(b), soakRho, eprocess.Candidate, counts[eprocess.Candidate])
			j.Close(int64(b) + 1)
			if failed > 0 && !hours[i].alone {
				tests[i].Apply(eprocess.Events{Rho: soakRho, N: failed, Ours: counts[1].Failed})
				hours[i].alone = tests[i].LogE() >= math.Log(1000)
			}
		}
	}
	for i, j := range judges {
		v := j.Judgement()
		hours[i].crossed, hours[i].by = v.Crossed, v.Judge
	}
	return hours
}

// TestSoakDetection measures the time from the candidate's first failure to the rollback,
// from the start and after ten healthy minutes.
func TestSoakDetection(t *testing.T) {
	for _, c := range []struct {
		stable, candidate float64
		reps              int
	}{{0, .2, 1000}, {.005, .05, 1000}, {.005, .2, 1000}, {.005, 1, 1000}, {.005, .02, 300}} {
		for _, bucket := range []float64{.5, 1} {
			for _, minBuckets := range []int{0, 3} {
				for _, healthy := range []float64{0, 600} {
					if healthy > 0 && minBuckets == 0 {
						continue
					}
					detection(t, c.stable, c.candidate, bucket, minBuckets, healthy, c.reps)
				}
			}
		}
	}
}

func detection(t *testing.T, stable, candidate, bucket float64, minBuckets int, healthy float64, reps int) {
	t.Helper()
	good, bad := fails(stable, stable), fails(stable, candidate)
	s := scenario{config: config(.001), bucket: bucket, rps: soakRPS, rho: soakRho, seconds: healthy + 400,
		request: func(arm eprocess.Arm, at float64, draw func() float64) (eprocess.Outcome, bool, float64) {
			if at < healthy {
				return good(arm, at, draw)
			}
			return bad(arm, at, draw)
		}}
	s.since = healthy
	s.config.MinBuckets = minBuckets
	if healthy > 0 {
		reps = min(reps, 200)
	}
	var took []float64
	by := map[string]int{}
	for seed := range uint64(reps) {
		if r := s.run(t, seed); r.judgement.Crossed {
			took = append(took, r.crossed-r.firstBad)
			by[r.judgement.Judge]++
		}
	}
	t.Logf("%g -> %g, bucket %g s, min buckets %d, after %g s: %d of %d found, median %.2f s, p90 %.2f s, %v",
		stable, candidate, bucket, minBuckets, healthy, len(took), reps, quantile(took, .5), quantile(took, .9), by)
}
