package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Deployments are the use cases around one attempt to bring a version to an endpoint.
type Deployments interface {
	// Create starts a deployment; the same key by the same principal gives the same one.
	Create(ctx context.Context, p slipway.Principal, key string, r api.CreateDeployment) (api.Deployment, error)
	Get(ctx context.Context, p slipway.Principal, id string) (api.Deployment, error)
	// List gives newest first, of one endpoint or of all that the principal may see, with
	// numbers below before.
	List(ctx context.Context, p slipway.Principal, endpoint string, before, limit int) ([]api.Deployment, error)
	Command(ctx context.Context, p slipway.Principal, id string, c api.Command) error
	// Changed gives a channel that is closed at the next change of any deployment.
	Changed() <-chan struct{}
}

// Plans say what a deployment would change. Nothing is changed by them.
type Plans interface {
	Plan(ctx context.Context, p slipway.Principal, r api.CreatePlan) (api.Plan, error)
}

func registerDeployments(h huma.API, c Config) {
	type createInput struct {
		Key  string `header:"Idempotency-Key" maxLength:"200" doc:"The same key gives the same deployment"`
		Body api.CreateDeployment
	}
	handle(h, c, c.operation(authz.EndpointDeploy, "create-deployment", http.MethodPost, "/v1/deployments", "Deploy a version to an endpoint"),
		func(ctx context.Context, in *createInput) (api.Deployment, error) {
			return c.Deployments.Create(ctx, principal(ctx), in.Key, in.Body)
		})
	type planInput struct{ Body api.CreatePlan }
	handle(h, c, c.operation(authz.EndpointPlan, "create-plan", http.MethodPost, "/v1/plans", "Say what a deployment would change, without one"),
		func(ctx context.Context, in *planInput) (api.Plan, error) {
			return c.Plans.Plan(ctx, principal(ctx), in.Body)
		})
	type listInput struct {
		Endpoint string `query:"endpoint" maxLength:"127"`
		Before   int    `query:"before" minimum:"0"`
		Limit    int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	}
	handle(h, c, c.operation(authz.EndpointRead, "list-deployments", http.MethodGet, "/v1/deployments", "List deployments, newest first"),
		func(ctx context.Context, in *listInput) ([]api.Deployment, error) {
			return c.Deployments.List(ctx, principal(ctx), in.Endpoint, in.Before, in.Limit)
		})
	handle(h, c, c.operation(authz.EndpointRead, "get-deployment", http.MethodGet, "/v1/deployments/{id}", "One deployment, with its stages and its judgement"),
		func(ctx context.Context, in *IDPath) (api.Deployment, error) {
			return c.Deployments.Get(ctx, principal(ctx), in.ID)
		})
	type commandInput struct {
		IDPath
		Body api.Command
	}
	handle(h, c, c.operation(authz.EndpointCommand, "command-deployment", http.MethodPost, "/v1/deployments/{id}/commands", "Promote a paused deployment, or abort a running one"),
		func(ctx context.Context, in *commandInput) (api.Deployment, error) {
			if err := c.Deployments.Command(ctx, principal(ctx), in.ID, in.Body); err != nil {
				return api.Deployment{}, err
			}
			return c.Deployments.Get(ctx, principal(ctx), in.ID)
		})
	sse.Register(h, c.operation(authz.EndpointRead, "watch-deployment", http.MethodGet, "/v1/deployments/{id}/events", "The deployment at each change, until it ends"),
		map[string]any{"deployment": api.Deployment{}, "problem": api.Problem{}},
		func(ctx context.Context, in *IDPath, send sse.Sender) { watch(ctx, c.Deployments, in.ID, send) })
}

// IDPath is the id of a path.
type IDPath struct {
	ID string `path:"id" maxLength:"64"`
}

// watch sends a deployment whenever it has changed, and ends with it.
func watch(ctx context.Context, ds Deployments, id string, send sse.Sender) {
	for {
		changed := ds.Changed() // before the read, so that no change falls between
		d, err := ds.Get(ctx, principal(ctx), id)
		if err != nil {
			_ = send.Data(ProblemOf(err))
			return
		}
		if send.Data(d) != nil || d.Status != "running" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}
