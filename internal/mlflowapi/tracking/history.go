package tracking

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// History is what was measured in runs that a caller may see.
type History interface {
	// MetricHistory gives a page of a key's measurements, and the token of the next one. most
	// is 0 for the largest page.
	MetricHistory(ctx context.Context, c mlflowapi.Caller, run, key string, most int, token string) ([]tracking.Metric, string, error)
	MetricHistories(ctx context.Context, c mlflowapi.Caller, runs []string, key string, most int) ([]tracking.Metric, error)
	SampleHistories(ctx context.Context, c mlflowapi.Caller, runs []string, key string, start, end *int64, most int) ([]tracking.Metric, error)
	SearchDatasets(ctx context.Context, c mlflowapi.Caller, experiments []string) ([]tracking.DatasetSummary, error)
}

type (
	getHistory struct {
		Run   string         `json:"run_id" required:"true" legacy:"run_uuid"`
		UUID  string         `json:"run_uuid"`
		Key   string         `json:"metric_key" required:"true"`
		Max   *mlflowapi.Int `json:"max_results"`
		Token string         `json:"page_token"`
	}
	getHistories struct {
		Runs []string       `json:"run_id"`
		Key  string         `json:"metric_key"`
		Max  *mlflowapi.Int `json:"max_results"`
	}
	getSample struct {
		Runs  []string       `json:"run_ids" required:"true"`
		Key   string         `json:"metric_key" required:"true"`
		Start *mlflowapi.Int `json:"start_step"`
		End   *mlflowapi.Int `json:"end_step"`
		Max   *mlflowapi.Int `json:"max_results"`
	}
	searchDatasets struct {
		Experiments []string `json:"experiment_ids"`
	}
	history struct {
		Metrics []metric `json:"metrics,omitempty"`
		Next    string   `json:"next_page_token,omitempty"`
	}
	histories struct {
		Metrics []metric `json:"metrics"` // a page in a browser expects the list
	}
	datasetSummary struct {
		ExperimentID string `json:"experiment_id"`
		Name         string `json:"name"`
		Digest       string `json:"digest"`
		Context      string `json:"context,omitempty"`
	}
	datasetSummaries struct {
		Summaries []datasetSummary `json:"dataset_summaries,omitempty"`
	}
)

// Bounds of histories of many runs.
const (
	maxHistories = 25_000
	maxSample    = 2500
	maxRunsOf    = 100
)

// historyRoutes are those that give measurements.
func historyRoutes(x History) []mlflowapi.Route {
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodGet, "/mlflow/metrics/get-history", authz.ExperimentRead, func(ctx context.Context, c mlflowapi.Caller, in *getHistory) (out history, err error) {
			most, given := in.Max.Int64()
			if given && most <= 0 {
				return out, mlflowapi.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", most)
			}
			found, next, err := x.MetricHistory(ctx, c, in.Run, in.Key, int(most), in.Token)
			return history{metricsOf(found), next}, err
		}),
		mlflowapi.JSON(http.MethodGet, "/mlflow/metrics/get-history-bulk", authz.ExperimentRead, func(ctx context.Context, c mlflowapi.Caller, in *getHistories) (histories, error) {
			return in.get(ctx, c, x)
		}),
		mlflowapi.JSON(http.MethodGet, "/mlflow/metrics/get-history-bulk-interval", authz.ExperimentRead, func(ctx context.Context, c mlflowapi.Caller, in *getSample) (history, error) {
			return in.get(ctx, c, x)
		}),
		mlflowapi.JSON(http.MethodPost, "/mlflow/experiments/search-datasets", authz.ExperimentRead, func(ctx context.Context, c mlflowapi.Caller, in *searchDatasets) (datasetSummaries, error) {
			found, err := x.SearchDatasets(ctx, c, in.Experiments)
			return datasetSummaries{each(found, func(s *tracking.DatasetSummary) datasetSummary { return datasetSummary(*s) })}, err
		}),
	}
}

func (in *getHistories) get(ctx context.Context, c mlflowapi.Caller, x History) (out histories, err error) {
	most, given := in.Max.Int64()
	switch {
	case len(in.Runs) == 0:
		return out, mlflowapi.Invalid("GetMetricHistoryBulk request must specify at least one run_id.")
	case len(in.Runs) > maxRunsOf:
		return out, mlflowapi.Invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", maxRunsOf, len(in.Runs))
	case in.Key == "":
		return out, mlflowapi.Invalid("GetMetricHistoryBulk request must specify a metric_key.")
	case !given:
		most = maxHistories
	case most <= 0:
		return histories{[]metric{}}, nil
	}
	found, err := x.MetricHistories(ctx, c, in.Runs, in.Key, int(min(most, maxHistories)))
	return histories{metricsOf(found)}, err
}

func (in *getSample) get(ctx context.Context, c mlflowapi.Caller, x History) (out history, err error) {
	most, given := in.Max.Int64()
	switch {
	case len(in.Runs) > maxRunsOf:
		return out, mlflowapi.Invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.", maxRunsOf, len(in.Runs))
	case !given:
		most = maxSample
	case most < 1 || most > maxSample:
		return out, mlflowapi.Invalid("max_results must be between 1 and %d.", maxSample)
	}
	found, err := x.SampleHistories(ctx, c, in.Runs, in.Key, (*int64)(in.Start), (*int64)(in.End), int(most))
	return history{Metrics: metricsOf(found)}, err
}
