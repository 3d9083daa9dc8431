package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway/api"
)

// Secrets lists the secrets of a team, or of all that one may see. Values are never answered.
func (c *Client) Secrets(ctx context.Context, team string) ([]api.Secret, error) {
	q := url.Values{}
	if team != "" {
		q.Set("team", team)
	}
	return get[[]api.Secret](ctx, c, q, "v1", "secrets")
}

// SetSecret sets a secret of a team, or says where it lies.
func (c *Client) SetSecret(ctx context.Context, team, name string, r api.SetSecret) (api.Secret, error) {
	return call[api.Secret](ctx, c, request{method: http.MethodPut, path: path("v1", "teams", team, "secrets", name)}, r)
}

// DeleteSecret deletes a secret that no endpoint names.
func (c *Client) DeleteSecret(ctx context.Context, team, name string) error {
	_, err := call[struct{}](ctx, c, request{method: http.MethodDelete, path: path("v1", "teams", team, "secrets", name)}, struct{}{})
	return err
}
