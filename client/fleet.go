package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Endpoints lists all endpoints.
func (c *Client) Endpoints(ctx context.Context) ([]api.Endpoint, error) {
	return get[[]api.Endpoint](ctx, c, nil, "v1", "endpoints")
}

// Endpoint gives one endpoint by its key: its name, or name.environment.
func (c *Client) Endpoint(ctx context.Context, key string) (api.Endpoint, error) {
	return get[api.Endpoint](ctx, c, nil, "v1", "endpoints", key)
}

// Rollback takes an endpoint back to the revision before. It is not repeated by itself
// once it was sent: a second one could go back further.
func (c *Client) Rollback(ctx context.Context, key, reason string) (api.RolledBack, error) {
	return call[api.RolledBack](ctx, c, request{method: http.MethodPost, path: path("v1", "endpoints", key, "rollback")}, api.Rollback{Reason: reason})
}

// Logs gives the newest lines of an endpoint's replicas in order of time, or those behind a
// cursor.
func (c *Client) Logs(ctx context.Context, key string, want api.LogQuery) (api.Logs, error) {
	q := url.Values{}
	for name, v := range map[string]string{"revision": want.Revision, "replica": want.Replica, "request": want.Request, "level": want.Level, "after": want.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for name, t := range map[string]time.Time{"since": want.Since, "until": want.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	number(q, "tail", int64(want.Tail))
	number(q, "wait", int64(want.Wait))
	return get[api.Logs](ctx, c, q, "v1", "endpoints", key, "logs")
}

// Events lists recorded changes in order, from the one after a sequence number.
func (c *Client) Events(ctx context.Context, after int64, limit int) ([]api.Event, error) {
	q := url.Values{}
	number(q, "after", after)
	number(q, "limit", int64(limit))
	return get[[]api.Event](ctx, c, q, "v1", "events")
}

// History lists what happened on an endpoint, newest first, below a sequence number unless
// it is 0.
func (c *Client) History(ctx context.Context, key string, before int64, limit int) ([]api.Event, error) {
	q := url.Values{}
	number(q, "before", before)
	number(q, "limit", int64(limit))
	return get[[]api.Event](ctx, c, q, "v1", "endpoints", key, "history")
}

// Diff compares two revisions. Each is given by its id, by a deployment, or by an endpoint:
// what serves there.
func (c *Client) Diff(ctx context.Context, from, to string) (api.Plan, error) {
	return get[api.Plan](ctx, c, url.Values{"from": {from}, "to": {to}}, "v1", "diff")
}

// Examine looks for what is wrong with the installation; with fix the server mends what it
// can.
func (c *Client) Examine(ctx context.Context, fix bool) ([]api.Finding, error) {
	return call[[]api.Finding](ctx, c, request{method: http.MethodPost, path: path("v1", "examinations"), idempotent: true}, api.Examination{Fix: fix})
}

// Info tells what the server is.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return get[api.Info](ctx, c, nil, "v1", "info")
}
