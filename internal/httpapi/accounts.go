package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Accounts are the people and the services.
type Accounts interface {
	// List gives those that the principal may see, by name.
	List(ctx context.Context, p slipway.Principal) ([]api.Account, error)
	Create(ctx context.Context, p slipway.Principal, r api.CreateAccount) (api.Account, error)
	Change(ctx context.Context, p slipway.Principal, name string, r api.ChangeAccount) (api.Account, error)
	ChangeRole(ctx context.Context, p slipway.Principal, name string, r api.ChangeRole) (api.Account, error)
	Tokens
}

// Tokens are what accounts act with.
type Tokens interface {
	// Tokens gives those of an account, or of all that the principal may see.
	Tokens(ctx context.Context, p slipway.Principal, account string) ([]api.Token, error)
	Issue(ctx context.Context, p slipway.Principal, account string, r api.IssueToken) (api.Token, error)
	Rotate(ctx context.Context, p slipway.Principal, id string, r api.RotateToken) (api.Token, error)
	Revoke(ctx context.Context, p slipway.Principal, id string, r api.RevokeToken) (api.Token, error)
	// Explain says whether an account may do something, and why.
	Explain(ctx context.Context, p slipway.Principal, account, action, resource string) (api.AccessAnswer, error)
}

// AccountPath is the account of a path.
type AccountPath struct {
	Account string `path:"account" maxLength:"63"`
}

// TokenPath is the token of a path: its id.
type TokenPath struct {
	Token string `path:"token" maxLength:"64"`
}

func registerAccounts(h huma.API, c Config) {
	handle(h, c, c.operation(authz.AccountRead, "list-accounts", http.MethodGet, "/v1/accounts", "People and services, with their roles"),
		func(ctx context.Context, _ *struct{}) ([]api.Account, error) {
			return c.Accounts.List(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.AccountCreate, "create-account", http.MethodPost, "/v1/accounts", "Make an account, without roles"),
		func(ctx context.Context, in *struct{ Body api.CreateAccount }) (api.Account, error) {
			return c.Accounts.Create(ctx, principal(ctx), in.Body)
		})
	type changeInput struct {
		AccountPath
		Body api.ChangeAccount
	}
	handle(h, c, c.operation(authz.AccountRead, "change-account", http.MethodPatch, "/v1/accounts/{account}", "Change the clearance, or disable the account"),
		func(ctx context.Context, in *changeInput) (api.Account, error) {
			return c.Accounts.Change(ctx, principal(ctx), in.Account, in.Body)
		})
	type roleInput struct {
		AccountPath
		Body api.ChangeRole
	}
	handle(h, c, c.operation(authz.AccountGrant, "change-role", http.MethodPost, "/v1/accounts/{account}/roles", "Give a role, or take it away"),
		func(ctx context.Context, in *roleInput) (api.Account, error) {
			return c.Accounts.ChangeRole(ctx, principal(ctx), in.Account, in.Body)
		})
	type explainInput struct {
		Account  string `query:"account" required:"true" maxLength:"63"`
		Action   string `query:"action" required:"true" maxLength:"63"`
		Resource string `query:"resource" required:"true" maxLength:"200" doc:"server, or endpoint/NAME, model/NAME, account/NAME"`
	}
	handle(h, c, c.operation(authz.ServerRead, "explain-access", http.MethodGet, "/v1/access", "Whether an account may do something, and by which policy"),
		func(ctx context.Context, in *explainInput) (api.AccessAnswer, error) {
			return c.Accounts.Explain(ctx, principal(ctx), in.Account, in.Action, in.Resource)
		})
	registerTokens(h, c)
}

func registerTokens(h huma.API, c Config) {
	type listInput struct {
		Account string `query:"account" maxLength:"63"`
	}
	handle(h, c, c.operation(authz.AccountRead, "list-tokens", http.MethodGet, "/v1/tokens", "Tokens, but for their texts"),
		func(ctx context.Context, in *listInput) ([]api.Token, error) {
			return c.Accounts.Tokens(ctx, principal(ctx), in.Account)
		})
	type issueInput struct {
		AccountPath
		Body api.IssueToken
	}
	handle(h, c, c.operation(authz.TokenIssue, "issue-token", http.MethodPost, "/v1/accounts/{account}/tokens", "Make a token; its text is given this once"),
		func(ctx context.Context, in *issueInput) (api.Token, error) {
			return c.Accounts.Issue(ctx, principal(ctx), in.Account, in.Body)
		})
	type rotateInput struct {
		TokenPath
		Body api.RotateToken
	}
	handle(h, c, c.operation(authz.TokenIssue, "rotate-token", http.MethodPost, "/v1/tokens/{token}/rotate", "Make a token like this one, which stays good for a while"),
		func(ctx context.Context, in *rotateInput) (api.Token, error) {
			return c.Accounts.Rotate(ctx, principal(ctx), in.Token, in.Body)
		})
	type revokeInput struct {
		TokenPath
		Body api.RevokeToken
	}
	handle(h, c, c.operation(authz.TokenRevoke, "revoke-token", http.MethodPost, "/v1/tokens/{token}/revoke", "End a token at once"),
		func(ctx context.Context, in *revokeInput) (api.Token, error) {
			return c.Accounts.Revoke(ctx, principal(ctx), in.Token, in.Body)
		})
}
