package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Fleet is what runs: endpoints, their logs, the record of changes.
type Fleet interface {
	// Endpoints lists those that the principal may see.
	Endpoints(ctx context.Context, p slipway.Principal) ([]api.Endpoint, error)
	Endpoint(ctx context.Context, p slipway.Principal, key string) (api.Endpoint, error)
	Rollback(ctx context.Context, p slipway.Principal, key, reason string) (api.RolledBack, error)
	// Logs gives the newest lines of an endpoint's replicas in order of time, or those
	// behind a cursor.
	Logs(ctx context.Context, p slipway.Principal, key string, q api.LogQuery) (api.Logs, error)
	Records
}

// Records are the events, and what the server says of itself.
type Records interface {
	Events(ctx context.Context, p slipway.Principal, after int64, limit int) ([]api.Event, error)
	// History gives the events of an endpoint and its deployments, newest first, below a
	// sequence number unless it is 0.
	History(ctx context.Context, p slipway.Principal, key string, before int64, limit int) ([]api.Event, error)
	// Diff compares two revisions, given by their ids, by deployments or by endpoints.
	Diff(ctx context.Context, p slipway.Principal, from, to string) (api.Plan, error)
	Info(ctx context.Context, p slipway.Principal) (api.Info, error)
}

// Doctor examines the installation, and mends what it can with fix.
type Doctor interface {
	Examine(ctx context.Context, p slipway.Principal, fix bool) ([]api.Finding, error)
}

// EndpointPath is the endpoint of a path.
type EndpointPath struct {
	Endpoint string `path:"endpoint" maxLength:"127"`
}

func registerFleet(h huma.API, c Config) {
	handle(h, c, c.operation(authz.EndpointRead, "list-endpoints", http.MethodGet, "/v1/endpoints", "List endpoints"),
		func(ctx context.Context, _ *struct{}) ([]api.Endpoint, error) {
			return c.Fleet.Endpoints(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.EndpointRead, "get-endpoint", http.MethodGet, "/v1/endpoints/{endpoint}", "One endpoint: revisions, replicas, outcomes"),
		func(ctx context.Context, in *EndpointPath) (api.Endpoint, error) {
			return c.Fleet.Endpoint(ctx, principal(ctx), in.Endpoint)
		})
	type rollbackInput struct {
		EndpointPath
		Body api.Rollback
	}
	handle(h, c, c.operation(authz.EndpointRollback, "rollback-endpoint", http.MethodPost, "/v1/endpoints/{endpoint}/rollback", "Take the endpoint back; the gateway does it alone when the previous revision is warm"),
		func(ctx context.Context, in *rollbackInput) (api.RolledBack, error) {
			return c.Fleet.Rollback(ctx, principal(ctx), in.Endpoint, in.Body.Reason)
		})
	type logsInput struct {
		EndpointPath
		api.LogQuery
	}
	handle(h, c, c.operation(authz.EndpointLogs, "endpoint-logs", http.MethodGet, "/v1/endpoints/{endpoint}/logs", "The newest log lines of its replicas, or those behind a cursor"),
		func(ctx context.Context, in *logsInput) (api.Logs, error) {
			return c.Fleet.Logs(ctx, principal(ctx), in.Endpoint, in.LogQuery)
		})
	type eventsInput struct {
		After int64 `query:"after" minimum:"0"`
		Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"200"`
	}
	handle(h, c, c.operation(authz.AuditRead, "list-events", http.MethodGet, "/v1/events", "Every change, in order"),
		func(ctx context.Context, in *eventsInput) ([]api.Event, error) {
			return c.Fleet.Events(ctx, principal(ctx), in.After, in.Limit)
		})
	type examinationInput struct{ Body api.Examination }
	handle(h, c, c.operation(authz.ServerExamine, "examine", http.MethodPost, "/v1/examinations", "Look for what is wrong with the installation"),
		func(ctx context.Context, in *examinationInput) ([]api.Finding, error) {
			return c.Doctor.Examine(ctx, principal(ctx), in.Body.Fix)
		})
	type historyInput struct {
		EndpointPath
		Before int64 `query:"before" minimum:"0"`
		Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"200"`
	}
	handle(h, c, c.operation(authz.EndpointRead, "endpoint-history", http.MethodGet, "/v1/endpoints/{endpoint}/history", "What happened on an endpoint, newest first"),
		func(ctx context.Context, in *historyInput) ([]api.Event, error) {
			return c.Fleet.History(ctx, principal(ctx), in.Endpoint, in.Before, in.Limit)
		})
	type diffInput struct {
		From string `query:"from" required:"true" maxLength:"140" doc:"A revision, a deployment, or an endpoint: what serves there"`
		To   string `query:"to" required:"true" maxLength:"140"`
	}
	handle(h, c, c.operation(authz.EndpointRead, "diff", http.MethodGet, "/v1/diff", "What differs between two revisions"),
		func(ctx context.Context, in *diffInput) (api.Plan, error) {
			return c.Fleet.Diff(ctx, principal(ctx), in.From, in.To)
		})
	handle(h, c, c.operation(authz.ServerRead, "info", http.MethodGet, "/v1/info", "What this server is"),
		func(ctx context.Context, _ *struct{}) (api.Info, error) { return c.Fleet.Info(ctx, principal(ctx)) })
}
