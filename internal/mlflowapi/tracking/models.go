package tracking

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Models are the logged models of the experiments that a caller may see.
type Models interface {
	CreateModel(ctx context.Context, c mlflowapi.Caller, n tracking.NewModel) (tracking.Model, error)
	Model(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Model, error)
	// SearchModels gives a page, and the token of the next one.
	SearchModels(ctx context.Context, c mlflowapi.Caller, s tracking.ModelsSearch) ([]tracking.Model, string, error)
	ModelChanges
}

// ModelChanges changes one.
type ModelChanges interface {
	FinalizeModel(ctx context.Context, c mlflowapi.Caller, id, status string) (tracking.Model, error)
	DeleteModel(ctx context.Context, c mlflowapi.Caller, id string) error
	SetModelTags(ctx context.Context, c mlflowapi.Caller, id string, tags []tracking.Tag) error
	DeleteModelTag(ctx context.Context, c mlflowapi.Caller, id, key string) error
	LogModelParams(ctx context.Context, c mlflowapi.Caller, id string, params []tracking.Param) error
}

type (
	createModel struct {
		Experiment string           `json:"experiment_id" required:"true"`
		Name       *string          `json:"name"`
		Type       string           `json:"model_type"`
		SourceRun  string           `json:"source_run_id"`
		Params     []tracking.Param `json:"params"`
		Tags       []tracking.Tag   `json:"tags"`
	}
	modelID struct {
		ID string `json:"model_id" required:"true"`
	}
	finalizeModel struct {
		ID     string         `json:"model_id" required:"true"`
		Status mlflowapi.Enum `json:"status" required:"true"`
	}
	modelTags struct {
		ID   string         `json:"model_id" required:"true"`
		Tags []tracking.Tag `json:"tags"`
	}
	modelTag struct {
		ID  string `json:"model_id" required:"true"`
		Key string `json:"tag_key" required:"true"`
	}
	modelParams struct {
		ID     string           `json:"model_id" required:"true"`
		Params []tracking.Param `json:"params"`
	}
	datasetFilter struct {
		Name   string `json:"dataset_name"`
		Digest string `json:"dataset_digest"`
	}
	modelOrder struct {
		Field     string `json:"field_name"`
		Ascending *bool  `json:"ascending"`
		Name      string `json:"dataset_name"`
		Digest    string `json:"dataset_digest"`
	}
	searchModels struct {
		Experiments []string        `json:"experiment_ids" required:"true"`
		Filter      string          `json:"filter"`
		Datasets    []datasetFilter `json:"datasets"`
		Max         mlflowapi.Int   `json:"max_results"`
		Order       []modelOrder    `json:"order_by"`
		Token       string          `json:"page_token"`
	}
	loggedModels struct {
		Models []loggedModel `json:"models,omitempty"`
		Next   string        `json:"next_page_token,omitempty"`
	}
)

func (in *searchModels) search() tracking.ModelsSearch {
	return tracking.ModelsSearch{Experiments: in.Experiments, Filter: in.Filter, Max: int(in.Max), Token: in.Token,
		Datasets: each(in.Datasets, func(d *datasetFilter) tracking.DatasetFilter { return tracking.DatasetFilter(*d) }),
		OrderBy: each(in.Order, func(o *modelOrder) tracking.ModelTerm {
			return tracking.ModelTerm{Field: o.Field, Desc: o.Ascending != nil && !*o.Ascending, Dataset: tracking.DatasetFilter{Name: o.Name, Digest: o.Digest}}
		})}
}

// modelRoutes are those of logged models.
func modelRoutes(x Models) []mlflowapi.Route {
	const read, write, one = authz.ExperimentRead, authz.ExperimentWrite, "/mlflow/logged-models/{model_id}"
	return append(modelTagRoutes(x),
		mlflowapi.JSON(http.MethodPost, "/mlflow/logged-models", write, func(ctx context.Context, c mlflowapi.Caller, in *createModel) (oneModel, error) {
			m, err := x.CreateModel(ctx, c, tracking.NewModel(*in))
			return oneModel{modelOf(&m)}, err
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/logged-models/search", read, func(ctx context.Context, c mlflowapi.Caller, in *searchModels) (loggedModels, error) {
			found, next, err := x.SearchModels(ctx, c, in.search())
			return loggedModels{each(found, modelOf), next}, err
		}),
		mlflowapi.JSON(http.MethodGet, one, read, func(ctx context.Context, c mlflowapi.Caller, in *modelID) (oneModel, error) {
			m, err := x.Model(ctx, c, in.ID)
			return oneModel{modelOf(&m)}, err
		}),
		mlflowapi.JSON(http.MethodPatch, one, write, func(ctx context.Context, c mlflowapi.Caller, in *finalizeModel) (oneModel, error) {
			status, err := in.Status.Of("status", "", 1, tracking.Pending, tracking.Ready, tracking.UploadFailed)
			if err != nil {
				return oneModel{}, err
			}
			m, err := x.FinalizeModel(ctx, c, in.ID, status)
			return oneModel{modelOf(&m)}, err
		}),
		mlflowapi.JSON(http.MethodDelete, one, authz.ExperimentDelete, func(ctx context.Context, c mlflowapi.Caller, in *modelID) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.DeleteModel(ctx, c, in.ID)
		}),
	)
}

func modelTagRoutes(x Models) []mlflowapi.Route {
	const tags = "/mlflow/logged-models/{model_id}/tags"
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPatch, tags, authz.ExperimentWrite, func(ctx context.Context, c mlflowapi.Caller, in *modelTags) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.SetModelTags(ctx, c, in.ID, in.Tags)
		}),
		mlflowapi.JSON(http.MethodDelete, tags+"/{tag_key}", authz.ExperimentWrite, func(ctx context.Context, c mlflowapi.Caller, in *modelTag) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.DeleteModelTag(ctx, c, in.ID, in.Key)
		}),
		post("/mlflow/logged-models/{model_id}/params", func(ctx context.Context, c mlflowapi.Caller, in *modelParams) error {
			return x.LogModelParams(ctx, c, in.ID, in.Params)
		}),
	}
}
