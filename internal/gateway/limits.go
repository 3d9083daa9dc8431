package gateway

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/gateway/admit"
	"github.com/slipway-ml/slipway/internal/route"
)

// How many requests at once a replica gets where nothing is declared. It queues them itself
// beyond what it works on, but refuses when too many wait, and that would look like a fault
// of its model.
const (
	nativeAtOnce = 512 // evaluated by the replica's own threads
	pythonAtOnce = 256
	serverAtOnce = 64 // as many as a server behind a replica gets

	defaultQueue = 256
)

// ratesOf are the rates of an endpoint.
func ratesOf(e *route.Endpoint) (r admit.Rates) {
	if l := e.Limits; l != nil {
		r = admit.Rates{Rate: l.RatePerSecond, Burst: max(1, l.Burst), CallerRate: l.CallerRatePerSecond, CallerBurst: max(1, l.CallerBurst)}
	}
	return r
}

// admission is what bounds the requests to a revision of an endpoint.
func admission(e *route.Endpoint, r *route.Revision) admit.Config {
	c := admit.Config{Queue: defaultQueue}
	if l := e.Limits; l != nil {
		c = admit.Config{Concurrency: l.Concurrency, Queue: l.Queue, Wait: l.QueueWait}
	}
	c.Floor, c.Ceiling = atOnce(r)
	return c
}

// atOnce is how many requests at once a revision is given at least, a few times what its
// replicas work on, since the gateway works on some of them, too; and at most. Of what a
// server behind a replica does nobody knows, so the two are the same.
func atOnce(r *route.Revision) (floor, ceiling int) {
	cores := max(1, (r.MilliCPU+999)/1000)
	switch r.Runtime.Kind {
	case route.RuntimeCommand, route.RuntimeRemote:
		floor, ceiling = serverAtOnce, serverAtOnce
	case route.RuntimePython:
		floor, ceiling = 4*max(1, r.Runtime.Workers), pythonAtOnce
	default:
		floor, ceiling = 8*cores, nativeAtOnce
	}
	n := max(1, r.Replicas)
	return n * floor, n * max(floor, ceiling)
}

// maxBody bounds a request to the endpoint, in bytes, where a gateway takes so many of any.
func (e *endpoint) maxBody(ofAny int64) int64 {
	if e.Limits != nil && e.Limits.MaxBody > 0 {
		return min(e.Limits.MaxBody, ofAny)
	}
	return ofAny
}

// take begins a call at the endpoint that it is for, or says why not: nobody has been asked
// then, and it says nothing of any model.
func (g *Gateway) take(c *call) *slipway.Error {
	// The table may have changed while the body came: requests are routed by the newest.
	e, err := g.granted(c.who, c.key)
	if err != nil {
		return err
	}
	c.g, c.e, c.deadline = g, e, e.Deadline
	if c.wish > 0 && c.wish < c.deadline {
		c.deadline, c.shorter = c.wish, true
	}
	if limit := e.maxBody(g.c.MaxBody); c.size > limit {
		return answer.TooLarge(limit)
	}
	now := g.c.Now()
	c.ends = now.Add(c.deadline)
	if r := e.stats.meter.Take(c.who.grant.Principal, now.Sub(g.origin)); r != nil {
		return r.Err(c.key)
	}
	return nil
}

// place routes a call and gets it a place at the revision, perhaps after a while; leave gives
// it back. A revision has places of its own, so that a candidate that hangs keeps nobody from
// stable. Whoever has to wait is drawn again after it, since a rollback may have come; what
// was drawn before, and what finds no place where it was drawn to, is no evidence.
func (c *call) place(ctx context.Context) (draw, *slipway.Error) {
	for {
		d, err := c.route()
		if err != nil {
			return d, err
		}
		switch {
		case d.rev.gate == c.gate: // waited for
			return d, nil
		case d.rev.gate.Try():
			c.leave(false)
			c.gate, c.in = d.rev.gate, d.at
			return d, nil
		}
		d.resolve(eprocess.Cancelled, d.at)
		rev := d.rev
		if d.fallback != nil {
			rev = d.fallback
		}
		if rev.gate == c.gate { // there is a place at stable, and none where it was drawn to
			return draw{rev: rev, at: c.g.c.Now()}, nil
		}
		c.leave(false)
		now := d.at.Sub(c.g.origin)
		refused, left := rev.gate.Wait(ctx, c.who.grant.Principal, now, now+c.ends.Sub(d.at))
		switch {
		case left != nil:
			return d, late(c.key, left)
		case refused != nil:
			return d, refused.Err(c.key)
		}
		c.gate, c.in = rev.gate, c.g.c.Now()
		if d.pinned {
			d.at = c.in
			return d, nil
		}
	}
}

// leave gives a call's place to the next one, if it has one.
func (c *call) leave(answered bool) {
	if c.gate != nil {
		c.gate.Leave(c.in.Sub(c.g.origin), c.g.c.Now().Sub(c.g.origin), answered)
		c.gate = nil
	}
}

// traffic is what the endpoint does.
func (e *endpoint) traffic() *route.Traffic {
	out := &route.Traffic{}
	for _, r := range []*revision{e.stable, e.candidate} {
		if r != nil {
			s := r.gate.Stats()
			out.Inside, out.Waiting, out.Limit = out.Inside+s.Inside, out.Waiting+s.Waiting, out.Limit+s.Limit
		}
	}
	for i := range admit.Reasons {
		if n := e.stats.refused[i].Load(); n > 0 {
			if out.Refused == nil {
				out.Refused = map[string]uint64{}
			}
			out.Refused[i.String()] = n
		}
	}
	return out
}
