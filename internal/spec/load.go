package spec

import (
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Load parses, completes and validates a platform.yaml; name is the file's name in
// messages. The error is an *Errors that holds every mistake found. The values are those
// of the file outside environments: In gives those of one environment.
func Load(name string, src []byte) (*Spec, error) {
	d, err := strict.Read(name, src, table())
	if err != nil {
		return nil, err
	}
	return finish(&document{Document: d, given: "file"})
}

// ReadRecord reads what Canonical wrote. The policy of the tier was checked when the record
// was made: a record stays readable after the policy has become stricter.
func ReadRecord(b []byte) (*Spec, error) {
	d, err := strict.Read("record", b, recordTable())
	if err != nil {
		return nil, err
	}
	return finish(&document{Document: d, given: "record", record: true})
}

func finish(d *document) (*Spec, error) {
	d.origin = map[string]string{}
	s := d.build()
	d.check(s)
	if !d.record {
		d.checkPolicy(s)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// document is a file that becomes a Spec.
type document struct {
	*strict.Document
	origin   map[string]string
	given    string // origin of a value that the file gives
	defaults string // origin of a value that it does not give
	record   bool
}

// build fills a Spec from the values that were well-formed and the defaults of the tier.
func (d *document) build() *Spec {
	tier := get(d, "tier", Tier(0))
	d.defaults = "default of tier " + strconv.Itoa(int(tier))
	def := tier.defaults()
	s := &Spec{
		Name:        text(d, "name"),
		Environment: text(d, "environment"),
		Description: text(d, "description"),
		Tier:        tier,
		Owner:       Owner{Team: text(d, "owner.team"), Contact: text(d, "owner.contact")},
		Data:        d.data(),
		Inputs:      d.inputs(),
		Resources: Resources{
			MilliCPU:    get(d, "resources.cpu", def.milliCPU),
			MemoryBytes: get(d, "resources.memory", def.memoryBytes),
			GPU:         d.gpu("resources.gpu"),
		},
		Limits:   d.limits(def),
		Replicas: get(d, "scaling.replicas", def.replicas),
		Network:  Network{Callers: d.texts("network.callers")},
		Secrets:  d.secrets(),
		Rollout: Rollout{
			Steps:            d.steps(tier, def),
			OnFailure:        get(d, "rollout.on_failure", OnFailureRollback),
			OnNoData:         get(d, "rollout.on_no_data", OnNoDataPause),
			KeepPreviousWarm: get(d, "rollout.keep_previous_warm", def.keepWarm),
			Deadline:         get(d, "rollout.deadline", def.deadline),
		},
		Environments: d.overlays(),
		Origin:       d.origin,
	}
	s.Model = d.model(s)
	s.Validation = d.validation(def)
	return s
}

func (d *document) secrets() map[string]string {
	var out map[string]string
	for _, variable := range d.Keys("secrets") {
		if out == nil {
			out = map[string]string{}
		}
		out[variable] = text(d, "secrets."+variable)
	}
	return out
}

func (d *document) model(s *Spec) Model {
	m := Model{Source: get(d, "model.source", Source{}), Command: d.texts("model.command")}
	fallback, from := s.Name, "name"
	if m.Source.Model != "" {
		fallback, from = m.Source.Model, "model.source"
	}
	m.Name = get(d, "model.name", fallback)
	if !d.Has("model.name") {
		d.origin["model.name"] = from
	}
	switch {
	case d.Has("model.external"):
		m.External = d.external(m.Name)
		d.server(&m)
	case d.Has("model.command"):
		d.server(&m)
	default:
		m.Placement = get(d, "model.placement", PlacementOwn)
		m.Python = text(d, "model.python")
		m.Workers = get(d, "model.workers", workersOf(s.Resources.MilliCPU))
		if !d.Has("model.workers") {
			d.origin["model.workers"] = "resources.cpu"
		}
		m.Batching = Batching{
			MaxRows: get(d, "model.batching.max_rows", 256),
		}
	}
	return m
}

// workersOf is one worker for each core that is begun.
func workersOf(milliCPU int) int { return min((milliCPU+999)/1000, maxWorkers) }

func (d *document) external(model string) *External {
	x := &External{URL: text(d, "model.external.url"), Protocol: text(d, "model.external.protocol")}
	if x.Protocol == ProtocolOpenInference {
		x.Model = get(d, "model.external.model", model)
		if !d.Has("model.external.model") {
			d.origin["model.external.model"] = "model.name"
		}
	}
	return x
}

func (d *document) data() Data {
	data := Data{Classification: text(d, "data.classification"), PII: d.texts("data.pii")}
	for i := range d.Len("data.training") {
		path := strict.Index("data.training", i)
		data.Training = append(data.Training, Training{URI: text(d, path+".uri"),
			Digest: optional[slipway.Digest](d, path+".digest"), Basis: text(d, path+".licence_or_basis")})
	}
	return data
}

func (d *document) validation(def defaults) Validation {
	v := Validation{Compatible: get(d, "validation.schema.compatible", CompatibleBackward)}
	if d.Has("validation.golden") {
		v.Golden = &Golden{
			File:      text(d, "validation.golden.file"),
			Tolerance: get(d, "validation.golden.tolerance", def.tolerance),
		}
	}
	if d.Has("validation.dataset") {
		v.Dataset = &Dataset{
			File:    text(d, "validation.dataset.file"),
			Target:  text(d, "validation.dataset.target"),
			MinRows: get(d, "validation.dataset.min_rows", def.minRows),
		}
	}
	for i := range d.Len("validation.metrics") {
		v.Metrics = append(v.Metrics, d.metric(strict.Index("validation.metrics", i)))
	}
	for i := range d.Len("validation.slices") {
		v.Slices = append(v.Slices, d.slice(strict.Index("validation.slices", i), def))
	}
	if d.Has("validation.latency") {
		v.Latency = &Latency{
			P95:      optional[time.Duration](d, "validation.latency.p95"),
			Requests: get(d, "validation.latency.requests", 200),
		}
	}
	return v
}

func (d *document) steps(tier Tier, def defaults) []Step {
	if !d.Has("rollout.steps") {
		d.origin["rollout.steps"] = d.defaults
		return slices.Clone(def.steps)
	}
	hold := tier.Policy().MinHold
	var steps []Step
	for i := range d.Len("rollout.steps") {
		path := strict.Index("rollout.steps", i)
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
	if v, ok := strict.Value[T](d.Document, path); ok {
		d.origin[path] = d.given
		return v
	}
	d.origin[path] = d.defaults
	return def
}

// optional gives a value that has no default; absent is zero and has no origin.
func optional[T any](d *document, path string) T {
	v, ok := strict.Value[T](d.Document, path)
	if ok {
		d.origin[path] = d.given
	}
	return v
}

// texts gives a list of strings, nil when it is absent.
func (d *document) texts(path string) (list []string) {
	for i := range d.Len(path) {
		list = append(list, text(d, strict.Index(path, i)))
	}
	return list
}

// text is an optional string.
func text(d *document, path string) string { return optional[string](d, path) }

// number is an optional number.
func (d *document) number(path string) float64 { return optional[float64](d, path) }

// well is true when the file gives a well-formed value.
func (d *document) well(path string) bool {
	_, ok := strict.Value[any](d.Document, path)
	return ok
}
