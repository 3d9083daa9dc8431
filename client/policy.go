package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/slipway-ml/slipway/api"
)

// Policies lists the versions of an installation's policies, newest first, without texts.
func (c *Client) Policies(ctx context.Context) ([]api.PolicyVersion, error) {
	return get[[]api.PolicyVersion](ctx, c, nil, "v1", "policies")
}

// Policy gives one version; 0 is what the platform brings.
func (c *Client) Policy(ctx context.Context, version int) (api.PolicyVersion, error) {
	return get[api.PolicyVersion](ctx, c, nil, "v1", "policies", strconv.Itoa(version))
}

// TestPolicy says what a text would change, and changes nothing.
func (c *Client) TestPolicy(ctx context.Context, r api.TestPolicy) (api.PolicyTest, error) {
	return call[api.PolicyTest](ctx, c, request{method: http.MethodPost, path: path("v1", "policies", "test")}, r)
}

// ProposePolicy asks for other additions in place of those in force.
func (c *Client) ProposePolicy(ctx context.Context, r api.ProposePolicy) (api.PolicyVersion, error) {
	return call[api.PolicyVersion](ctx, c, request{method: http.MethodPost, path: path("v1", "policies")}, r)
}

// DecidePolicy approves a proposal, or rejects it.
func (c *Client) DecidePolicy(ctx context.Context, version int, r api.DecidePolicy) (api.PolicyVersion, error) {
	return call[api.PolicyVersion](ctx, c, request{method: http.MethodPost, path: path("v1", "policies", strconv.Itoa(version), "decision")}, r)
}
