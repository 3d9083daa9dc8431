// Package tracking serves MLflow's tracking API to its clients: experiments, runs, what is
// logged in them, and logged models.
package tracking

import (
	"slices"

	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// Tracking is everything that this package serves.
type Tracking interface {
	Experiments
	Runs
	Log
	History
	Models
}

// Routes are those of the tracking API.
func Routes(t Tracking) []mlflowapi.Route {
	return slices.Concat(experimentRoutes(t), runRoutes(t), logRoutes(t), historyRoutes(t), modelRoutes(t))
}
