package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
)

const (
	callLimit  = 30 * time.Second
	maxAnswer  = 32 << 20 // bytes of an answer
	firstWait  = 100 * time.Millisecond
	longWait   = 2 * time.Second
	maxTries   = 6 // of a call that is safe to repeat
	maxDials   = 3 // while nothing listens at all
	maxAfter   = 5 * time.Second
	jsonType   = "application/json"
	typeHeader = "Content-Type"
)

// request is one call. A request that is idempotent has the same effect when it arrives
// twice.
type request struct {
	method     string
	path       string
	query      url.Values
	header     http.Header
	body       []byte // JSON, or nil
	idempotent bool
}

// get asks for a value.
func get[T any](ctx context.Context, c *Client, query url.Values, parts ...string) (T, error) {
	return call[T](ctx, c, request{method: http.MethodGet, path: path(parts...), query: query, idempotent: true}, nil)
}

// call passes a value, nil for none, and asks for another.
func call[T any](ctx context.Context, c *Client, r request, body any) (T, error) {
	var out T
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return out, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "check what was given", "the request is no JSON: %v", err)
		}
		r.body = b
	}
	raw, err := c.do(ctx, r)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
			Message: "what answers at " + c.base + " is not this platform", Next: "check the server's address"}
	}
	return out, nil
}

// do makes a request, again if that is safe and may help, and gives the answer's body.
func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	for try := 1; ; try++ {
		raw, err := c.once(ctx, r)
		if err == nil || !worth(err, try, r.idempotent) {
			return raw, final(err)
		}
		if err := c.pause(ctx, try, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) once(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := c.open(ctx, r, bytes.NewReader(r.body), int64(len(r.body)))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(ctx, err)
	case len(raw) > maxAnswer:
		return nil, slipway.Errorf(slipway.Internal, slipway.CodeTooLarge, "ask for less at once", "the answer is larger than %d MiB", maxAnswer>>20)
	}
	return raw, nil
}

// open sends a request and gives the answer if it is a success; the caller closes it.
func (c *Client) open(ctx context.Context, r request, body io.Reader, size int64) (*http.Response, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	if size == 0 {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "check what was given", "the request cannot be made: %v", err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.ContentLength = size
	if r.body != nil {
		req.Header.Set(typeHeader, jsonType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// failure is an error that may go away: what is told in the end, and what decides whether
// the call is worth another attempt.
type failure struct {
	err   error
	dial  bool          // nothing was sent
	after time.Duration // the server's own advice, or 0
}

func (f *failure) Error() string { return f.err.Error() }

// final takes the wrapping off.
func final(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f.err
	}
	return err
}

// worth tells whether to try again after so many tries.
func worth(err error, tries int, idempotent bool) bool {
	var f *failure
	if !errors.As(err, &f) {
		return false
	}
	if f.dial {
		return tries < maxDials
	}
	return idempotent && tries < maxTries
}

// unreachable classifies an error of the transport. The caller's own cancellation is
// given as it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	e := &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
		Message: "no answer from " + c.base, Next: "platform up"}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Message = "no answer in time from " + c.base
		return e
	}
	if untrusted := new(tls.CertificateVerificationError); errors.As(err, &untrusted) {
		e.Code, e.Message, e.Next = slipway.CodeCertificate, "the certificate of "+c.base+" is not to be trusted: "+slipway.OneLine(untrusted.Err.Error(), 200),
			"give the authority that signed it: --ca-file FILE, or SLIPWAY_CA"
		return e
	}
	var op *net.OpError
	return &failure{err: e, dial: errors.As(err, &op) && op.Op == "dial"}
}

// pause waits before the next try: twice as long each time, and somewhat at random, so
// that many clients do not come back together.
func (c *Client) pause(ctx context.Context, try int, err error) error {
	wait := min(firstWait<<min(try-1, 10), longWait)
	wait = wait/2 + rand.N(wait/2+1)
	var f *failure
	if errors.As(err, &f) {
		wait = max(wait, min(f.after, maxAfter))
	}
	if c.retrying != nil {
		c.retrying(final(err), wait)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// retryAfter reads the header's form in seconds (RFC 9110 §10.2.3).
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
