package spec

import (
	"fmt"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Tier says how much depends on an endpoint: 1 (customer- or money-critical) to 4
// (experiment).
type Tier int

// P0 is the share of failed requests that a rollout of the tier allows in absolute terms.
func (t Tier) P0() float64 { return 0.01 }

// Policy is the floor of a tier: a file may be stricter, never looser.
//
//	tier                     1      2      3      4
//	golden records           yes    yes    one    –
//	dataset and metrics      yes    yes    of two –
//	data.classification      yes    yes    –      –
//	first step at most       5 %    10 %   25 %   100 %
//	steps at least           3      2      1      1
//	hold below 100 % at least 10m   5m     0      0
//	on_failure               rollback  any any    any
//	on_no_data               pause  pause  any    any
//	keep_previous_warm at least 1h  30m    0      0
//	replicas at least        2      2      1      1
//
// The floor of replicas holds for the file and for the environment production; another
// environment may run fewer. What the whole file says an environment cannot change.
type Policy struct {
	NeedsBoth           bool // golden records, and a dataset with a metric
	NeedsOne            bool // golden records, or a dataset with a metric
	NeedsClassification bool // data.classification
	MaxFirstWeight      float64
	MinSteps            int
	MinHold             time.Duration // of each step below 100
	MustRollBack        bool          // on_failure must be rollback
	MustPause           bool          // on_no_data must be pause
	MinKeepWarm         time.Duration
	MinReplicas         int
	AllowedFailures     float64 // P0
}

// Policy gives the floor of the tier. A number that is no tier has the floor of tier 4.
func (t Tier) Policy() Policy {
	switch t {
	case 1:
		return Policy{NeedsBoth: true, NeedsClassification: true, MaxFirstWeight: 5, MinSteps: 3, MinHold: 10 * time.Minute,
			MustRollBack: true, MustPause: true, MinKeepWarm: time.Hour, MinReplicas: 2, AllowedFailures: t.P0()}
	case 2:
		return Policy{NeedsBoth: true, NeedsClassification: true, MaxFirstWeight: 10, MinSteps: 2, MinHold: 5 * time.Minute,
			MustPause: true, MinKeepWarm: 30 * time.Minute, MinReplicas: 2, AllowedFailures: t.P0()}
	case 3:
		return Policy{NeedsOne: true, MaxFirstWeight: 25, MinSteps: 1, MinReplicas: 1, AllowedFailures: t.P0()}
	default:
		return Policy{MaxFirstWeight: 100, MinSteps: 1, MinReplicas: 1, AllowedFailures: t.P0()}
	}
}

// defaults are the values of keys that a file does not give.
type defaults struct {
	steps       []Step
	minRequests int // of a step below 100 that holds
	keepWarm    time.Duration
	deadline    time.Duration
	replicas    int
	milliCPU    int
	memoryBytes int64
	tolerance   float64
	minRows     int
	sliceRows   int // of each group of a slice
	queue       int // requests that wait
}

// defaults gives the tier's values; they satisfy its policy.
func (t Tier) defaults() defaults {
	d := defaults{deadline: 5 * time.Second, replicas: t.Policy().MinReplicas,
		milliCPU: 500, memoryBytes: 256 << 20, tolerance: 1e-6, sliceRows: 100, queue: 256}
	switch t {
	case 1:
		d.minRequests, d.keepWarm, d.minRows, d.sliceRows = 500, time.Hour, 500, 300
		d.steps = []Step{{5, 10 * time.Minute, 500}, {25, 20 * time.Minute, 500}, {Weight: 100}}
	case 2:
		d.minRequests, d.keepWarm, d.minRows, d.sliceRows = 200, 30*time.Minute, 200, 200
		d.steps = []Step{{10, 5 * time.Minute, 200}, {50, 10 * time.Minute, 200}, {Weight: 100}}
	case 3:
		d.minRequests, d.keepWarm, d.minRows = 100, 10*time.Minute, 100
		d.steps = []Step{{10, 2 * time.Minute, 100}, {50, 2 * time.Minute, 100}, {Weight: 100}}
	default:
		d.minRows, d.queue = 1, 128
		d.steps = []Step{{Weight: 100}}
	}
	return d
}

// checkPolicy reports where the file is looser than its tier allows.
func (d *document) checkPolicy(s *Spec) {
	if !d.well("tier") {
		return
	}
	p := s.Tier.Policy()
	d.policyValidation(p, s)
	d.policySteps(p, s)
	r := &s.Rollout
	d.require(!p.MustRollBack || r.OnFailure == OnFailureRollback, s, "rollout.on_failure", "must be rollback", "set it to rollback")
	d.require(!p.MustPause || r.OnNoData == OnNoDataPause, s, "rollout.on_no_data", "must be pause", "set it to pause: a check that saw nothing has not passed")
	least := strict.PrintDuration(p.MinKeepWarm)
	d.require(r.KeepPreviousWarm >= p.MinKeepWarm, s, "rollout.keep_previous_warm", "must be at least "+least, "set it to "+least+" or longer")
	d.require(s.Replicas >= p.MinReplicas, s, "scaling.replicas", "must be at least "+strconv.Itoa(p.MinReplicas), "set it to "+strconv.Itoa(p.MinReplicas)+" or more")
	if o := s.Environments[slipway.Production]; o.Replicas > 0 {
		d.require(o.Replicas >= p.MinReplicas, s, overlayPath(slipway.Production)+".scaling.replicas", "must be at least "+strconv.Itoa(p.MinReplicas)+" in production", "set it to "+strconv.Itoa(p.MinReplicas)+" or more")
	}
	d.require(!p.NeedsClassification || d.Has("data.classification"), s, "data.classification", "is required", "add data.classification: public, internal, confidential or restricted")
}

func (d *document) policyValidation(p Policy, s *Spec) {
	if s.Model.IsHTTP() { // which is refused for itself
		return
	}
	golden, dataset, metrics := d.Has("validation.golden"), d.Has("validation.dataset"), d.Has("validation.metrics")
	const (
		addGolden  = "add validation.golden: ./golden.jsonl with recorded inputs and outputs"
		addDataset = "add validation.dataset with file and target"
		addMetrics = "add validation.metrics with a bound, such as {name: roc_auc, min: 0.8}"
	)
	if p.NeedsBoth {
		d.require(golden, s, "validation.golden", "is required", addGolden)
		d.require(dataset, s, "validation.dataset", "is required", addDataset)
		d.require(metrics, s, "validation.metrics", "is required", addMetrics)
		return
	}
	d.require(!p.NeedsOne || golden || dataset || metrics, s, "validation", "must have golden records or metrics", addGolden+", or a dataset and metrics")
}

func (d *document) policySteps(p Policy, s *Spec) {
	if d.Len("rollout.steps") == 0 {
		return
	}
	steps := s.Rollout.Steps
	d.require(len(steps) >= p.MinSteps, s, "rollout.steps", "must have at least "+strconv.Itoa(p.MinSteps)+" steps", "add smaller weights before 100")
	d.require(steps[0].Weight <= p.MaxFirstWeight, s, "rollout.steps[0].weight",
		fmt.Sprintf("must be at most %g as the first weight", p.MaxFirstWeight), fmt.Sprintf("begin with %g or less", p.MaxFirstWeight))
	least := strict.PrintDuration(p.MinHold)
	for i, st := range steps {
		d.require(st.Weight >= 100 || st.Hold >= p.MinHold, s, strict.Index("rollout.steps", i)+".hold",
			"must be at least "+least+" below 100 %", "hold for "+least+" or longer")
	}
}

// require reports a broken policy at the key itself, or at tier when the key is absent.
func (d *document) require(ok bool, s *Spec, path, message, next string) {
	if ok {
		return
	}
	at := path
	if !d.Has(path) {
		at = "tier"
	}
	d.Report(at, path, strict.Mistake{Message: message + " in tier " + strconv.Itoa(int(s.Tier)), Next: next, Code: slipway.CodeSpecPolicy})
}
