package tracking

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Experiments are those of the teams that a caller may see. The id "0" is the Default of the
// caller's team.
type Experiments interface {
	CreateExperiment(ctx context.Context, c mlflowapi.Caller, name, location string, tags []tracking.Tag) (tracking.Experiment, error)
	Experiment(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Experiment, error)
	ExperimentByName(ctx context.Context, c mlflowapi.Caller, name string) (tracking.Experiment, error)
	// SearchExperiments gives a page, and the token of the next one.
	SearchExperiments(ctx context.Context, c mlflowapi.Caller, s tracking.Search) ([]tracking.Experiment, string, error)
	ExperimentChanges
}

// ExperimentChanges changes one.
type ExperimentChanges interface {
	RenameExperiment(ctx context.Context, c mlflowapi.Caller, id, name string) error
	DeleteExperiment(ctx context.Context, c mlflowapi.Caller, id string) error
	RestoreExperiment(ctx context.Context, c mlflowapi.Caller, id string) error
	SetExperimentTag(ctx context.Context, c mlflowapi.Caller, id string, t tracking.Tag) error
	DeleteExperimentTag(ctx context.Context, c mlflowapi.Caller, id, key string) error
}

type (
	createExperiment struct {
		Name     string         `json:"name" required:"true"`
		Location string         `json:"artifact_location"`
		Tags     []tracking.Tag `json:"tags"`
	}
	experimentID struct {
		ID string `json:"experiment_id" required:"true"`
	}
	onlyExperimentID struct {
		ID string `json:"experiment_id"`
	}
	experimentName struct {
		Name string `json:"experiment_name" required:"true"`
	}
	renameExperiment struct {
		ID   string `json:"experiment_id" required:"true"`
		Name string `json:"new_name" required:"true"`
	}
	experimentTag struct {
		ID    string `json:"experiment_id" required:"true"`
		Key   string `json:"key" required:"true"`
		Value string `json:"value"`
	}
	searchExperiments struct {
		Max    mlflowapi.Int  `json:"max_results"`
		Token  string         `json:"page_token"`
		Filter string         `json:"filter"`
		Order  []string       `json:"order_by"`
		View   mlflowapi.Enum `json:"view_type"`
	}
	oneExperiment struct {
		Experiment experiment `json:"experiment"`
	}
	experiments struct {
		Experiments []experiment `json:"experiments,omitempty"`
		Next        string       `json:"next_page_token,omitempty"`
	}
)

// viewOf reads which stages a search looks at.
func viewOf(e mlflowapi.Enum, parameter string) (tracking.View, error) {
	name, err := e.Of(parameter, "ACTIVE_ONLY", 1, "ACTIVE_ONLY", "DELETED_ONLY", "ALL")
	switch name {
	case "DELETED_ONLY":
		return tracking.DeletedOnly, err
	case "ALL":
		return tracking.All, err
	default:
		return tracking.ActiveOnly, err
	}
}

// experimentRoutes are those of experiments.
func experimentRoutes(x Experiments) []mlflowapi.Route {
	const read, write, remove = authz.ExperimentRead, authz.ExperimentWrite, authz.ExperimentDelete
	search := func(ctx context.Context, c mlflowapi.Caller, in *searchExperiments) (out experiments, err error) {
		view, err := viewOf(in.View, "view_type")
		if err != nil {
			return out, err
		}
		found, next, err := x.SearchExperiments(ctx, c, tracking.Search{Filter: in.Filter, OrderBy: in.Order, View: view, Max: int(in.Max), Token: in.Token})
		return experiments{each(found, experimentOf), next}, err
	}
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/create", write, func(ctx context.Context, c mlflowapi.Caller, in *createExperiment) (onlyExperimentID, error) {
			e, err := x.CreateExperiment(ctx, c, in.Name, in.Location, in.Tags)
			return onlyExperimentID{e.ID}, err
		}),
		mlflowapi.JSON(http.MethodGet, "/mlflow/experiments/get", read, func(ctx context.Context, c mlflowapi.Caller, in *experimentID) (oneExperiment, error) {
			e, err := x.Experiment(ctx, c, in.ID)
			return oneExperiment{experimentOf(&e)}, err
		}),
		mlflowapi.JSON(http.MethodGet, "/mlflow/experiments/get-by-name", read, func(ctx context.Context, c mlflowapi.Caller, in *experimentName) (oneExperiment, error) {
			e, err := x.ExperimentByName(ctx, c, in.Name)
			return oneExperiment{experimentOf(&e)}, err
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/search", read, search),
		mlflowapi.JSON(http.MethodGet, "/mlflow/experiments/search", read, search),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/update", write, func(ctx context.Context, c mlflowapi.Caller, in *renameExperiment) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.RenameExperiment(ctx, c, in.ID, in.Name)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/delete", remove, func(ctx context.Context, c mlflowapi.Caller, in *experimentID) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.DeleteExperiment(ctx, c, in.ID)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/restore", remove, func(ctx context.Context, c mlflowapi.Caller, in *experimentID) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.RestoreExperiment(ctx, c, in.ID)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/set-experiment-tag", write, func(ctx context.Context, c mlflowapi.Caller, in *experimentTag) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.SetExperimentTag(ctx, c, in.ID, tracking.Tag{Key: in.Key, Value: in.Value})
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/delete-experiment-tag", write, func(ctx context.Context, c mlflowapi.Caller, in *experimentTag) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.DeleteExperimentTag(ctx, c, in.ID, in.Key)
		}),
	}
}
