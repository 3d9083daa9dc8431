package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway/api"
)

// Accounts lists the people and services that one may see.
func (c *Client) Accounts(ctx context.Context) ([]api.Account, error) {
	return get[[]api.Account](ctx, c, nil, "v1", "accounts")
}

// CreateAccount makes an account without roles.
func (c *Client) CreateAccount(ctx context.Context, r api.CreateAccount) (api.Account, error) {
	return call[api.Account](ctx, c, request{method: http.MethodPost, path: path("v1", "accounts")}, r)
}

// ChangeAccount sets the clearance of an account, or disables it.
func (c *Client) ChangeAccount(ctx context.Context, name string, r api.ChangeAccount) (api.Account, error) {
	return call[api.Account](ctx, c, request{method: http.MethodPatch, path: path("v1", "accounts", name)}, r)
}

// ChangeRole gives an account a role, or takes it away.
func (c *Client) ChangeRole(ctx context.Context, name string, r api.ChangeRole) (api.Account, error) {
	return call[api.Account](ctx, c, request{method: http.MethodPost, path: path("v1", "accounts", name, "roles")}, r)
}

// Tokens lists those of an account, or of all that one may see.
func (c *Client) Tokens(ctx context.Context, account string) ([]api.Token, error) {
	q := url.Values{}
	if account != "" {
		q.Set("account", account)
	}
	return get[[]api.Token](ctx, c, q, "v1", "tokens")
}

// IssueToken makes a token of an account. Its text is given this once.
func (c *Client) IssueToken(ctx context.Context, account string, r api.IssueToken) (api.Token, error) {
	return call[api.Token](ctx, c, request{method: http.MethodPost, path: path("v1", "accounts", account, "tokens")}, r)
}

// RotateToken makes a token like another, which stays good for a while.
func (c *Client) RotateToken(ctx context.Context, id string, r api.RotateToken) (api.Token, error) {
	return call[api.Token](ctx, c, request{method: http.MethodPost, path: path("v1", "tokens", id, "rotate")}, r)
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, id string, r api.RevokeToken) (api.Token, error) {
	return call[api.Token](ctx, c, request{method: http.MethodPost, path: path("v1", "tokens", id, "revoke")}, r)
}

// ExplainAccess says whether an account may do an action with a resource, and by which
// policies. The resource is "server", or a kind and a name: "endpoint/fraud".
func (c *Client) ExplainAccess(ctx context.Context, account, action, resource string) (api.AccessAnswer, error) {
	return get[api.AccessAnswer](ctx, c, url.Values{"account": {account}, "action": {action}, "resource": {resource}}, "v1", "access")
}
