package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	// passIdle is how long a body that is passed on may pause, in either direction.
	passIdle = 2 * time.Minute
	// maxReplayed is the largest body that is held, so that stable can answer what a
	// candidate did not.
	maxReplayed = 1 << 20
)

// passing is one request that is passed on to the server behind a revision.
type passing struct {
	call
	path   string // at the server, as it stands in an address
	replay []byte // the body, if it is held
	held   bool
}

// passedTo is the endpoint and the path at its server, as it stands in the address, of a
// request that is to be passed on; empty for another.
func passedTo(u *url.URL) (endpoint, path string) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/endpoints/")
	if !ok {
		return "", ""
	}
	endpoint, path, ok = strings.Cut(rest, "/proxy/")
	if !ok || strings.Contains(endpoint, "/") {
		return "", ""
	}
	return endpoint, "/" + path
}

// pass answers a request for a path of an endpoint's own server.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, who caller, key, path string) {
	fail := func(err *slipway.Error) { answer.OpenInference.Fail(w, err) }
	e, err := g.granted(who, key)
	if err != nil {
		fail(err)
		return
	}
	if r.Header.Get("Upgrade") != "" {
		fail(&slipway.Error{Code: slipway.CodeNotPassed, Kind: slipway.Invalid, Message: "connections of other protocols are not passed on", Next: "ask over HTTP; streams of events are passed on as they come"})
		return
	}
	buf := buffers.Get().(*buffer)
	defer buf.release()
	p := &passing{path: path, call: call{who: who, key: key, request: w.Header()[requestIDHeader][0],
		wanted: r.Header.Get(revisionHeader), wish: deadlineOf(r.Header.Get(deadlineHeader))}}
	limit := e.maxBody(g.c.MaxBody)
	if p.held = r.ContentLength >= 0 && r.ContentLength <= min(maxReplayed, limit); p.held {
		held, err := g.read(buf, r, limit)
		defer g.buffered.Add(-held)
		if err != nil {
			fail(err)
			return
		}
		p.replay, r.Body = buf.in, http.NoBody
	} else if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest of it is not read
		fail(answer.TooLarge(limit))
		return
	} else {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	if err := g.take(&p.call); err != nil {
		fail(err)
		return
	}
	defer p.leave(false) // how long a stream takes says nothing of the next one
	g.passer.Pass(w, r, p)
}

// Send implements through.Sender: one attempt by the draw and, if the candidate fails, one
// on stable. What failed is judged by status and the time to the header of the answer.
func (p *passing) Send(r *http.Request) (*http.Response, error) {
	d, refused := p.place(r.Context())
	if refused != nil {
		return nil, refused
	}
	if !d.rev.Runtime.Passes(p.path) { // says nothing about the model
		d.resolve(eprocess.Cancelled, d.at)
		p.e.stats.invalid.Add(1)
		return nil, notPassed(p.key, d.rev)
	}
	resp, err := p.ask(r, d.rev, p.limit(&d))
	outcome := p.settle(r.Context(), &d, err)
	if d.pinned {
		return p.answered(resp, d.rev, err)
	}
	counts := d.rev.counts
	if f := d.fallback; err != nil && outcome != eprocess.Rejected && f != nil && p.held && f.Runtime.Passes(p.path) && r.Context().Err() == nil {
		second, again := p.ask(r, f, p.ends.Sub(p.g.c.Now()))
		if again == nil {
			discard(resp)
			counts.rescued.Add(1)
			f.counts.answered.Add(1)
			p.rescued = true
			return p.answered(second, f, nil)
		}
		discard(second)
	}
	switch {
	case err == nil || isRejection(err):
		counts.answered.Add(1)
	case r.Context().Err() == nil:
		counts.errors.Add(1)
	}
	return p.answered(resp, d.rev, err)
}

// answered names who answered. An answer goes to the caller whatever its status is.
func (p *passing) answered(resp *http.Response, rev *revision, err *slipway.Error) (*http.Response, error) {
	p.g.answers.Note(p.request, rev.traced, p.outcome(err))
	if resp == nil {
		return nil, err
	}
	resp.Header.Del(requestIDHeader) // the caller's is written
	resp.Header[revisionHeader], resp.Header[versionHeader] = rev.header, rev.version
	return resp, nil
}

func discard(resp *http.Response) {
	if resp != nil {
		resp.Body.Close()
	}
}

// ask sends the request to a revision. An answer that says that the server failed, or that
// it does not accept the request, comes with an error.
func (p *passing) ask(r *http.Request, rev *revision, limit time.Duration) (*http.Response, *slipway.Error) {
	began := p.g.c.Now()
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	socket, leave, err := p.g.c.Replicas.Through(ctx, rev.ID)
	cancel()
	if err != nil {
		return nil, slipway.AsError(err)
	}
	limit -= p.g.c.Now().Sub(began)
	out := p.addressed(r, rev, limit)
	resp, err := p.g.passer.Send(out, socket, limit, func(err error) {
		leave()
		if err != nil { // it broke off; what it was judged by had come
			rev.counts.errors.Add(1)
		}
	})
	var lost *net.OpError
	switch {
	case err == nil && resp.StatusCode >= 500:
		return resp, modelFailed(rev.ID, errors.New(resp.Status))
	case err == nil && resp.StatusCode >= 400:
		return resp, &slipway.Error{Code: slipway.CodeSchema, Kind: slipway.Invalid, Message: "the server refused the request"}
	case err == nil:
		return resp, nil
	}
	leave()
	switch {
	case errors.Is(err, context.DeadlineExceeded), r.Context().Err() != nil:
		return nil, late(rev.ID, err)
	case errors.As(err, &lost) && lost.Op == "dial":
		return nil, &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable, Message: "the server of " + rev.ID + " cannot be reached", Next: "try again", Cause: err}
	}
	return nil, modelFailed(rev.ID, err)
}

// addressed is the request as the server of a revision gets it.
func (p *passing) addressed(r *http.Request, rev *revision, limit time.Duration) *http.Request {
	out := r.Clone(r.Context())
	out.Host, out.URL.RawPath = "localhost", p.path
	if rev.Runtime.Kind == route.RuntimeRemote {
		if u, err := url.Parse(rev.Runtime.URL); err == nil { // the table's, which is good
			out.Host, out.URL.RawPath = u.Host, strings.TrimSuffix(u.EscapedPath(), "/")+p.path
		}
	}
	out.URL.Path, _ = url.PathUnescape(out.URL.RawPath) // it was parsed
	out.Header.Set(requestIDHeader, p.request)
	out.Header.Set(deadlineHeader, strconv.FormatInt(max(1, limit.Milliseconds()), 10))
	if p.held {
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.replay)), nil }
		out.Body, _ = out.GetBody()
		// The empty key is not sent; it lets the transport try a new connection when the
		// server closes a kept one at the wrong moment.
		out.Header["Idempotency-Key"] = append([]string{}, r.Header["Idempotency-Key"]...)
	}
	return out
}

// Failed implements through.Sender.
func (p *passing) Failed(w http.ResponseWriter, _ *http.Request, err error) {
	answer.OpenInference.Fail(w, slipway.AsError(err))
}

func notPassed(key string, rev *revision) *slipway.Error {
	e := &slipway.Error{Code: slipway.CodeNotPassed, Kind: slipway.NotFound, Message: key + " does not pass this path on to its server",
		Next: "its owner lists those that callers need in platform.yaml: model.proxy"}
	if len(rev.Runtime.Proxy) == 0 {
		e.Message, e.Next = key+" passes nothing on to a server of its own", "POST to /v2/models/"+key+"/infer"
	}
	return e
}
