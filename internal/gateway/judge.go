package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	bucketLength = 500 * time.Millisecond
	judgeTick    = bucketLength / 5 // outcomes that end late close their bucket soon after
	slowFloor    = 20 * time.Millisecond
	slowSample   = 100 // first attempts of stable from which its p95 is taken
)

// live is the state of one rollout: the weight in force and the evidence. Its lock is held
// for a few comparisons and additions, never over I/O.
type live struct {
	key      route.RolloutKey
	endpoint string
	revision string
	first    bool
	stats    *endpointStats

	mu         sync.Mutex
	judge      *eprocess.Judge
	base       int64   // what the clock's bucket numbers lack
	weight     float64 // in force: the table's, or 0 after a veto
	promoted   bool
	vetoed     bool
	reason     string
	tau        time.Duration // above it a request is slow; 0: not known yet
	firstBad   time.Time
	lastRouted time.Time
	dirty      bool // the snapshot on disk is behind
}

// live finds the state of an endpoint's rollout in the table before or on disk, or starts
// it.
func (g *Gateway) live(e, was *endpoint) (*live, error) {
	key := e.Rollout.Key()
	if was != nil && was.live != nil && was.live.key == key {
		return was.live, nil
	}
	c := eprocess.Defaults()
	c.Alpha, c.Beta, c.P0, c.First = e.Rollout.Alpha, e.Rollout.Beta, e.Rollout.P0, e.Rollout.First || e.Stable == nil
	c.CutOff = max(1, int64(math.Ceil(float64(e.Deadline/2)/float64(bucketLength))))
	judge, err := eprocess.NewJudge(c)
	if err != nil {
		return nil, err
	}
	l := &live{key: key, endpoint: e.Key, revision: e.Candidate.ID, first: c.First, judge: judge,
		weight: e.Weight, promoted: e.Rollout.Promoted, stats: e.stats}
	g.restore(l)
	l.base -= g.bucket(g.c.Now())
	if v, ok := g.journal.of(key); ok {
		l.vetoed, l.weight, l.reason = true, 0, v.Reason
	}
	return l, nil
}

// bucket numbers the stretches of time since this process started.
func (g *Gateway) bucket(now time.Time) int64 { return int64(now.Sub(g.origin) / bucketLength) }

// judgeLoop closes buckets and rolls back.
func (g *Gateway) judgeLoop(ctx context.Context) {
	tick := time.NewTicker(judgeTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := g.c.Now()
		for _, e := range g.table.Load().endpoints {
			if e.live != nil {
				g.judge(e, now)
			}
		}
	}
}

// judge looks at one rollout.
func (g *Gateway) judge(e *endpoint, now time.Time) {
	l := e.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.vetoed || g.frozen.Load() || !g.inForce(l) {
		return
	}
	if l.tau == 0 && e.stable != nil && e.stable.counts.latency.count() >= slowSample {
		l.tau, l.dirty = max(slowFloor, e.stable.counts.latency.quantile(.95)), true
	}
	if l.judge.Close(g.bucket(now) + l.base) {
		l.dirty = true
	}
	if v := l.judge.Judgement(); v.Crossed {
		g.veto(l, now, "judge", sentence(v))
	}
	if l.dirty {
		select {
		case g.save <- struct{}{}:
		default:
		}
	}
}

// inForce says whether the table still has the rollout; l.mu is held, and a table that
// drops it is put in force under the same lock.
func (g *Gateway) inForce(l *live) bool {
	e := g.table.Load().endpoints[l.endpoint]
	return e != nil && e.live == l
}

// veto takes the candidate's weight away and says so in the journal; l.mu is held. From
// here on no request is routed to the candidate, whatever becomes of the journal.
func (g *Gateway) veto(l *live, now time.Time, by, reason string) route.Veto {
	l.vetoed, l.weight, l.reason, l.dirty = true, 0, reason, true
	l.stats.rollbacks.Add(1)
	judgement, err := json.Marshal(l.judge.Judgement())
	if err != nil {
		judgement = nil // an infinite figure; the reason says enough
	}
	return g.journal.add(route.Veto{Time: now, Endpoint: l.endpoint, Rollout: l.key, Revision: l.revision, By: by, Reason: reason,
		Promoted: l.promoted, First: l.first, Judgement: judgement, FirstBad: l.firstBad, LastRouted: l.lastRouted})
}

// sentence says for people why a judge rolled back.
func sentence(v eprocess.Judgement) string {
	c, s := v.Candidate, v.Stable
	ours, theirs, what := c.Failed, s.Failed, "failed"
	switch v.Judge {
	case eprocess.JudgeSlow:
		ours, theirs, what = c.Slow, s.Slow, "were slow"
	case eprocess.JudgeRejected:
		ours, theirs, what = c.Rejected, s.Rejected, "were rejected by the model"
	case eprocess.JudgeAbsolute:
		return fmt.Sprintf("%d of %d requests failed, more than is allowed", ours, c.Requests)
	}
	return fmt.Sprintf("%d of %d requests %s, of stable's %d of %d", ours, c.Requests, what, theirs, s.Requests)
}

// draw is where a request goes, and its place in the evidence.
type draw struct {
	rev, fallback *revision
	pinned        bool  // chosen by an owner, not drawn
	live          *live // nil: no evidence
	ticket        eprocess.Ticket
	arm           eprocess.Arm
	tau           time.Duration
	at            time.Time
}

// draw routes a request at random, independently of what it is and of all others. A
// candidate without a ready replica has the probability 0, which makes the request no
// evidence. It answers CodeNoReplica or CodeWithdrawn if nothing could answer.
func (g *Gateway) draw(e *endpoint) (draw, *slipway.Error) {
	d := draw{rev: e.stable, at: g.c.Now()}
	if e.live == nil {
		return d, nil
	}
	l := e.live
	l.mu.Lock()
	defer l.mu.Unlock()
	rho := l.weight
	unready := rho > 0 && e.candidate.ready.Load() == 0
	if unready && e.stable != nil {
		rho, unready = 0, false
	}
	if rho > 0 && g.c.Rand() < rho {
		d.rev, d.fallback, d.arm = e.candidate, e.stable, eprocess.Candidate
		l.lastRouted = d.at
	}
	if d.rev == nil {
		return d, withdrawn(l.reason)
	}
	if !l.vetoed && !g.frozen.Load() && !unready { // what waits for a replica says nothing of the model
		d.live, d.tau = l, l.tau
		d.ticket = l.judge.Admit(g.bucket(d.at)+l.base, rho, d.arm)
	}
	return d, nil
}

// resolve adds the outcome of a first attempt to the evidence.
func (d *draw) resolve(outcome eprocess.Outcome, end time.Time) {
	if d.live == nil {
		return
	}
	slow := d.tau > 0 && end.Sub(d.at) > d.tau
	d.live.mu.Lock()
	defer d.live.mu.Unlock()
	d.live.judge.Resolve(d.ticket, outcome, slow)
	if d.arm == eprocess.Candidate && outcome == eprocess.Failed && d.live.firstBad.IsZero() {
		d.live.firstBad = end
	}
}

// given is the weight in force.
func (l *live) given() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weight
}
