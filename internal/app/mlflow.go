package app

import (
	"net/http"
	"slices"

	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/route"
)

// mlflow is every route of MLflow's API.
func (a *App) mlflow() []mlflowapi.Route {
	return slices.Concat(
		mlflowapi.About(mlflowapi.Info{StoreType: "SqlStore", Workspaces: true}, a.access),
		models.Routes(a.registered),
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
