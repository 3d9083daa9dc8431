package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Runs are what MLflow's clients have logged, to be looked at.
type Runs interface {
	ListRuns(ctx context.Context, p slipway.Principal, q api.RunQuery) (api.Page[api.Run], error)
	GetRun(ctx context.Context, p slipway.Principal, id string) (api.Run, error)
	CompareRuns(ctx context.Context, p slipway.Principal, from, to string) (api.RunComparison, error)
}

func registerRuns(h huma.API, c Config) {
	type listInput struct {
		Cursor     string `query:"cursor" maxLength:"2000"`
		Limit      int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
		Team       string `query:"team" maxLength:"63"`
		Experiment string `query:"experiment" maxLength:"500" doc:"Its name or id"`
		Filter     string `query:"filter" maxLength:"10000" doc:"In MLflow's grammar, such as metrics.auc > 0.9"`
		Order      string `query:"order" maxLength:"1000" doc:"Such as metrics.auc DESC"`
	}
	handle(h, c, c.operation(authz.ExperimentRead, "list-runs", http.MethodGet, "/v1/runs", "Search runs of experiments"),
		func(ctx context.Context, in *listInput) (api.Page[api.Run], error) {
			return c.Governance.Runs.ListRuns(ctx, principal(ctx), api.RunQuery{Team: in.Team, Experiment: in.Experiment, Filter: in.Filter, Order: in.Order, Cursor: in.Cursor, Limit: in.Limit})
		})
	type runPath struct {
		Run string `path:"run" maxLength:"64"`
	}
	handle(h, c, c.operation(authz.ExperimentRead, "get-run", http.MethodGet, "/v1/runs/{run}", "One run with all that was logged in it"),
		func(ctx context.Context, in *runPath) (api.Run, error) {
			return c.Governance.Runs.GetRun(ctx, principal(ctx), in.Run)
		})
	type compareInput struct {
		Run string `path:"run" maxLength:"64"`
		To  string `query:"to" maxLength:"64" required:"true"`
	}
	handle(h, c, c.operation(authz.ExperimentRead, "compare-runs", http.MethodGet, "/v1/runs/{run}/comparison", "What differs between two runs"),
		func(ctx context.Context, in *compareInput) (api.RunComparison, error) {
			return c.Governance.Runs.CompareRuns(ctx, principal(ctx), in.Run, in.To)
		})
}
