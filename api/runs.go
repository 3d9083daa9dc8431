package api

import "time"

// Run is one execution of code, with what was measured in it.
type Run struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	ExperimentID string            `json:"experiment_id"`
	Team         string            `json:"team"`
	User         string            `json:"user,omitempty"`
	Status       string            `json:"status" enum:"RUNNING,SCHEDULED,FINISHED,FAILED,KILLED"`
	Deleted      bool              `json:"deleted,omitempty"`
	Started      time.Time         `json:"started,omitzero"`
	Ended        time.Time         `json:"ended,omitzero"`
	Metrics      map[string]any    `json:"metrics" doc:"The latest of each; numbers, or the text NaN"`
	Params       map[string]string `json:"params"`
	Tags         map[string]string `json:"tags"`
	Datasets     []DatasetUse      `json:"datasets"`
	Models       []string          `json:"models,omitempty" doc:"Ids of logged models that it made"`
}

// RunQuery asks for runs.
type RunQuery struct {
	Team       string // empty: every team whose experiments one may see
	Experiment string // its name or id; empty: all, at most 1,000 of them
	Filter     string // in MLflow's grammar, such as metrics.auc > 0.9
	Order      string // such as metrics.auc DESC; empty: the last started first
	Cursor     string
	Limit      int
}

// RunComparison says what differs between two runs.
type RunComparison struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Metrics  []Change `json:"metrics"`
	Params   []Change `json:"params"`
	Datasets []Change `json:"datasets"`
	Tags     []Change `json:"tags"`
}
