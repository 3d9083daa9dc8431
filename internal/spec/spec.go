// Package spec reads platform.yaml: one file that says what a model is, how it is checked
// and how it is rolled out. Load parses, applies the defaults of the tier and validates
// once; all mistakes are reported together, each with its place and what to do.
package spec

import (
	"slices"
	"strings"
	"time"
)

// Values that a file may give and that other packages compare with.
const (
	APIVersion    = "platform/v1"
	RealtimeModel = "RealtimeModel"

	OnFailureRollback = "rollback"
	OnFailurePause    = "pause"
	OnNoDataPause     = "pause"
	OnNoDataContinue  = "continue"
)

// Spec is a valid platform.yaml with every default filled in. Only Load makes one; its
// fields are exported for reading, and whoever changes one has no Spec any more.
type Spec struct {
	Name        string // the endpoint
	Description string // empty when not given
	Tier        Tier
	Owner       Owner
	Model       Model
	Validation  Validation
	Resources   Resources
	Replicas    int // fixed
	Rollout     Rollout

	// Origin says for each path ("rollout.steps[0].hold") where its value comes from:
	// "file", "model.source" or "default of tier 3". A value that is absent has no origin.
	Origin map[string]string
}

// Owner is the team that answers for the endpoint.
type Owner struct {
	Team    string
	Contact string // free text, empty when not given
}

// Model names the model and says where its version comes from. Command is the argument
// vector of a custom server, nil for a model that the platform runs itself.
type Model struct {
	Name    string
	Source  Source
	Command []string
}

// Source is where a version comes from: exactly one of Dir, (Model, Version) and
// (Model, Alias) is set.
type Source struct {
	Dir     string // a directory in MLflow format: absolute, or relative to the file
	Model   string
	Version int
	Alias   string
}

// String prints the form in which the file writes it: "./model", "fraud:3", "fraud@champion".
func (s Source) String() string {
	switch {
	case s.Dir != "":
		return s.Dir
	case s.Alias != "":
		return s.Model + "@" + s.Alias
	default:
		return s.Model + ":" + itoa(s.Version)
	}
}

// Validation is what a version must pass before it gets traffic. Golden and Dataset are
// nil when the file has none.
type Validation struct {
	Golden  *Golden
	Dataset *Dataset
	Metrics []Metric
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

// Load parses, completes and validates a platform.yaml; name is the file's name in
// messages. The error is an *Errors that holds every mistake found.
func Load(name string, src []byte) (*Spec, error) {
	d, err := readDocument(name, src)
	if err != nil {
		return nil, err
	}
	s := d.build()
	d.check(s)
	d.checkPolicy(s)
	if err := d.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// build fills a Spec from the values that were well-formed and the defaults of the tier.
func (d *document) build() *Spec {
	tier := get(d, "tier", Tier(0))
	d.defaults = "default of tier " + itoa(int(tier))
	def := tier.defaults()
	s := &Spec{
		Name:        text(d, "name"),
		Description: text(d, "description"),
		Tier:        tier,
		Owner:       Owner{Team: text(d, "owner.team"), Contact: text(d, "owner.contact")},
		Resources: Resources{
			MilliCPU:    get(d, "resources.cpu", def.milliCPU),
			MemoryBytes: get(d, "resources.memory", def.memoryBytes),
		},
		Replicas: get(d, "scaling.replicas", def.replicas),
		Rollout: Rollout{
			Steps:            d.steps(tier, def),
			OnFailure:        get(d, "rollout.on_failure", OnFailureRollback),
			OnNoData:         get(d, "rollout.on_no_data", OnNoDataPause),
			KeepPreviousWarm: get(d, "rollout.keep_previous_warm", def.keepWarm),
			Deadline:         get(d, "rollout.deadline", def.deadline),
		},
		Origin: d.origin,
	}
	s.Model = d.model(s.Name)
	s.Validation = d.validation(def)
	return s
}

func (d *document) model(endpoint string) Model {
	m := Model{Source: get(d, "model.source", Source{})}
	fallback := endpoint
	if m.Source.Model != "" {
		fallback = m.Source.Model
	}
	m.Name = get(d, "model.name", fallback)
	if m.Source.Model != "" && !d.has("model.name") {
		d.origin["model.name"] = "model.source"
	}
	for i := range d.length("model.command") {
		m.Command = append(m.Command, text(d, index("model.command", i)))
	}
	return m
}

func (d *document) validation(def defaults) Validation {
	var v Validation
	if d.has("validation.golden") {
		v.Golden = &Golden{
			File:      text(d, "validation.golden.file"),
			Tolerance: get(d, "validation.golden.tolerance", def.tolerance),
		}
	}
	if d.has("validation.dataset") {
		v.Dataset = &Dataset{
			File:    text(d, "validation.dataset.file"),
			Target:  text(d, "validation.dataset.target"),
			MinRows: get(d, "validation.dataset.min_rows", def.minRows),
		}
	}
	for i := range d.length("validation.metrics") {
		v.Metrics = append(v.Metrics, d.metric(index("validation.metrics", i)))
	}
	return v
}

func (d *document) steps(tier Tier, def defaults) []Step {
	if !d.has("rollout.steps") {
		d.origin["rollout.steps"] = d.defaults
		return slices.Clone(def.steps)
	}
	hold := tier.Policy().MinHold
	var steps []Step
	for i := range d.length("rollout.steps") {
		path := index("rollout.steps", i)
		st := Step{Weight: get(d, path+".weight", 0.0)}
		if st.Weight < 100 {
			st.Hold = get(d, path+".hold", hold)
		} else {
			st.Hold = get(d, path+".hold", time.Duration(0))
		}
		if st.Hold > 0 && st.Weight < 100 {
			st.MinRequests = get(d, path+".min_requests", def.minRequests)
		} else {
			st.MinRequests = get(d, path+".min_requests", 0)
		}
		steps = append(steps, st)
	}
	return steps
}

// get gives the file's value of a path, or the default, and records which.
func get[T any](d *document, path string, def T) T {
	if v, ok := d.values[path].(T); ok {
		d.origin[path] = "file"
		return v
	}
	d.origin[path] = d.defaults
	return def
}

// text gives a string that has no default; absent is empty and has no origin.
func text(d *document, path string) string {
	s, ok := d.values[path].(string)
	if ok {
		d.origin[path] = "file"
	}
	return s
}

// index prints the path of a list's item.
func index(path string, i int) string { return path + "[" + itoa(i) + "]" }

// parent cuts the last key off a path: "rollout.steps[0].hold" gives "rollout.steps[0]".
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
