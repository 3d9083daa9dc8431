package tracking

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

// Every method of a store is safe for concurrent use. What is acknowledged is durable,
// together with its events; what failed left nothing. teams limits what is found to those
// of these teams, nil to none: what a caller may not see is not there, in no page, count or
// token. What is not there is NotFound with CodeNotFound.

// ExperimentStore keeps experiments.
type ExperimentStore interface {
	// AddExperiment gives e the next number, or DefaultID if it is the Default of the
	// DefaultTeam, and what place says of it as its ArtifactLocation if e has none. The
	// number is the event's subject. It answers CodeExists for a name that the team has.
	AddExperiment(ctx context.Context, e Experiment, place func(id string) string, ev slipway.Event) (Experiment, error)
	Experiment(ctx context.Context, teams []string, id string) (Experiment, error)
	ExperimentByName(ctx context.Context, team, name string) (Experiment, error)
	// ChangeExperiment changes an experiment as change says, in one transaction: its name,
	// stage, time and tags. Its runs follow a change of stage. An error of change is the
	// answer. Events are none for changes of tags.
	ChangeExperiment(ctx context.Context, id string, events []slipway.Event, change func(*Experiment) error) error
	SearchExperiments(ctx context.Context, q ExperimentSearch) ([]Experiment, string, error)
}

// RunStore keeps runs.
type RunStore interface {
	// AddRun answers what refuse says if the experiment is not active.
	AddRun(ctx context.Context, r Run, ev slipway.Event, refuse func(stage string) error) error
	// Run gives a run with all of it.
	Run(ctx context.Context, teams []string, id string) (Run, error)
	// RunOwner gives the experiment and the team of a run.
	RunOwner(ctx context.Context, teams []string, id string) (experiment, team string, err error)
	// ChangeRun changes name, status, end, stage and tags of a run as change says, in one
	// transaction, and records the events that it gives.
	ChangeRun(ctx context.Context, id string, change func(*Run) ([]slipway.Event, error)) error
	SearchRuns(ctx context.Context, q RunSearch) ([]Run, string, error)
}

// LogStore keeps what is measured in runs.
type LogStore interface {
	// Log adds to a run what decide finds to be new, in one transaction. decide gets the
	// run's stage and its state. Measurements that are there already are ignored, those
	// with a ModelID are also kept for the model.
	Log(ctx context.Context, run string, decide func(stage string, now State) (Change, error)) error
	// AddInputs notes data sets and models that a run used. check gets the run's stage.
	AddInputs(ctx context.Context, run string, datasets []DatasetInput, models []string, check func(stage string) error) error
	// AddOutputs notes models that a run made.
	AddOutputs(ctx context.Context, run string, models []ModelOutput, check func(stage string) error) error
}

// Change is what a batch changes in a run: the new state, and what of it is new.
type Change struct {
	State    State
	History  []Metric // measurements, each once
	Latest   []Metric // those of them that are now the latest
	Params   []Param  // new ones
	Tags     []Tag    // with a new value
	Untagged []string // keys of tags that are gone
	Name     string   // of the run, if it changes
}

// HistoryStore gives what was measured, ordered by time, step and value.
type HistoryStore interface {
	// History gives one key's measurements in one run, after the one that last tells, at
	// most limit.
	History(ctx context.Context, run, key string, last []any, limit int) ([]Metric, error)
	// Histories gives one key's in many runs, ordered by run first, at most limit.
	Histories(ctx context.Context, teams []string, runs []string, key string, limit int) ([]Metric, error)
	// Series gives one key's measurements in a run, ordered by step; of very many some, with
	// the first and the last.
	Series(ctx context.Context, run, key string) ([]Metric, error)
	// Datasets gives at most limit uses of data sets in experiments.
	Datasets(ctx context.Context, teams []string, experiments []string, limit int) ([]DatasetSummary, error)
}

// ModelStore keeps logged models.
type ModelStore interface {
	// AddModel answers what refuse says if the experiment is not active.
	AddModel(ctx context.Context, m Model, refuse func(stage string) error) error
	// Model gives a model, deleted or not.
	Model(ctx context.Context, teams []string, id string) (Model, error)
	// ChangeModel changes status, stage, time, tags and params of a model as change says,
	// in one transaction, and records the events that it gives.
	ChangeModel(ctx context.Context, id string, change func(*Model) ([]slipway.Event, error)) error
	SearchModels(ctx context.Context, q ModelSearch) ([]Model, string, error)
}

// Page is which part of a search is asked for: what comes after a token, at most Max.
type Page struct {
	Token string
	Max   int
}

// ExperimentSearch asks for experiments, by default the youngest first.
type ExperimentSearch struct {
	Teams []string
	View  View
	Where []query.Clause
	Order []query.Order
	Page  Page
	// Question names the search, so that its tokens are good for no other.
	Question []byte
}

// RunSearch asks for runs of experiments, by default the last started first.
type RunSearch struct {
	Teams       []string
	Experiments []string
	View        View
	Where       []query.Clause
	Order       []query.Order
	Page        Page
	Question    []byte
}

// ModelSearch asks for logged models of experiments, by default the youngest first.
type ModelSearch struct {
	Teams       []string
	Experiments []string
	Where       []query.Clause
	Datasets    []DatasetFilter // which metrics are looked at; none: all
	Order       []ModelOrder
	Page        Page
	Question    []byte
}

// DatasetFilter chooses metrics by the data set on which they were measured.
type DatasetFilter struct {
	Name   string
	Digest string // empty: any
}

// ModelOrder is a term of an order of models; a metric's may be of one data set.
type ModelOrder struct {
	query.Order

	Dataset DatasetFilter
}
