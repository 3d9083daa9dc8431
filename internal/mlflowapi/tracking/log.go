package tracking

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Log is what happens in runs that a caller may change.
type Log interface {
	// LogBatch logs all of it or nothing.
	LogBatch(ctx context.Context, c mlflowapi.Caller, run string, b tracking.Batch) error
	LogOne
	DeleteTag(ctx context.Context, c mlflowapi.Caller, run, key string) error
	LogModelRecord(ctx context.Context, c mlflowapi.Caller, run, model string) error
	Links
}

// LogOne logs one thing.
type LogOne interface {
	LogMetric(ctx context.Context, c mlflowapi.Caller, run string, m tracking.Metric) error
	LogParam(ctx context.Context, c mlflowapi.Caller, run string, p tracking.Param) error
	SetTag(ctx context.Context, c mlflowapi.Caller, run string, t tracking.Tag) error
}

// Links notes what a run used and made.
type Links interface {
	LogInputs(ctx context.Context, c mlflowapi.Caller, run string, datasets []tracking.DatasetInput, models []string) error
	LogOutputs(ctx context.Context, c mlflowapi.Caller, run string, models []tracking.ModelOutput) error
}

type (
	logMetric struct {
		Run           string           `json:"run_id" required:"true" legacy:"run_uuid"`
		UUID          string           `json:"run_uuid"`
		Key           string           `json:"key" required:"true"`
		Value         *mlflowapi.Float `json:"value" required:"true"`
		Timestamp     *mlflowapi.Int   `json:"timestamp" required:"true"`
		Step          mlflowapi.Int    `json:"step"`
		ModelID       string           `json:"model_id"`
		DatasetName   string           `json:"dataset_name"`
		DatasetDigest string           `json:"dataset_digest"`
	}
	batchMetric struct {
		Key           string           `json:"key" required:"true"`
		Value         *mlflowapi.Float `json:"value" required:"true"`
		Timestamp     *mlflowapi.Int   `json:"timestamp" required:"true"`
		Step          mlflowapi.Int    `json:"step"`
		ModelID       string           `json:"model_id"`
		DatasetName   string           `json:"dataset_name"`
		DatasetDigest string           `json:"dataset_digest"`
	}
	pair struct {
		Key   string `json:"key" required:"true"`
		Value string `json:"value"`
	}
	runPair struct {
		Run   string `json:"run_id" required:"true" legacy:"run_uuid"`
		UUID  string `json:"run_uuid"`
		Key   string `json:"key" required:"true"`
		Value string `json:"value"`
	}
	logBatch struct {
		Run     string        `json:"run_id" required:"true"`
		Metrics []batchMetric `json:"metrics"`
		Params  []pair        `json:"params"`
		Tags    []pair        `json:"tags"`
	}
	logInputs struct {
		Run      string         `json:"run_id" required:"true"`
		Datasets []datasetInput `json:"datasets"`
		Models   []modelInput   `json:"models"`
	}
	logOutputs struct {
		Run    string        `json:"run_id" required:"true"`
		Models []modelOutput `json:"models" required:"true"`
	}
	logModel struct {
		Run  string `json:"run_id" required:"true"`
		JSON string `json:"model_json" required:"true"`
	}
)

func (m *batchMetric) metric() tracking.Metric {
	return tracking.Metric{Key: m.Key, Value: float64(*m.Value), Timestamp: int64(*m.Timestamp), Step: int64(m.Step),
		ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest}
}

func (in *logBatch) batch() tracking.Batch {
	return tracking.Batch{Metrics: each(in.Metrics, (*batchMetric).metric),
		Params: each(in.Params, func(p *pair) tracking.Param { return tracking.Param(*p) }),
		Tags:   each(in.Tags, func(p *pair) tracking.Tag { return tracking.Tag(*p) })}
}

// logRoutes are those by which something is logged in a run.
func logRoutes(x Log) []mlflowapi.Route {
	return append(pairRoutes(x),
		post("/mlflow/runs/log-metric", func(ctx context.Context, c mlflowapi.Caller, in *logMetric) error {
			m := batchMetric{in.Key, in.Value, in.Timestamp, in.Step, in.ModelID, in.DatasetName, in.DatasetDigest}
			return x.LogMetric(ctx, c, in.Run, m.metric())
		}),
		post("/mlflow/runs/log-batch", func(ctx context.Context, c mlflowapi.Caller, in *logBatch) error {
			return x.LogBatch(ctx, c, in.Run, in.batch())
		}),
		post("/mlflow/runs/log-inputs", func(ctx context.Context, c mlflowapi.Caller, in *logInputs) error {
			datasets := each(in.Datasets, func(d *datasetInput) tracking.DatasetInput {
				return tracking.DatasetInput{Dataset: tracking.Dataset(d.Dataset), Tags: d.Tags}
			})
			return x.LogInputs(ctx, c, in.Run, datasets, each(in.Models, func(m *modelInput) string { return m.ID }))
		}),
		post("/mlflow/runs/outputs", func(ctx context.Context, c mlflowapi.Caller, in *logOutputs) error {
			return x.LogOutputs(ctx, c, in.Run, each(in.Models, func(m *modelOutput) tracking.ModelOutput {
				return tracking.ModelOutput{ModelID: m.ID, Step: int64(m.Step)}
			}))
		}),
		post("/mlflow/runs/log-model", func(ctx context.Context, c mlflowapi.Caller, in *logModel) error {
			return x.LogModelRecord(ctx, c, in.Run, in.JSON)
		}),
	)
}

func pairRoutes(x Log) []mlflowapi.Route {
	return []mlflowapi.Route{
		post("/mlflow/runs/log-parameter", func(ctx context.Context, c mlflowapi.Caller, in *runPair) error {
			return x.LogParam(ctx, c, in.Run, tracking.Param{Key: in.Key, Value: in.Value})
		}),
		post("/mlflow/runs/set-tag", func(ctx context.Context, c mlflowapi.Caller, in *runPair) error {
			return x.SetTag(ctx, c, in.Run, tracking.Tag{Key: in.Key, Value: in.Value})
		}),
		post("/mlflow/runs/delete-tag", func(ctx context.Context, c mlflowapi.Caller, in *runPair) error {
			return x.DeleteTag(ctx, c, in.Run, in.Key)
		}),
	}
}

// post is a route that changes something and answers nothing.
func post[In any](path string, fn func(context.Context, mlflowapi.Caller, *In) error) mlflowapi.Route {
	return mlflowapi.JSON(http.MethodPost, path, authz.ExperimentWrite, func(ctx context.Context, c mlflowapi.Caller, in *In) (mlflowapi.Empty, error) {
		return mlflowapi.Empty{}, fn(ctx, c, in)
	})
}
