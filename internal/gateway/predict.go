package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/gateway/admit"
	"github.com/slipway-ml/slipway/internal/gateway/answered"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// codec is the body of one request, in whatever protocol it came. It belongs to that request
// alone.
type codec interface {
	// Bind reads the request for a schema; what does not fit is Unprocessable, with the path
	// of the field. It may be called again, with the schema of another revision.
	Bind(*tensor.Schema) (*tensor.Batch, *slipway.Error)
}

// call is one prediction on its way. A transport makes it of a request that is there whole,
// and writes what predict gives.
type call struct {
	who     caller
	key     string        // of the endpoint
	request string        // its id in logs and traces
	wanted  string        // the revision that the caller names; empty: the draw decides
	version string        // of the model, that the caller names; empty: any
	wish    time.Duration // the caller's deadline; 0: the endpoint's
	size    int64         // bytes of its body
	codec   codec

	g        *Gateway
	e        *endpoint
	deadline time.Duration // of the whole request
	shorter  bool          // by the caller's wish, or because it waited for long
	ends     time.Time     // the deadline
	gate     *admit.Gate   // that has let it in
	in       time.Time     // and when
	rescued  bool          // stable has answered what the candidate did not
}

// outcome is what the client got, as traces keep it.
func (c *call) outcome(err *slipway.Error) answered.Outcome {
	switch {
	case err == nil && c.rescued:
		return answered.Rescued
	case err == nil:
		return answered.OK
	case isRejection(err):
		return answered.Rejected
	default:
		return answered.Failed
	}
}

// predict answers a call. ctx ends when nobody listens any more: what is given then need not
// be written. The revision is the one that answered, or failed; nil if none was asked.
func (g *Gateway) predict(ctx context.Context, c *call) (*tensor.Batch, *revision, *slipway.Error) {
	if err := g.take(c); err != nil {
		return nil, nil, err
	}
	answered := false
	defer func() { c.leave(answered) }()
	if rev := c.e.shown(); rev != nil && rev.Runtime.Protocol == route.ProtocolHTTP {
		return nil, nil, onlyPassed(c.key)
	}
	out, rev, err := c.answer(ctx)
	if rev != nil && c.retired(rev, err) {
		out, rev, err = c.answer(ctx)
	}
	if rev != nil {
		g.answers.Note(c.request, rev.traced, c.outcome(err))
	}
	answered = err == nil && !c.rescued // stable has answered without a place of its own
	return out, rev, err
}

// retired tells whether a request waited for a replica of a revision that has been taken
// out of the table meanwhile; it is then routed by the new table.
func (c *call) retired(rev *revision, err *slipway.Error) bool {
	if err == nil || err.Code != slipway.CodeNoReplica {
		return false
	}
	now := c.g.table.Load().endpoints[c.e.Key]
	if now == nil || now == c.e {
		return false
	}
	for _, r := range []*revision{now.stable, now.candidate} {
		if r != nil && r.ID == rev.ID {
			return false
		}
	}
	c.e = now
	return true
}

// answer routes the request, asks the revision and, if a candidate fails, stable. It gives
// the revision that answered, or failed.
func (c *call) answer(ctx context.Context) (*tensor.Batch, *revision, *slipway.Error) {
	d, err := c.place(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := c.codec.Bind(&d.rev.Schema)
	if err != nil { // says nothing about the model
		d.resolve(eprocess.Cancelled, d.at)
		c.e.stats.invalid.Add(1)
		return nil, nil, err
	}
	if in.Coerced > 0 {
		c.e.stats.coerced.Add(int64(in.Coerced))
	}
	out, outcome, err := c.attempt(ctx, &d, in)
	if d.pinned {
		return out, d.rev, err
	}
	counts := d.rev.counts
	if err != nil && outcome != eprocess.Rejected && d.fallback != nil && ctx.Err() == nil {
		if out, err := c.rescue(ctx, &d, in); err == nil {
			counts.rescued.Add(1)
			d.fallback.counts.answered.Add(1)
			c.rescued = true
			return out, d.fallback, nil
		}
	}
	switch {
	case err == nil || isRejection(err):
		counts.answered.Add(1)
	case ctx.Err() == nil:
		counts.errors.Add(1)
	}
	return out, d.rev, err
}

// route draws a revision. An owner may name one instead, in whatever state the endpoint
// is: such a request is no evidence, and is not counted.
func (c *call) route() (draw, *slipway.Error) {
	if c.wanted != "" {
		if c.who.grant.Scope != route.ScopeOwner {
			c.g.refuse(c.who, c.key)
			return draw{}, denied("an owner's token is needed to choose the revision")
		}
		for _, rev := range []*revision{c.e.stable, c.e.candidate} {
			if rev != nil && rev.ID == c.wanted {
				return draw{rev: rev, pinned: true, at: c.g.c.Now()}, nil
			}
		}
		return draw{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status "+c.e.Key, "%s does not run that revision", c.e.Key)
	}
	switch c.e.State {
	case route.Pending:
		return draw{}, pending(c.e.Key, c.e.Reason)
	case route.Withdrawn:
		return draw{}, withdrawn(c.e.Reason)
	}
	if c.version != "" {
		return c.routeVersion()
	}
	return c.g.draw(c.e)
}

// routeVersion routes a request that names the version of the model. While a rollout shares
// the traffic out, stable's version can be named by everybody and the candidate's by an owner;
// since nobody drew, that is no evidence.
func (c *call) routeVersion() (draw, *slipway.Error) {
	e := c.e
	rev, err := e.ofVersion(c.version)
	if err != nil {
		return draw{}, err
	}
	switch {
	case e.stable == nil || e.candidate == nil || e.stable.Version == e.candidate.Version, rev == e.candidate && rev == e.shown():
		return c.g.draw(e)
	case rev == e.candidate && c.who.grant.Scope != route.ScopeOwner:
		c.g.refuse(c.who, c.key)
		return draw{}, denied("an owner's token is needed to choose a version that is being rolled out")
	}
	return draw{rev: rev, pinned: true, at: c.g.c.Now()}, nil
}

// attempt is a first attempt: it is counted and, by the draw, evidence. What takes longer
// than half the deadline has failed, on either arm, although stable's answer is still used.
// If the client wanted less time than the endpoint gives, or much of it was over before, it
// has given up instead.
func (c *call) attempt(ctx context.Context, d *draw, in *tensor.Batch) (*tensor.Batch, eprocess.Outcome, *slipway.Error) {
	out, err := c.ask(ctx, d.rev, in, c.limit(d))
	return out, c.settle(ctx, d, err), err
}

// limit is how long a first attempt may take.
func (c *call) limit(d *draw) time.Duration {
	limit, left := c.deadline, c.ends.Sub(d.at)
	if d.fallback != nil {
		limit /= 2
	}
	c.shorter = c.shorter || left < c.deadline/2
	return min(limit, left)
}

// settle counts a first attempt that has ended, and gives it to the judge.
func (c *call) settle(ctx context.Context, d *draw, err *slipway.Error) eprocess.Outcome {
	end := c.g.c.Now()
	took := end.Sub(d.at)
	outcome := eprocess.OK
	late := took > c.deadline/2 || err != nil && err.Code == slipway.CodeDeadline
	switch {
	case err != nil && ctx.Err() != nil, late && c.shorter:
		outcome = eprocess.Cancelled
	case late:
		outcome = eprocess.Failed
	case err != nil && isRejection(err):
		outcome = eprocess.Rejected
	case err != nil:
		outcome = eprocess.Failed
	}
	if !d.pinned {
		d.rev.counts.first(outcome, d.tau > 0 && took > d.tau, took)
		d.resolve(outcome, end)
	}
	return outcome
}

// ask sends the batch to a revision.
func (c *call) ask(ctx context.Context, rev *revision, in *tensor.Batch, limit time.Duration) (*tensor.Batch, *slipway.Error) {
	ctx, cancel := context.WithTimeout(slipway.WithRequest(ctx, c.request), limit)
	defer cancel()
	out, err := c.g.c.Replicas.Predict(ctx, rev.ID, in)
	if err == nil {
		return out, nil
	}
	var e *slipway.Error
	if errors.As(err, &e) {
		return nil, e
	}
	if ctx.Err() != nil {
		return nil, late(rev.ID, err)
	}
	return nil, modelFailed(rev.ID, err)
}

// rescue lets stable answer in the time that is left.
func (c *call) rescue(ctx context.Context, d *draw, in *tensor.Batch) (*tensor.Batch, *slipway.Error) {
	if !c.e.sameSchema {
		var err *slipway.Error
		if in, err = c.codec.Bind(&d.fallback.Schema); err != nil {
			return nil, err
		}
	}
	return c.ask(ctx, d.fallback, in, c.ends.Sub(c.g.c.Now()))
}

// isRejection tells a model's 4xx from its failures.
func isRejection(e *slipway.Error) bool {
	return e.Kind == slipway.Invalid || e.Kind == slipway.Unprocessable
}
