package tracking

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Runs are those of the experiments that a caller may see.
type Runs interface {
	CreateRun(ctx context.Context, c mlflowapi.Caller, n tracking.NewRun) (tracking.Run, error)
	Run(ctx context.Context, c mlflowapi.Caller, id string) (tracking.Run, error)
	UpdateRun(ctx context.Context, c mlflowapi.Caller, id string, u tracking.RunUpdate) (tracking.Run, error)
	// MoveRun deletes a run, or restores it.
	MoveRun(ctx context.Context, c mlflowapi.Caller, id string, restore bool) error
	// SearchRuns gives a page, and the token of the next one.
	SearchRuns(ctx context.Context, c mlflowapi.Caller, experiments []string, s tracking.Search) ([]tracking.Run, string, error)
}

type (
	createRun struct {
		Experiment string         `json:"experiment_id"`
		User       string         `json:"user_id"`
		Name       string         `json:"run_name"`
		Start      mlflowapi.Int  `json:"start_time"`
		Tags       []tracking.Tag `json:"tags"`
	}
	runID struct {
		ID   string `json:"run_id" required:"true" legacy:"run_uuid"`
		UUID string `json:"run_uuid"`
	}
	updateRun struct {
		ID     string         `json:"run_id" required:"true" legacy:"run_uuid"`
		UUID   string         `json:"run_uuid"`
		Status mlflowapi.Enum `json:"status"`
		End    *mlflowapi.Int `json:"end_time"`
		Name   string         `json:"run_name"`
	}
	searchRuns struct {
		Experiments []string       `json:"experiment_ids"`
		Filter      string         `json:"filter"`
		View        mlflowapi.Enum `json:"run_view_type"`
		Max         *mlflowapi.Int `json:"max_results"`
		Order       []string       `json:"order_by"`
		Token       string         `json:"page_token"`
	}
	oneRun struct {
		Run run `json:"run"`
	}
	oneInfo struct {
		Info runInfo `json:"run_info"`
	}
	runs struct {
		Runs []run  `json:"runs,omitempty"`
		Next string `json:"next_page_token,omitempty"`
	}
)

// maxRuns is how many a page of runs may have.
const maxRuns = 50_000

// runRoutes are those of runs.
func runRoutes(x Runs) []mlflowapi.Route {
	const read, write, remove = authz.ExperimentRead, authz.ExperimentWrite, authz.ExperimentDelete
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, "/mlflow/runs/create", write, func(ctx context.Context, c mlflowapi.Caller, in *createRun) (oneRun, error) {
			r, err := x.CreateRun(ctx, c, tracking.NewRun{Experiment: in.Experiment, User: in.User, Name: in.Name, Start: int64(in.Start), Tags: in.Tags})
			return oneRun{runOf(&r)}, err
		}),
		mlflowapi.JSON(http.MethodGet, "/mlflow/runs/get", read, func(ctx context.Context, c mlflowapi.Caller, in *runID) (oneRun, error) {
			r, err := x.Run(ctx, c, in.ID)
			return oneRun{runOf(&r)}, err
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/runs/update", write, func(ctx context.Context, c mlflowapi.Caller, in *updateRun) (oneInfo, error) {
			status, err := in.Status.Of("status", "", 1, tracking.Running, tracking.Scheduled, tracking.Finished, tracking.Failed, tracking.Killed)
			if err != nil {
				return oneInfo{}, err
			}
			r, err := x.UpdateRun(ctx, c, in.ID, tracking.RunUpdate{Status: status, End: (*int64)(in.End), Name: in.Name})
			return oneInfo{infoOf(&r)}, err
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/runs/delete", remove, func(ctx context.Context, c mlflowapi.Caller, in *runID) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.MoveRun(ctx, c, in.ID, false)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/runs/restore", remove, func(ctx context.Context, c mlflowapi.Caller, in *runID) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, x.MoveRun(ctx, c, in.ID, true)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/runs/search", read, func(ctx context.Context, c mlflowapi.Caller, in *searchRuns) (out runs, err error) {
			view, err := viewOf(in.View, "run_view_type")
			if err != nil {
				return out, err
			}
			most, given := in.Max.Int64()
			if given && (most < 0 || most > maxRuns) {
				return out, mlflowapi.Invalid("Invalid value %d for parameter 'max_results' supplied: it must be at most %d. See the API docs for more information about request parameters.", most, maxRuns)
			}
			if given && most == 0 {
				return out, nil
			}
			found, next, err := x.SearchRuns(ctx, c, in.Experiments, tracking.Search{Filter: in.Filter, OrderBy: in.Order, View: view, Max: int(most), Token: in.Token})
			return runs{each(found, runOf), next}, err
		}),
	}
}
