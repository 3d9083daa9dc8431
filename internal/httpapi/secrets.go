package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Secrets are what models need to know and nobody else does. No value is ever answered.
type Secrets interface {
	// Secrets gives those of a team, or of all that the principal may see.
	Secrets(ctx context.Context, p slipway.Principal, team string) ([]api.Secret, error)
	SetSecret(ctx context.Context, p slipway.Principal, team, name string, r api.SetSecret) (api.Secret, error)
	DeleteSecret(ctx context.Context, p slipway.Principal, team, name string) error
}

// SecretPath is the secret of a path.
type SecretPath struct {
	Team   string `path:"team" maxLength:"63"`
	Secret string `path:"secret" maxLength:"63"`
}

func registerSecrets(h huma.API, c Config) {
	type listInput struct {
		Team string `query:"team" maxLength:"63"`
	}
	handle(h, c, c.operation(authz.SecretList, "list-secrets", http.MethodGet, "/v1/secrets", "Secrets of models, but for their values"),
		func(ctx context.Context, in *listInput) ([]api.Secret, error) {
			return c.Secrets.Secrets(ctx, principal(ctx), in.Team)
		})
	type setInput struct {
		SecretPath
		Body api.SetSecret
	}
	handle(h, c, c.operation(authz.SecretSet, "set-secret", http.MethodPut, "/v1/teams/{team}/secrets/{secret}", "Set a secret of a team, or say where it lies"),
		func(ctx context.Context, in *setInput) (api.Secret, error) {
			return c.Secrets.SetSecret(ctx, principal(ctx), in.Team, in.Secret, in.Body)
		})
	handle(h, c, c.operation(authz.SecretDelete, "delete-secret", http.MethodDelete, "/v1/teams/{team}/secrets/{secret}", "Delete a secret that no endpoint names"),
		func(ctx context.Context, in *SecretPath) (struct{}, error) {
			return struct{}{}, c.Secrets.DeleteSecret(ctx, principal(ctx), in.Team, in.Secret)
		})
}
