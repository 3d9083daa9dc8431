package eprocess_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/slipway-ml/slipway/internal/eprocess"
)

// scenario is traffic through a Judge, with every request routed, answered and closed at
// its own time. Times are in seconds.
type scenario struct {
	config  eprocess.Config
	bucket  float64 // length
	rps     float64
	rho     float64
	seconds float64
	since   float64 // failures count as bad from here on
	request func(arm eprocess.Arm, at float64, draw func() float64) (outcome eprocess.Outcome, slow bool, took float64)
}

// result of one run of a scenario.
type result struct {
	judgement eprocess.Judgement
	crossed   float64 // when, if it did
	firstBad  float64 // when the candidate's first failure was answered
	held      bool    // ever
}

// run plays one rollout. Close is called every 50 ms, as a gateway would.
func (s scenario) run(t testing.TB, seed uint64) result {
	t.Helper()
	j, err := eprocess.NewJudge(s.config)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		at      float64
		ticket  eprocess.Ticket
		outcome eprocess.Outcome
		slow    bool
	}
	const tick = .05
	rng := rand.New(rand.NewPCG(seed, 1))
	var flight []answer
	r := result{firstBad: -1}
	routed := rng.ExpFloat64() / s.rps
	for now := tick; now < s.seconds; now += tick {
		for ; routed < now; routed += rng.ExpFloat64() / s.rps {
			arm := eprocess.Stable
			if rng.Float64() < s.rho {
				arm = eprocess.Candidate
			}
			outcome, slow, took := s.request(arm, routed, rng.Float64)
			if arm == eprocess.Candidate && outcome == eprocess.Failed && routed >= s.since && r.firstBad < 0 {
				r.firstBad = routed + took
			}
			ticket := j.Admit(int64(routed/s.bucket), s.rho, arm)
			flight = append(flight, answer{routed + took, ticket, outcome, slow})
		}
		flight = slices.DeleteFunc(flight, func(a answer) bool {
			if a.at > now {
				return false
			}
			j.Resolve(a.ticket, a.outcome, a.slow)
			return true
		})
		if !j.Close(int64(now / s.bucket)) {
			continue
		}
		r.judgement = j.Judgement()
		r.held = r.held || r.judgement.Held
		if r.judgement.Crossed {
			r.crossed = now
			return r
		}
	}
	return r
}

// fails answers quickly and fails with a probability for each arm.
func fails(stable, candidate float64) func(eprocess.Arm, float64, func() float64) (eprocess.Outcome, bool, float64) {
	return func(arm eprocess.Arm, _ float64, draw func() float64) (eprocess.Outcome, bool, float64) {
		p := stable
		if arm == eprocess.Candidate {
			p = candidate
		}
		took := .005 + .01*draw()
		if draw() < p {
			return eprocess.Failed, false, took
		}
		return eprocess.OK, draw() < .05, took
	}
}

func quantile(x []float64, q float64) float64 {
	slices.Sort(x)
	return x[int(q*float64(len(x)-1))]
}

func config(alpha float64) eprocess.Config {
	c := eprocess.Defaults()
	c.Alpha = alpha
	return c
}

// Both arms equally bad, at the boundary of every hypothesis but the slow one's.
func TestFalseRollbacksStayBelowAlpha(t *testing.T) {
	const reps, alpha = 2000, .01
	s := scenario{config: config(alpha), bucket: .5, rps: 100, rho: .1, seconds: 60, request: fails(.01, .01)}
	wrong := 0
	for seed := range uint64(reps) {
		if s.run(t, seed).judgement.Crossed {
			wrong++
		}
	}
	t.Logf("%d of %d", wrong, reps)
	if wrong > alpha*reps {
		t.Errorf("%d of %d good candidates rolled back, alpha allows %v", wrong, reps, alpha*reps)
	}
}

// Half of all requests fail for ten seconds: the candidate's at once, stable's after one
// second. In the order of arrival the candidate would be blamed in a quarter of the runs.
func TestOutageOfBothIsNotTheCandidates(t *testing.T) {
	const reps, alpha = 300, .01
	calm := fails(.001, .001)
	s := scenario{config: config(alpha), bucket: .5, rps: 200, rho: .1, seconds: 135,
		request: func(arm eprocess.Arm, at float64, draw func() float64) (eprocess.Outcome, bool, float64) {
			if at < 65 || at > 75 || draw() < .5 {
				return calm(arm, at, draw)
			}
			if arm == eprocess.Candidate {
				return eprocess.Failed, false, .01
			}
			return eprocess.Failed, false, 1
		}}
	wrong, held := 0, 0
	for seed := range uint64(reps) {
		r := s.run(t, seed)
		if r.judgement.Crossed {
			wrong++
		}
		if r.held {
			held++
		}
	}
	t.Logf("%d rolled back, %d held of %d", wrong, held, reps)
	if wrong > alpha*reps {
		t.Errorf("%d of %d rolled back, alpha allows %v", wrong, reps, alpha*reps)
	}
	if held < reps*9/10 {
		t.Errorf("the absolute judge was held in %d of %d runs only: the outage was no test", held, reps)
	}
}

// One failure in five at 20 candidate requests per second, stable has none.
func TestDetectionTime(t *testing.T) {
	const reps = 400
	s := scenario{config: config(.001), bucket: .5, rps: 200, rho: .1, seconds: 30, request: fails(0, .2)}
	var took []float64
	by := map[string]int{}
	for seed := range uint64(reps) {
		r := s.run(t, seed)
		if !r.judgement.Crossed {
			t.Fatalf("run %d: a candidate with 20 %% failures was not rolled back: %+v", seed, r.judgement)
		}
		took = append(took, r.crossed-r.firstBad)
		by[r.judgement.Judge]++
	}
	median := quantile(took, .5)
	t.Logf("median %.2f s, 90 %% within %.2f s, by %v", median, quantile(took, .9), by)
	if median > 2.5 {
		t.Errorf("median time from the first failure to the rollback is %.2f s", median)
	}
}
