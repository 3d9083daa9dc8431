package client

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/api"
)

// Keys says how what is stored is encrypted.
func (c *Client) Keys(ctx context.Context) (api.Keys, error) {
	return get[api.Keys](ctx, c, nil, "v1", "keys")
}

// RotateKeys gives a key space a new key; what older ones sealed is moved to it behind that.
func (c *Client) RotateKeys(ctx context.Context, r api.RotateKeys) (api.KeySpace, error) {
	return call[api.KeySpace](ctx, c, request{method: http.MethodPost, path: path("v1", "keys", "rotate")}, r)
}

// RewrapKeys wraps every data key again in the key service.
func (c *Client) RewrapKeys(ctx context.Context) (api.Rewrapped, error) {
	return call[api.Rewrapped](ctx, c, request{method: http.MethodPost, path: path("v1", "keys", "rewrap")}, struct{}{})
}

// ShredKeys destroys every key of a space, for ever, and proves it.
func (c *Client) ShredKeys(ctx context.Context, r api.ShredKeys) (api.Shredded, error) {
	return call[api.Shredded](ctx, c, request{method: http.MethodPost, path: path("v1", "keys", "shred")}, r)
}
