package client

import (
	"context"
	"net/http"
	"net/url"

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

// Logs gives the newest lines of an endpoint's replicas in order of time; of one revision
// if it is not "". tail 0 is the server's default.
func (c *Client) Logs(ctx context.Context, key, revision string, tail int) ([]api.LogLine, error) {
	q := url.Values{}
	if revision != "" {
		q.Set("revision", revision)
	}
	number(q, "tail", int64(tail))
	return get[[]api.LogLine](ctx, c, q, "v1", "endpoints", key, "logs")
}

// Events lists recorded changes in order, from the one after a sequence number.
func (c *Client) Events(ctx context.Context, after int64, limit int) ([]api.Event, error) {
	q := url.Values{}
	number(q, "after", after)
	number(q, "limit", int64(limit))
	return get[[]api.Event](ctx, c, q, "v1", "events")
}

// Info tells what the server is.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return get[api.Info](ctx, c, nil, "v1", "info")
}
