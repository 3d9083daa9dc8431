package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Policies are what an installation adds to the policies that the platform brings.
type Policies interface {
	// List gives every version without its text, newest first.
	List(ctx context.Context, p slipway.Principal) ([]api.PolicyVersion, error)
	Show(ctx context.Context, p slipway.Principal, version int) (api.PolicyVersion, error)
	Test(ctx context.Context, p slipway.Principal, text string) (api.PolicyTest, error)
	Propose(ctx context.Context, p slipway.Principal, r api.ProposePolicy) (api.PolicyVersion, error)
	Decide(ctx context.Context, p slipway.Principal, version int, r api.DecidePolicy) (api.PolicyVersion, error)
}

// VersionPath is the version of a path.
type VersionPath struct {
	Version int `path:"version" minimum:"0"`
}

// maxPolicy bounds the body that holds a text of policies, as JSON.
const maxPolicy = 1 << 20

func registerPolicies(h huma.API, c Config) {
	handle(h, c, c.operation(authz.PolicyRead, "list-policies", http.MethodGet, "/v1/policies", "Versions of this installation's policies, newest first"),
		func(ctx context.Context, _ *struct{}) ([]api.PolicyVersion, error) {
			return c.Policies.List(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.PolicyRead, "get-policy", http.MethodGet, "/v1/policies/{version}", "One version with its text; 0 is what the platform brings"),
		func(ctx context.Context, in *VersionPath) (api.PolicyVersion, error) {
			return c.Policies.Show(ctx, principal(ctx), in.Version)
		})
	test := c.operation(authz.PolicyRead, "test-policy", http.MethodPost, "/v1/policies/test", "What a text would take from and give to the accounts that there are")
	test.MaxBodyBytes = maxPolicy
	handle(h, c, test, func(ctx context.Context, in *struct{ Body api.TestPolicy }) (api.PolicyTest, error) {
		return c.Policies.Test(ctx, principal(ctx), in.Body.Text)
	})
	propose := c.operation(authz.PolicyPropose, "propose-policy", http.MethodPost, "/v1/policies", "Propose other additions in place of those in force")
	propose.MaxBodyBytes = maxPolicy
	handle(h, c, propose, func(ctx context.Context, in *struct{ Body api.ProposePolicy }) (api.PolicyVersion, error) {
		return c.Policies.Propose(ctx, principal(ctx), in.Body)
	})
	type decideInput struct {
		VersionPath
		Body api.DecidePolicy
	}
	handle(h, c, c.operation(authz.PolicyDecide, "decide-policy", http.MethodPost, "/v1/policies/{version}/decision", "Approve what another has proposed, or reject it"),
		func(ctx context.Context, in *decideInput) (api.PolicyVersion, error) {
			return c.Policies.Decide(ctx, principal(ctx), in.Version, in.Body)
		})
}
