package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Keys are what is stored encrypted with.
type Keys interface {
	Keys(ctx context.Context, p slipway.Principal) (api.Keys, error)
	// Rotate gives a space a new key; what older ones sealed is moved to it in the background.
	Rotate(ctx context.Context, p slipway.Principal, r api.RotateKeys) (api.KeySpace, error)
	// Rewrap wraps every data key again with the newest version of its wrapping key.
	Rewrap(ctx context.Context, p slipway.Principal) (api.Rewrapped, error)
	// Shred destroys every key of a space, and proves it.
	Shred(ctx context.Context, p slipway.Principal, r api.ShredKeys) (api.Shredded, error)
}

func registerKeys(h huma.API, c Config) {
	handle(h, c, c.operation(authz.KeysRead, "list-keys", http.MethodGet, "/v1/keys", "Key spaces and their keys, but for the keys themselves"),
		func(ctx context.Context, _ *struct{}) (api.Keys, error) {
			return c.Keys.Keys(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.KeysRotate, "rotate-keys", http.MethodPost, "/v1/keys/rotate", "Give a key space a new key, without a pause"),
		func(ctx context.Context, in *struct{ Body api.RotateKeys }) (api.KeySpace, error) {
			return c.Keys.Rotate(ctx, principal(ctx), in.Body)
		})
	handle(h, c, c.operation(authz.KeysRotate, "rewrap-keys", http.MethodPost, "/v1/keys/rewrap", "Wrap every data key again in the key service"),
		func(ctx context.Context, _ *struct{}) (api.Rewrapped, error) {
			return c.Keys.Rewrap(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.KeysShred, "shred-keys", http.MethodPost, "/v1/keys/shred", "Destroy every key of a space, for ever, and prove it"),
		func(ctx context.Context, in *struct{ Body api.ShredKeys }) (api.Shredded, error) {
			return c.Keys.Shred(ctx, principal(ctx), in.Body)
		})
}
