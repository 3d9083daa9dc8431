package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

const (
	// quietLimit is how long a stream may be silent before it is opened anew: a connection
	// that died without a word looks like this.
	quietLimit = 30 * time.Second
	patience   = 2 * time.Minute
)

// WatchDeployment gives a deployment now and at each change, until it has ended. It
// outlives restarts of the server: a broken stream is opened again, and gives up when the
// server was away for two minutes. An error is the last thing it gives.
func (c *Client) WatchDeployment(ctx context.Context, id string) iter.Seq2[api.Deployment, error] {
	return func(yield func(api.Deployment, error) bool) {
		w := &watch{yield: yield}
		contact := time.Now()
		for try := 0; !w.ended; {
			seen, err := c.stream(ctx, id, w)
			if w.ended {
				return
			}
			if seen {
				contact, try = time.Now(), 0
			}
			try++
			var f *failure
			switch {
			case ctx.Err() != nil:
				err = ctx.Err()
			case err == nil: // quiet, or the server closed it
				err = c.pause(ctx, try, &failure{err: errClosed})
			case errors.As(err, &f) && time.Since(contact) < patience:
				err = c.pause(ctx, try, err)
			}
			if err != nil {
				yield(api.Deployment{}, final(err))
				return
			}
		}
	}
}

var errClosed = &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Message: "the server closed the stream", Next: "try again"}

// watch is what the streams of one deployment have in common.
type watch struct {
	yield func(api.Deployment, error) bool
	last  []byte // the newest state, as it came
	ended bool
}

// stream reads one stream to its end. seen says that the server answered.
func (c *Client) stream(ctx context.Context, id string, w *watch) (seen bool, err error) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(quietLimit, cancel)
	defer quiet.Stop()
	resp, err := c.open(ctx, request{method: http.MethodGet, path: path("v1", "deployments", id, "events"),
		header: http.Header{"Accept": {"text/event-stream"}}}, nil, 0)
	if err != nil {
		if outer.Err() == nil && ctx.Err() != nil {
			return false, &failure{err: c.noAnswer()}
		}
		return false, err
	}
	defer resp.Body.Close()
	var problem error
	err = readEvents(resp.Body, func(event string, data []byte) bool {
		quiet.Reset(quietLimit)
		switch event {
		case "deployment":
			problem = w.take(data)
			seen = seen || problem == nil
		case "problem":
			problem = problemOf(data)
		}
		return problem == nil && !w.ended
	})
	switch {
	case problem != nil:
		return seen, problem
	case errors.Is(err, errTooLong):
		return seen, err
	}
	return seen, nil // a stream may break at any time
}

func (c *Client) noAnswer() error {
	return &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Message: "no answer in time from " + c.base, Next: "platform up"}
}

// take gives a state to the caller, unless it is the one before: each stream begins with
// the newest.
func (w *watch) take(data []byte) error {
	if bytes.Equal(data, w.last) {
		return nil
	}
	var d api.Deployment
	if err := json.Unmarshal(data, &d); err != nil {
		return &slipway.Error{Code: slipway.CodeInternal, Kind: slipway.Internal, Cause: err,
			Message: "the server sent an event that is no deployment", Next: "check that client and server have the same version"}
	}
	w.last = bytes.Clone(data)
	w.ended = !w.yield(d, nil) || d.Status != "running"
	return nil
}

// problemOf reads the event that ends a stream. A server that is ending says so, or that
// it failed; the next one may know better.
func problemOf(data []byte) error {
	var p api.Problem
	if err := json.Unmarshal(data, &p); err != nil {
		p.Status = http.StatusInternalServerError
	}
	e := errorOf(p.Status, data)
	if p.Status >= http.StatusInternalServerError {
		return &failure{err: e}
	}
	return e
}
