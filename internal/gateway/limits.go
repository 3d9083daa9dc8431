package gateway

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
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

// admission is what bounds the requests of an endpoint.
func admission(e *route.Endpoint) admit.Config {
	c := admit.Config{Queue: defaultQueue}
	if l := e.Limits; l != nil {
		c = admit.Config{Rate: l.RatePerSecond, Burst: max(1, l.Burst), CallerRate: l.CallerRatePerSecond, CallerBurst: max(1, l.CallerBurst),
			Concurrency: l.Concurrency, Queue: l.Queue, Wait: l.QueueWait}
	}
	for _, r := range []*route.Revision{e.Stable, e.Candidate} {
		if r == nil {
			continue
		}
		floor, ceiling := atOnce(r)
		c.Floor, c.Ceiling = c.Floor+floor, c.Ceiling+ceiling
		c.Answers += r.ID + " "
	}
	return c
}

// atOnce is how many requests at once a revision is given at least, which is what its
// replicas work on and as many that wait there, so that they are never idle; and at most. Of
// what a server behind a replica does nobody knows, so the two are the same.
func atOnce(r *route.Revision) (floor, ceiling int) {
	cores := max(1, (r.MilliCPU+999)/1000)
	switch r.Runtime.Kind {
	case route.RuntimeCommand, route.RuntimeRemote:
		floor, ceiling = serverAtOnce, serverAtOnce
	case route.RuntimePython:
		floor, ceiling = 2*max(1, r.Runtime.Workers), pythonAtOnce
	default:
		floor, ceiling = 2*cores, nativeAtOnce
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

// admit takes a call on, perhaps after a while, or says why not: nobody has been asked then,
// and it says nothing of any model. Whoever is admitted calls leave.
func (c *call) admit(ctx context.Context) *slipway.Error {
	if limit := c.e.maxBody(c.g.c.MaxBody); c.size > limit {
		return answer.TooLarge(limit)
	}
	c.began = c.g.c.Now()
	c.ends = c.began.Add(c.deadline)
	now := c.began.Sub(c.g.origin)
	refused, err := c.e.stats.gate.Enter(ctx, c.who.grant.Principal, now, now+c.deadline)
	switch {
	case err != nil:
		return late(c.key, err)
	case refused != nil:
		return refused.Err(c.key)
	}
	return nil
}

// leave gives a call's place to the next one.
func (c *call) leave(gate *admit.Gate, in time.Time, answered bool) {
	gate.Leave(in.Sub(c.g.origin), c.g.c.Now().Sub(c.g.origin), answered)
}

// traffic is what the endpoint does.
func (e *endpoint) traffic() *route.Traffic {
	s := e.stats.gate.Stats()
	out := &route.Traffic{Inside: s.Inside, Waiting: s.Waiting, Limit: s.Limit}
	for i, n := range s.Refused {
		if n > 0 {
			if out.Refused == nil {
				out.Refused = map[string]uint64{}
			}
			out.Refused[admit.Reason(i).String()] = n
		}
	}
	return out
}
