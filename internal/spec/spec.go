// Package spec reads platform.yaml: one file that says what a model is, how it is checked
// and how it is rolled out. Load parses, applies the defaults of the tier and validates
// once; all mistakes are reported together, each with its place and what to do.
package spec

import (
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeluri"
	"github.com/slipway-ml/slipway/internal/spec/strict"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Values that a file may give and that other packages compare with.
const (
	APIVersion    = "platform/v1"
	RealtimeModel = "RealtimeModel"

	OnFailureRollback = "rollback"
	OnFailurePause    = "pause"
	OnNoDataPause     = "pause"
	OnNoDataContinue  = "continue"

	ProtocolOpenInference = "open-inference"
	ProtocolMLflow        = "mlflow"
	ProtocolHTTP          = "http" // any other, which is passed through

	CompatibleBackward = "backward"
	CompatibleNone     = "none"
)

// Problem is one mistake in a file.
type Problem = strict.Problem

// Errors is all mistakes of a file.
type Errors = strict.Errors

const maxWorkers = 64

// Spec is a valid platform.yaml with every default filled in. Only Load, ReadRecord and In
// make one; its fields are exported for reading, and whoever changes one has no Spec any
// more.
type Spec struct {
	Name        string // of the endpoint, the same in every environment
	Environment string // in which these values hold; empty before In
	Description string // empty when not given
	Tier        Tier
	Owner       Owner
	Model       Model
	Data        Data
	Inputs      tensor.Declared
	Validation  Validation
	Resources   Resources
	Replicas    int // fixed
	Limits      Limits
	Network     Network
	Secrets     map[string]string // environment variable to the team's secret; nil when not given
	Rollout     Rollout

	// Environments is what is otherwise in some environments; empty after In.
	Environments map[string]Overlay

	// Origin says for each path ("rollout.steps[0].hold") where its value comes from:
	// "file", "record", "environment staging", "default of tier 3", or the path of the value
	// that it follows, such as "model.source". A value that is absent has no origin.
	Origin map[string]string
}

// Owner is the team that answers for the endpoint.
type Owner struct {
	Team    string
	Contact string // free text, empty when not given
}

// Model names the model and says where its version comes from, and who runs it: a custom
// server by Command, a server elsewhere by External, and the platform itself without both.
// Python, Workers and Batching are of models that the platform runs in Python; they are
// zero beside Command and External. Protocol, Health and Proxy are of servers.
type Model struct {
	Name     string
	Source   Source
	Command  []string // argument vector; nil when not given
	Python   string   // "3.11"; empty when not given: the one the model was saved with
	Workers  int      // Python processes of one replica
	Batching Batching
	External *External // nil when not given
	Protocol string    // of Command: ProtocolOpenInference or ProtocolHTTP
	Health   string    // path at which the server says that it is ready; empty where its protocol says it
	Proxy    []string  // paths that callers reach; nil when not given

	// Placement is PlacementOwn or PlacementShared; empty beside Command and External.
	Placement string
}

// Where a model that the platform evaluates itself runs.
const (
	PlacementOwn    = "own"    // in processes of its own
	PlacementShared = "shared" // in processes with others of its team and environment
)

// Batching bounds how requests to a Python model are joined: those that wait while its
// workers are busy. None waits to be joined.
type Batching struct {
	MaxRows int // of a batch; 1 joins none
}

// External is a server that runs elsewhere and is adopted as it is: the platform routes to
// it, counts and judges, and neither starts nor stops it. The version at Model.Source then
// holds no more than MLmodel with the signature, which is what callers are held to.
type External struct {
	URL      string // http or https, without credentials, query and fragment
	Protocol string // ProtocolOpenInference, ProtocolMLflow or ProtocolHTTP
	Model    string // its name there; empty but with ProtocolOpenInference
}

// Source is where a version comes from: exactly one of Dir, (Model, Version), (Model, Alias),
// (Model, Latest) and (Run, Path) is set.
type Source struct {
	Dir     string // a directory in MLflow format: absolute, or relative to the file
	Model   string
	Version int
	Alias   string
	Latest  bool   // the newest version
	Run     string // the id of a run that logged the model
	Path    string // of the model in it
}

// URI is what MLflow's users write for what is no directory.
func (s Source) URI() string {
	return modeluri.URI{Model: s.Model, Version: s.Version, Alias: s.Alias, Latest: s.Latest, Run: s.Run, Path: s.Path}.String()
}

// String prints a form in which the file may write it: "./model", "fraud:3",
// "fraud@champion", "models:/My model/3", "runs:/0123/model".
func (s Source) String() string {
	switch {
	case s.Dir != "":
		return s.Dir
	case s.Latest || s.Run != "" || !isName(s.Model):
		return s.URI()
	case s.Alias != "":
		return s.Model + "@" + s.Alias
	default:
		return s.Model + ":" + strconv.Itoa(s.Version)
	}
}

// Data is what the model was made of, as its owner states it.
type Data struct {
	Classification string   // public, internal, confidential or restricted; empty when not given
	PII            []string // columns that identify persons
	Training       []Training
}

// Training is one data set that the model was trained on.
type Training struct {
	URI    string // without credentials
	Digest slipway.Digest
	Basis  string // why it may be used; empty when not given
}

// Validation is what a version must pass before it gets traffic. Golden, Dataset and
// Latency are nil when the file has none.
type Validation struct {
	Golden     *Golden
	Dataset    *Dataset
	Metrics    []Metric
	Slices     []Slice
	Compatible string // with the live version's schema: CompatibleBackward or CompatibleNone
	Latency    *Latency
}

// Latency is how long 95 % of some requests may take, one after the other and without
// traffic.
type Latency struct {
	P95      time.Duration
	Requests int
}

// Golden is a file of recorded inputs and outputs, and the deviation that is allowed:
// |Δ| ≤ Tolerance·max(1, |y|).
type Golden struct {
	File      string
	Tolerance float64
}

// Dataset is the hold-out file, its target column and the fewest rows that may be judged.
type Dataset struct {
	File    string
	Target  string
	MinRows int
}

// Resources is what one replica gets.
type Resources struct {
	MilliCPU    int   // thousandths of a core
	MemoryBytes int64 // bytes
	GPU         GPU   // zero when not given
}

// Network says who calls the endpoint, as its owner states it.
type Network struct {
	Callers []string // names; nil when not given
}

// Rollout is how a new revision gets its traffic.
type Rollout struct {
	Steps            []Step        // weights ascend strictly and end at 100
	OnFailure        string        // OnFailureRollback or OnFailurePause
	OnNoData         string        // OnNoDataPause or OnNoDataContinue
	KeepPreviousWarm time.Duration // after the last step
	Deadline         time.Duration // of one request
}

// Step gives the candidate a share of the requests and holds it there.
type Step struct {
	Weight      float64       // percent, above 0, at most 100
	Hold        time.Duration // at least this long
	MinRequests int           // and until the candidate has answered as many
}
