package app

import (
	"net/http"
	"slices"
	"time"

	apptracking "github.com/slipway-ml/slipway/internal/app/tracking"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/mlflowapi/models"
	trackingapi "github.com/slipway-ml/slipway/internal/mlflowapi/tracking"
	mlflowwebhooks "github.com/slipway-ml/slipway/internal/mlflowapi/webhooks"
	"github.com/slipway-ml/slipway/internal/route"
	trackingstore "github.com/slipway-ml/slipway/internal/sqlstore/tracking"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// artifactRoot is the place of artifacts as MLflow's clients know it: they reach it through
// this platform.
const artifactRoot = "mlflow-artifacts:"

// newTracking joins what keeps experiments.
func (a *App) newTracking() {
	store := trackingstore.New(a.db)
	a.tracking = tracking.New(store.Stores(), artifactRoot, time.Now)
	a.experiments = apptracking.New(a.tracking, a.access, store.Teams, time.Now)
	a.access.Experiments = a.tracking
}

// mlflow is every route of MLflow's API.
func (a *App) mlflow() []mlflowapi.Route {
	return slices.Concat(
		models.Routes(a.registered),
		mlflowwebhooks.Routes(a.webhooks),
		a.artifactRoutes(),
		mlflowapi.About(mlflowapi.Info{StoreType: "SqlStore", Workspaces: true}, apptracking.Workspaces{Service: a.experiments, People: a.access.Identity}),
		trackingapi.Routes(a.experiments),
	)
}

// withMLflow puts the front door for MLflow's clients before the others.
func (a *App) withMLflow(others http.Handler) http.Handler {
	h := mlflowapi.New(mlflowapi.Config{Auth: a.access, Access: a.access, Refused: a.access.Refused, Routes: a.mlflow(), Log: a.o.Log})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.IsMLflow(r.URL.Path) {
			h.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}
