// Package tracking keeps experiments, their runs with what was measured in them, and logged
// models, by the rules and with the messages of MLflow's tracking server.
package tracking

import (
	"math"
	"strconv"
)

// Stages of a life.
const (
	Active  = "active"
	Deleted = "deleted"
)

// View is which stages a search looks at.
type View int

// The views. The zero value is what a search looks at by default.
const (
	ActiveOnly View = iota
	DeletedOnly
	All
)

// Stages lists those that a view has.
func (v View) Stages() []string {
	switch v {
	case DeletedOnly:
		return []string{Deleted}
	case All:
		return []string{Active, Deleted}
	}
	return []string{Active}
}

// DefaultName is the name of the experiment that every team has, and DefaultID what it is
// called in requests; it is the id of that of the team DefaultTeam.
const (
	DefaultName = "Default"
	DefaultID   = "0"
	DefaultTeam = "default"
)

// Times are milliseconds since 1970, as MLflow's clients send them.

// Experiment is a named set of runs of a team. ID is a decimal number.
type Experiment struct {
	ID               string
	Name             string // of at most 500 characters; unique in its team, also among deleted ones
	Team             string
	ArtifactLocation string
	Stage            string
	Created, Updated int64
	Tags             []Tag // sorted by key
}

// Tag is a key with a value that may change.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Param is a key with a value that never changes.
type Param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Metric is one measurement. Value may be NaN; infinities become the largest numbers that
// there are. What comes after Step is not kept for runs, only for logged models.
type Metric struct {
	Key       string
	Value     float64
	Timestamp int64
	Step      int64

	ModelID       string // of the logged model that was measured, too
	DatasetName   string // on which
	DatasetDigest string
	RunID         string // in which; set in answers about models and many runs only
}

// Statuses of runs.
const (
	Running   = "RUNNING"
	Scheduled = "SCHEDULED"
	Finished  = "FINISHED"
	Failed    = "FAILED"
	Killed    = "KILLED"
)

// Run is one execution of code. ID is 32 hexadecimal digits.
type Run struct {
	ID           string
	Name         string
	ExperimentID string
	Team         string // of its experiment
	User         string
	Status       string
	Start        int64
	End          *int64 // nil while it goes on
	ArtifactURI  string
	Stage        string

	State

	Datasets     []DatasetInput
	ModelInputs  []string // ids of logged models
	ModelOutputs []ModelOutput
}

// Ended says whether a run is over.
func (r *Run) Ended() bool { return r.Status != Running && r.Status != Scheduled }

// State is what was logged in a run, each list sorted by key. Of metrics it has the latest:
// the greatest by step, time and value.
type State struct {
	Metrics []Metric
	Params  []Param
	Tags    []Tag
}

// Tag gives the value of a tag.
func (s *State) Tag(key string) (string, bool) {
	for _, t := range s.Tags {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

// RunName is the tag that has a run's name.
const RunName = "mlflow.runName"

// Dataset is data that a run used. It is the same in an experiment when name and digest
// are.
type Dataset struct {
	Name       string
	Digest     string
	SourceType string
	Source     string
	Schema     string // empty: none
	Profile    string // empty: none
}

// DatasetInput is a data set with the tags of its use in one run, of which ContextTag says
// what for.
type DatasetInput struct {
	Dataset Dataset
	Tags    []Tag
}

// ContextTag says what a data set was used for, such as training.
const ContextTag = "mlflow.data.context"

// DatasetSummary is a data set's name, digest and one use of it in an experiment.
type DatasetSummary struct {
	ExperimentID, Name, Digest, Context string
}

// ModelOutput is a logged model that a run made at a step.
type ModelOutput struct {
	ModelID string
	Step    int64
}

// Statuses of logged models.
const (
	Pending      = "LOGGED_MODEL_PENDING"
	Ready        = "LOGGED_MODEL_READY"
	UploadFailed = "LOGGED_MODEL_UPLOAD_FAILED"
)

// Model is a logged model: what a run made, before it is registered anywhere. ID is "m-"
// and 32 hexadecimal digits.
type Model struct {
	ID               string
	Name             string
	ExperimentID     string
	Team             string // of its experiment
	ArtifactURI      string
	Created, Updated int64
	Status           string
	StatusMessage    string
	Type             string
	SourceRun        string // the id of the run that made it, empty if it does not say
	Creator          string
	Stage            string
	Tags             []Tag
	Params           []Param
	Metrics          []Metric
}

// finite is a metric's value as it is kept: infinities are clamped, since MLflow does, and
// no filter could find them otherwise.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

// number reads an experiment's id. What is no number is no experiment's.
func number(id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && n >= 0
}
