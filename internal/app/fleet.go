package app

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// fleetAPI is httpapi.Fleet: what runs.
type fleetAPI struct{ a *App }

// observe asks the gateway, and goes without its word if it does not answer.
func (f fleetAPI) observe(ctx context.Context) *route.Observation {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	o, err := f.a.admin.Observe(ctx)
	if err != nil {
		return nil
	}
	return &o
}

// Endpoints lists those that the principal may see.
func (f fleetAPI) Endpoints(ctx context.Context, p slipway.Principal) ([]api.Endpoint, error) {
	all, err := f.a.rollouts.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	obs, out := f.observe(ctx), []api.Endpoint{}
	for _, e := range all {
		if f.a.access.Allows(p, authz.EndpointRead, access.EndpointOf(&e)) {
			out = append(out, endpointView(e, obs))
		}
	}
	return out, nil
}

// Endpoint finds one endpoint.
func (f fleetAPI) Endpoint(ctx context.Context, p slipway.Principal, key string) (api.Endpoint, error) {
	e, err := f.may(ctx, p, authz.EndpointRead, key)
	if err != nil {
		return api.Endpoint{}, err
	}
	return endpointView(e, f.observe(ctx)), nil
}

// may finds an endpoint that a principal may do something with.
func (f fleetAPI) may(ctx context.Context, p slipway.Principal, a authz.Action, key string) (rollout.Endpoint, error) {
	if err := f.a.access.CheckNamed(ctx, p, a, key); err != nil {
		return rollout.Endpoint{}, err
	}
	return f.find(ctx, key)
}

func (f fleetAPI) find(ctx context.Context, key string) (rollout.Endpoint, error) {
	if _, _, err := slipway.ParseEndpoint(key); err != nil {
		return rollout.Endpoint{}, err
	}
	return f.a.rollouts.Endpoint(ctx, key)
}

// Rollback takes an endpoint back by a deployment: the gateway passes a rollback on to
// here only when it cannot make it alone.
func (f fleetAPI) Rollback(ctx context.Context, p slipway.Principal, key, reason string) (api.RolledBack, error) {
	start := time.Now()
	e, err := f.may(ctx, p, authz.EndpointRollback, key)
	if err != nil {
		return api.RolledBack{}, err
	}
	out := api.RolledBack{Endpoint: key}
	if r := e.Serving(); r != nil {
		out.FromRevision = r.ID
	}
	d, err := f.a.controller.Rollback(ctx, key, p.ID, reason)
	if err != nil {
		return api.RolledBack{}, err
	}
	out.Deployment, out.TookMS = d.ID, float64(time.Since(start).Microseconds())/1000
	return out, nil
}
