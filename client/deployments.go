package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway/api"
)

// CreateDeployment starts a deployment. The same key gives the same deployment; an empty
// key is replaced by a random one, so that a repeated attempt does not deploy twice.
func (c *Client) CreateDeployment(ctx context.Context, key string, r api.CreateDeployment) (api.Deployment, error) {
	if key == "" {
		key = rand.Text()
	}
	return call[api.Deployment](ctx, c, request{method: http.MethodPost, path: path("v1", "deployments"),
		header: http.Header{"Idempotency-Key": {key}}, idempotent: true}, r)
}

// Plan says what a deployment would change. Nothing is changed by it.
func (c *Client) Plan(ctx context.Context, r api.CreatePlan) (api.Plan, error) {
	return call[api.Plan](ctx, c, request{method: http.MethodPost, path: path("v1", "plans"), idempotent: true}, r)
}

// Deployment gives one deployment with its stages and its judgement.
func (c *Client) Deployment(ctx context.Context, id string) (api.Deployment, error) {
	return get[api.Deployment](ctx, c, nil, "v1", "deployments", id)
}

// Deployments lists deployments, newest first: of one endpoint, or of all for "", with
// numbers below before if that is not 0, at most limit, 0 for the server's default.
func (c *Client) Deployments(ctx context.Context, endpoint string, before, limit int) ([]api.Deployment, error) {
	q := url.Values{}
	if endpoint != "" {
		q.Set("endpoint", endpoint)
	}
	number(q, "before", int64(before))
	number(q, "limit", int64(limit))
	return get[[]api.Deployment](ctx, c, q, "v1", "deployments")
}

// CommandDeployment promotes a paused deployment or aborts a running one.
func (c *Client) CommandDeployment(ctx context.Context, id string, cmd api.Command) (api.Deployment, error) {
	return call[api.Deployment](ctx, c, request{method: http.MethodPost, path: path("v1", "deployments", id, "commands")}, cmd)
}
