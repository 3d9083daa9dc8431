package tracking

import (
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// The messages of MLflow's mlflow/protos/service.proto, as far as they are answered. What is
// "omitempty" is not set there either; what is not, is set even when it is empty.

type experiment struct {
	ID       string         `json:"experiment_id"`
	Name     string         `json:"name"`
	Location string         `json:"artifact_location"`
	Stage    string         `json:"lifecycle_stage"`
	Updated  int64          `json:"last_update_time"`
	Created  int64          `json:"creation_time"`
	Tags     []tracking.Tag `json:"tags,omitempty"`
}

func experimentOf(e *tracking.Experiment) experiment {
	return experiment{e.ID, e.Name, e.ArtifactLocation, e.Stage, e.Updated, e.Created, e.Tags}
}

type metric struct {
	Key           string          `json:"key"`
	Value         mlflowapi.Float `json:"value"`
	Timestamp     int64           `json:"timestamp"`
	Step          int64           `json:"step"`
	ModelID       string          `json:"model_id,omitempty"`
	DatasetName   string          `json:"dataset_name,omitempty"`
	DatasetDigest string          `json:"dataset_digest,omitempty"`
	RunID         string          `json:"run_id,omitempty"`
}

func metricsOf(list []tracking.Metric) []metric {
	out := make([]metric, len(list))
	for i := range list {
		m := &list[i]
		out[i] = metric{m.Key, mlflowapi.Float(m.Value), m.Timestamp, m.Step, m.ModelID, m.DatasetName, m.DatasetDigest, m.RunID}
	}
	return out
}

type runInfo struct {
	ID           string `json:"run_id"`
	UUID         string `json:"run_uuid"`
	Name         string `json:"run_name"`
	ExperimentID string `json:"experiment_id"`
	User         string `json:"user_id"`
	Status       string `json:"status"`
	Start        int64  `json:"start_time"`
	End          *int64 `json:"end_time,omitempty"`
	ArtifactURI  string `json:"artifact_uri"`
	Stage        string `json:"lifecycle_stage"`
}

type runData struct {
	Metrics []metric         `json:"metrics,omitempty"`
	Params  []tracking.Param `json:"params,omitempty"`
	Tags    []tracking.Tag   `json:"tags,omitempty"`
}

type dataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

type datasetInput struct {
	Tags    []tracking.Tag `json:"tags,omitempty"`
	Dataset dataset        `json:"dataset"`
}

type modelInput struct {
	ID string `json:"model_id"`
}

type modelOutput struct {
	ID   string        `json:"model_id"`
	Step mlflowapi.Int `json:"step"`
}

type inputs struct {
	Datasets []datasetInput `json:"dataset_inputs,omitempty"`
	Models   []modelInput   `json:"model_inputs,omitempty"`
}

type outputs struct {
	Models []modelOutput `json:"model_outputs,omitempty"`
}

type run struct {
	Info    runInfo `json:"info"`
	Data    runData `json:"data"`
	Inputs  inputs  `json:"inputs"`
	Outputs outputs `json:"outputs,omitzero"`
}

func infoOf(r *tracking.Run) runInfo {
	return runInfo{r.ID, r.ID, r.Name, r.ExperimentID, r.User, r.Status, r.Start, r.End, r.ArtifactURI, r.Stage}
}

func runOf(r *tracking.Run) run {
	out := run{Info: infoOf(r), Data: runData{metricsOf(r.Metrics), r.Params, r.Tags}}
	for i := range r.Datasets {
		d := &r.Datasets[i]
		out.Inputs.Datasets = append(out.Inputs.Datasets, datasetInput{d.Tags, dataset(d.Dataset)})
	}
	for _, id := range r.ModelInputs {
		out.Inputs.Models = append(out.Inputs.Models, modelInput{id})
	}
	for _, m := range r.ModelOutputs {
		out.Outputs.Models = append(out.Outputs.Models, modelOutput{m.ModelID, mlflowapi.Int(m.Step)})
	}
	return out
}

type loggedModelInfo struct {
	ID            string         `json:"model_id"`
	ExperimentID  string         `json:"experiment_id"`
	Name          string         `json:"name"`
	Created       int64          `json:"creation_timestamp_ms"`
	Updated       int64          `json:"last_updated_timestamp_ms"`
	ArtifactURI   string         `json:"artifact_uri"`
	Status        string         `json:"status"`
	Type          string         `json:"model_type,omitempty"`
	SourceRun     string         `json:"source_run_id,omitempty"`
	StatusMessage string         `json:"status_message,omitempty"`
	Tags          []tracking.Tag `json:"tags,omitempty"`
}

type loggedModelData struct {
	Params  []tracking.Param `json:"params,omitempty"`
	Metrics []metric         `json:"metrics,omitempty"`
}

type loggedModel struct {
	Info loggedModelInfo `json:"info"`
	Data loggedModelData `json:"data"`
}

func modelOf(m *tracking.Model) loggedModel {
	return loggedModel{
		loggedModelInfo{m.ID, m.ExperimentID, m.Name, m.Created, m.Updated, m.ArtifactURI, m.Status, m.Type, m.SourceRun, m.StatusMessage, m.Tags},
		loggedModelData{m.Params, metricsOf(m.Metrics)},
	}
}

type oneModel struct {
	Model loggedModel `json:"model"`
}

// each makes the messages of a list.
func each[T, M any](list []T, message func(*T) M) []M {
	out := make([]M, len(list))
	for i := range list {
		out[i] = message(&list[i])
	}
	return out
}
