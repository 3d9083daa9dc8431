package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/gateway/answered"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Headers in their canonical form: they are looked up in maps.
const (
	requestIDHeader = "X-Request-Id"
	revisionHeader  = "Slipway-Revision"
	versionHeader   = "Slipway-Model-Version"
	deadlineHeader  = "Slipway-Deadline-Ms"
	typeHeader      = "Content-Type"
)

// call is one prediction on its way.
type call struct {
	g        *Gateway
	r        *http.Request
	e        *endpoint
	protocol answer.Protocol
	body     []byte
	deadline time.Duration // of the whole request
	shorter  bool          // by the client's wish
	id       string        // the client's name for it, to be echoed
	request  string        // its id in logs
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

// predict answers one prediction request of an authorized caller.
func (g *Gateway) predict(w http.ResponseWriter, r *http.Request, grant *route.Grant, key string, p answer.Protocol) {
	_, err := g.granted(r, key, grant)
	if err == nil {
		err = answer.Acceptable(r.Header)
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	buf := buffers.Get().(*buffer)
	defer buf.release()
	held, err := g.read(buf, r)
	defer g.buffered.Add(-held)
	if err != nil {
		if err.Code == slipway.CodeTooLarge { // the rest of it is not read
			w.Header().Set("Connection", "close")
		}
		p.Fail(w, err)
		return
	}
	// The table may have changed while the body came: requests are routed by the newest.
	e, err := g.granted(r, key, grant)
	if err != nil {
		p.Fail(w, err)
		return
	}
	e.stats.inFlight.Add(1)
	defer e.stats.inFlight.Add(-1)
	c := call{g: g, r: r, e: e, protocol: p, request: w.Header()[requestIDHeader][0], body: buf.in, deadline: e.Deadline}
	c.shorten(r.Header)
	out, rev, err := c.answer(grant)
	if rev != nil && c.retired(rev, err) {
		out, rev, err = c.answer(grant)
	}
	if rev != nil {
		g.answers.Note(c.request, rev.traced, c.outcome(err))
	}
	if r.Context().Err() != nil {
		return // nobody listens
	}
	if rev != nil {
		h := w.Header()
		h[revisionHeader], h[versionHeader] = rev.header, rev.version
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	buf.out = p.Append(buf.out[:0], key, rev.version[0], c.id, out)
	h := w.Header()
	h["Content-Type"] = answer.JSON
	if len(buf.out) > 2048 { // net/http counts less by itself
		h["Content-Length"] = []string{strconv.Itoa(len(buf.out))}
	}
	_, _ = w.Write(buf.out)
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

// shorten takes the client's deadline if it is shorter than the endpoint's.
func (c *call) shorten(h http.Header) {
	v := h[deadlineHeader]
	if len(v) == 0 {
		return
	}
	ms, err := strconv.ParseUint(v[0], 10, 31)
	if d := time.Duration(ms) * time.Millisecond; err == nil && d < c.deadline {
		c.deadline, c.shorter = max(d, time.Millisecond), true
	}
}

// answer routes the request, asks the revision and, if a candidate fails, stable. It gives
// the revision that answered, or failed.
func (c *call) answer(grant *route.Grant) (*tensor.Batch, *revision, *slipway.Error) {
	d, err := c.route(grant)
	if err != nil {
		return nil, nil, err
	}
	in, err := c.bind(d.rev)
	if err != nil { // says nothing about the model
		d.resolve(eprocess.Cancelled, d.at)
		c.e.stats.invalid.Add(1)
		return nil, nil, err
	}
	limit := c.deadline
	if d.fallback != nil {
		limit /= 2
	}
	out, outcome, err := c.attempt(&d, in, limit)
	if d.pinned {
		return out, d.rev, err
	}
	counts := d.rev.counts
	if err != nil && outcome != eprocess.Rejected && d.fallback != nil && c.r.Context().Err() == nil {
		if out, err := c.rescue(&d, in); err == nil {
			counts.rescued.Add(1)
			d.fallback.counts.answered.Add(1)
			c.rescued = true
			return out, d.fallback, nil
		}
	}
	switch {
	case err == nil || isRejection(err):
		counts.answered.Add(1)
	case c.r.Context().Err() == nil:
		counts.errors.Add(1)
	}
	return out, d.rev, err
}

// route draws a revision. An owner may name one instead, in whatever state the endpoint
// is: such a request is no evidence, and is not counted.
func (c *call) route(grant *route.Grant) (draw, *slipway.Error) {
	if v := c.r.Header[revisionHeader]; len(v) > 0 {
		if grant.Scope != route.ScopeOwner {
			c.g.refuse(c.r, grant, c.e.Key)
			return draw{}, denied("an owner's token is needed to choose the revision")
		}
		for _, rev := range []*revision{c.e.stable, c.e.candidate} {
			if rev != nil && rev.ID == v[0] {
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
	return c.g.draw(c.e)
}

// attempt is a first attempt: it is counted and, by the draw, evidence. What takes longer
// than half the deadline has failed, on either arm, although stable's answer is still used.
// If the client wanted less time than the endpoint gives, it has given up instead.
func (c *call) attempt(d *draw, in *tensor.Batch, limit time.Duration) (*tensor.Batch, eprocess.Outcome, *slipway.Error) {
	out, err := c.ask(d.rev, in, limit)
	end := c.g.c.Now()
	took := end.Sub(d.at)
	outcome := eprocess.OK
	late := took > c.deadline/2 || err != nil && err.Code == slipway.CodeDeadline
	switch {
	case err != nil && c.r.Context().Err() != nil, late && c.shorter:
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
	return out, outcome, err
}

// ask sends the batch to a revision.
func (c *call) ask(rev *revision, in *tensor.Batch, limit time.Duration) (*tensor.Batch, *slipway.Error) {
	ctx, cancel := context.WithTimeout(slipway.WithRequest(c.r.Context(), c.request), limit)
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
func (c *call) rescue(d *draw, in *tensor.Batch) (*tensor.Batch, *slipway.Error) {
	if !c.e.sameSchema {
		var err *slipway.Error
		if in, err = c.bind(d.fallback); err != nil {
			return nil, err
		}
	}
	return c.ask(d.fallback, in, c.deadline-c.g.c.Now().Sub(d.at))
}

// isRejection tells a model's 4xx from its failures.
func isRejection(e *slipway.Error) bool {
	return e.Kind == slipway.Invalid || e.Kind == slipway.Unprocessable
}
