package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Imports takes what comes from another MLflow server. Each call may be repeated, and brings
// up to date what came before.
type Imports interface {
	Query(ctx context.Context, p slipway.Principal, q api.ImportQuery) ([]api.Imported, error)
	Done(ctx context.Context, p slipway.Principal, d api.ImportDone) error
	ImportedRuns
	ImportedModels
}

// ImportedRuns takes experiments and what is in them.
type ImportedRuns interface {
	Experiment(ctx context.Context, p slipway.Principal, e api.ImportExperiment) (api.Imported, error)
	Run(ctx context.Context, p slipway.Principal, r api.ImportRun) (api.Imported, error)
	Metrics(ctx context.Context, p slipway.Principal, run string, m api.ImportMetrics) error
	LoggedModel(ctx context.Context, p slipway.Principal, m api.ImportLoggedModel) (api.Imported, error)
}

// ImportedModels takes registered models.
type ImportedModels interface {
	Model(ctx context.Context, p slipway.Principal, m api.ImportModel) (api.Imported, error)
	Version(ctx context.Context, p slipway.Principal, v api.ImportVersion) (api.Imported, error)
}

// importRoute is a route that takes something.
func importRoute[In any](h huma.API, c Config, a authz.Action, id, path, summary string, do func(ctx context.Context, p slipway.Principal, in In) (api.Imported, error)) {
	handle(h, c, large(c.operation(a, id, http.MethodPost, "/v1/imports/"+path, summary)), func(ctx context.Context, in *struct{ Body In }) (api.Imported, error) {
		return do(ctx, principal(ctx), in.Body)
	})
}

func registerImports(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ExperimentWrite, "query-imports", http.MethodPost, "/v1/imports/query", "What of another server's has come, and is it whole"),
		func(ctx context.Context, in *struct{ Body api.ImportQuery }) (api.ImportAnswer, error) {
			found, err := c.Imports.Query(ctx, principal(ctx), in.Body)
			return api.ImportAnswer{Items: found}, err
		})
	type nothing struct{}
	handle(h, c, c.operation(authz.ExperimentWrite, "import-done", http.MethodPost, "/v1/imports/done", "Say that all of something has come"),
		func(ctx context.Context, in *struct{ Body api.ImportDone }) (nothing, error) {
			return nothing{}, c.Imports.Done(ctx, principal(ctx), in.Body)
		})
	handle(h, c, large(c.operation(authz.ExperimentWrite, "import-metrics", http.MethodPost, "/v1/imports/runs/{run}/metrics", "Bring measurements of a run; those that are there count for nothing")),
		func(ctx context.Context, in *struct {
			Run  string `path:"run" maxLength:"256"`
			Body api.ImportMetrics
		}) (nothing, error) {
			return nothing{}, c.Imports.Metrics(ctx, principal(ctx), in.Run, in.Body)
		})
	im := c.Imports
	importRoute(h, c, authz.ExperimentWrite, "import-experiment", "experiments", "Bring an experiment of another server", func(ctx context.Context, p slipway.Principal, in api.ImportExperiment) (api.Imported, error) {
		return im.Experiment(ctx, p, in)
	})
	importRoute(h, c, authz.ExperimentWrite, "import-run", "runs", "Bring a run, with its id and its times", func(ctx context.Context, p slipway.Principal, in api.ImportRun) (api.Imported, error) {
		return im.Run(ctx, p, in)
	})
	importRoute(h, c, authz.ExperimentWrite, "import-logged-model", "logged-models", "Bring a logged model, with its id and its times", func(ctx context.Context, p slipway.Principal, in api.ImportLoggedModel) (api.Imported, error) {
		return im.LoggedModel(ctx, p, in)
	})
	importRoute(h, c, authz.ModelRegister, "import-model", "models", "Bring a registered model", func(ctx context.Context, p slipway.Principal, in api.ImportModel) (api.Imported, error) {
		return im.Model(ctx, p, in)
	})
	importRoute(h, c, authz.ModelRegister, "import-version", "versions", "Bring a version, with its number and its times", func(ctx context.Context, p slipway.Principal, in api.ImportVersion) (api.Imported, error) {
		return im.Version(ctx, p, in)
	})
}
