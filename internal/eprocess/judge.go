package eprocess

import "math"

// Names of the judges in a Judgement.
const (
	JudgeErrors   = "errors"   // failed requests, relative to stable
	JudgeSlow     = "slow"     // slow requests, relative to stable
	JudgeAbsolute = "absolute" // failed requests, against the allowed share
	JudgeRejected = "rejected" // 4xx answers, relative to stable
)

// Evidence that is watched but rolls nothing back.
const (
	watchStable  = "stable"  // stable fails more often than allowed, now
	watchConfirm = "confirm" // the candidate's share of failures is below the allowed one
)

// Judge holds the evidence of one rollout, from the first request that could go to the
// candidate until stable is retired. It rolls back when the combined evidence of its
// judges reaches ln(1/alpha): if every judged quantity is fine at every request, that ever
// happens with probability at most alpha.
//
// A first deployment has no stable: the absolute judge alone decides, and the candidate is
// confirmed when "its share of failures is at least P0" is refuted at level Beta.
//
// The caller locks, numbers the buckets by routing time from 0 on a clock that never goes
// back (over restarts neither), and calls Close about once per bucket. Admit and Resolve
// do not allocate once the buckets are in use.
type Judge struct {
	config  Config
	family  []judge
	weights []float64
	stable  *Alarm // its failures against the allowed share; nil for a first deployment
	confirm *Test  // nil but for a first deployment

	open    []bucket // by index, with requests; closed ones leave in order
	origin  int64    // first bucket that closed, -1 before
	closed  int64    // last bucket that closed, -1 before
	buckets uint64   // that closed
	counts  [2]Counts
	found   Finding
	changed bool
	events  []Events
}

// Finding is what the evidence has led to.
type Finding struct {
	Crossed   bool   `json:"crossed"`         // roll back; final
	Held      bool   `json:"held"`            // the absolute judge is held back: stable fails too often itself
	Judge     string `json:"judge,omitempty"` // whose weighted evidence was the largest when it crossed
	Confirmed bool   `json:"confirmed"`       // a first deployment has proved good, then or since
}

// judge is one member of the family.
type judge struct {
	name     string
	evidence *Mixture
	events   func(*cell) Events
}

// NewJudge starts a rollout's evidence, or says which setting is out of range.
func NewJudge(c Config) (*Judge, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	mixture := func(null Null) *Mixture {
		return NewMixture(null, Rollback(), Limit(c.Alpha, len(Rollback()), c.MinBuckets))
	}
	absolute := judge{JudgeAbsolute, mixture(Absolute(c.P0)), failures(Candidate)}
	j := &Judge{config: c, origin: -1, closed: -1}
	if c.First {
		j.family, j.weights = []judge{absolute}, []float64{1}
		j.confirm = NewTest(Absolute(c.P0), Promotion(), math.Inf(1))
		return j, nil
	}
	j.family = []judge{
		{JudgeErrors, mixture(Relative(c.R0)), attributed(func(k *Counts) uint64 { return k.Failed })},
		{JudgeSlow, mixture(Relative(c.R0Slow)), attributed(func(k *Counts) uint64 { return k.Slow })},
		absolute,
		{JudgeRejected, mixture(Relative(c.R0)), attributed(func(k *Counts) uint64 { return k.Rejected })},
	}
	j.weights = []float64{.5, .25, .15, .1}
	j.stable = NewAlarm(Absolute(c.P0), Rollback(), c.Alpha)
	return j, nil
}

// attributed gives the bad requests of both arms; the candidate's are ours.
func attributed(bad func(*Counts) uint64) func(*cell) Events {
	return func(c *cell) Events {
		ours := bad(&c.counts[Candidate])
		return Events{Rho: c.rho, N: ours + bad(&c.counts[Stable]), Ours: ours}
	}
}

// failures gives the requests of one arm; the failed ones are ours.
func failures(arm Arm) func(*cell) Events {
	return func(c *cell) Events {
		return Events{N: c.counts[arm].decided(), Ours: c.counts[arm].Failed}
	}
}

// answers are the candidate's requests that show whether it works. A 4xx does not, and to
// leave it out can only make a confirmation rarer.
func answers(c *cell) Events {
	k := &c.counts[Candidate]
	return Events{N: k.decided() - k.Rejected, Ours: k.Failed}
}

// Ticket is the place of a request that was routed and has no outcome yet.
type Ticket struct {
	bucket int64
	cell   int32
	arm    Arm
}

// Admit records a request at its routing, with the probability rho of the candidate that
// was in force at the draw, before knowing the arm. A request that was pinned, spilled or
// rerouted has rho 0 or 1: only the absolute judge sees it. A closed bucket is closed: a
// request for it is ignored, so that a replay changes nothing. A request for an open time
// behind the newest bucket (it waited for the lock) belongs to the newest bucket.
func (j *Judge) Admit(index int64, rho float64, arm Arm) Ticket {
	if arm > Candidate || index <= j.closed || j.found.Crossed {
		return Ticket{bucket: -1}
	}
	b := j.newest(index)
	i := b.cell(rho)
	b.pending++
	b.cells[i].pending[arm]++
	return Ticket{bucket: b.index, cell: int32(i), arm: arm}
}

// newest is the bucket to admit to, opened if it must be. Closing what is too old first
// bounds the open ones, even if nobody calls Close.
func (j *Judge) newest(index int64) *bucket {
	n := len(j.open)
	if n > 0 && j.open[n-1].index >= index {
		return &j.open[n-1]
	}
	j.advance(index)
	if n = len(j.open); n < cap(j.open) {
		j.open = j.open[:n+1]
	} else {
		j.open = append(j.open, bucket{})
	}
	b := &j.open[n]
	b.index, b.pending, b.cells = index, 0, b.cells[:0]
	return b
}

// Resolve records the outcome of an admitted request, once. slow says that it took longer
// than the time limit, whatever the outcome; a request that the client gave up counts for
// nothing else. If its bucket has been closed meanwhile the request has failed already,
// and the outcome is ignored.
func (j *Judge) Resolve(t Ticket, outcome Outcome, slow bool) {
	for i := len(j.open) - 1; i >= 0; i-- {
		b := &j.open[i]
		if b.index != t.bucket || int(t.cell) >= len(b.cells) {
			continue
		}
		c := &b.cells[t.cell]
		if c.pending[t.arm] == 0 {
			return
		}
		b.pending--
		c.pending[t.arm]--
		k := &c.counts[t.arm]
		k.Requests++
		switch outcome {
		case Failed:
			k.Failed++
		case Rejected:
			k.Rejected++
		case Cancelled:
			k.Cancelled++
		}
		if slow {
			k.Slow++
		}
		return
	}
}

// Close applies, in order, every bucket before now whose requests all have their outcome
// or which is more than CutOff buckets old. It says whether any bucket was closed since
// the last call: then the judgement may have changed and the snapshot has. Once the
// evidence has crossed it stays as it was at that bucket.
func (j *Judge) Close(now int64) (changed bool) {
	j.advance(now)
	changed, j.changed = j.changed, false
	return changed
}

func (j *Judge) advance(now int64) {
	for len(j.open) > 0 && !j.found.Crossed {
		b := &j.open[0]
		if b.index >= now || b.pending > 0 && now-b.index <= j.config.CutOff {
			return
		}
		b.expire()
		j.apply(b)
		spare, last := *b, len(j.open)-1
		copy(j.open, j.open[1:])
		j.open[last] = spare // keeps its cells for the next bucket
		j.open = j.open[:last]
	}
}

// apply adds a closed bucket to all evidence. While stable itself fails too often, what
// happens to the candidate is an outage of both, and the absolute judge may only lose:
// that takes rollbacks away, so alpha still holds, and leaves nothing behind that could
// blame the candidate later. To wait for a Test of stable to cross would be too late:
// after a healthy past it crosses no sooner than the candidate's.
func (j *Judge) apply(b *bucket) {
	if j.origin < 0 {
		j.origin = b.index
	}
	j.closed, j.changed = b.index, true
	j.buckets++
	for i := range b.cells {
		j.counts[Stable].add(b.cells[i].counts[Stable])
		j.counts[Candidate].add(b.cells[i].counts[Candidate])
	}
	epoch := (b.index - j.origin) / j.config.Epoch
	if j.stable != nil {
		j.stable.Apply(j.gather(b, failures(Stable))...)
		j.found.Held = j.stable.On()
	}
	for _, m := range j.family {
		limit := m.evidence.limit
		if m.name == JudgeAbsolute && j.found.Held {
			limit = 0
		}
		m.evidence.apply(epoch, limit, j.gather(b, m.events))
	}
	if j.confirm != nil {
		j.confirm.Apply(j.gather(b, answers)...)
	}
	j.decide()
}

func (j *Judge) gather(b *bucket, events func(*cell) Events) []Events {
	j.events = j.events[:0]
	for i := range b.cells {
		j.events = append(j.events, events(&b.cells[i]))
	}
	return j.events
}

// decide compares the evidence with its thresholds.
func (j *Judge) decide() {
	if j.confirm != nil && reached(j.confirm.LogE(), j.config.Beta) {
		j.found.Confirmed = true
	}
	combined, largest := Combine(j.weights, j.logE())
	if reached(combined, j.config.Alpha) {
		j.found.Crossed, j.found.Judge = true, j.family[largest].name
	}
}

func reached(logE, level float64) bool { return logE >= -math.Log(level) }

func (j *Judge) logE() []float64 {
	logE := make([]float64, len(j.family))
	for k, m := range j.family {
		logE[k] = m.evidence.LogE()
	}
	return logE
}

// RequestsNeeded forecasts how many more requests of the candidate it takes, on average
// and in all but one run in ten, if the truth is as given: until the errors judge alone
// rolls back, or for a first deployment, until it is confirmed. See Test.RequestsNeeded.
func (j *Judge) RequestsNeeded(truth Truth) (mean, p90 float64) {
	if j.confirm != nil {
		return j.confirm.RequestsNeeded(truth, j.config.Beta)
	}
	return j.family[0].evidence.RequestsNeeded(truth, j.config.Alpha*j.weights[0])
}
