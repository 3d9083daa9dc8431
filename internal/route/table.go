// Package route is the one immutable value in which control plane and data plane meet:
// the table of endpoints, weights, revisions and grants, and the answers the gateway
// gives about it. Nothing here does I/O.
package route

import (
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Table is everything a gateway knows. A table is never changed, only replaced by one of
// a higher Seq.
type Table struct {
	Seq       uint64     `json:"seq"`
	Endpoints []Endpoint `json:"endpoints"`
	Grants    []Grant    `json:"grants"`
}

// Scopes of a grant.
const (
	ScopeOwner  = "owner"  // everything
	ScopeListed = "listed" // what the grant lists
)

// Grant lets the bearer of a token do what the gateway decides alone. TokenSHA256 is the
// hexadecimal SHA-256 of the token's text; the token itself is nowhere. The lists hold keys
// of endpoints, sorted.
type Grant struct {
	TokenSHA256 string    `json:"token_sha256"`
	Token       string    `json:"token,omitempty"` // its id
	Principal   string    `json:"principal"`
	Scope       string    `json:"scope"`
	Expires     time.Time `json:"expires,omitzero"`
	Predict     []string  `json:"predict,omitempty"`   // may be called
	Connected   []string  `json:"connected,omitempty"` // of these, only while the grant is fresh
	RollBack    []string  `json:"rollback,omitempty"`  // may be taken back
	Metrics     bool      `json:"metrics,omitempty"`   // may be read
	// Until says when parts of it end before the whole: the key of an endpoint after
	// UntilPredict or UntilRollBack, or UntilMetrics.
	Until map[string]time.Time `json:"until,omitempty"`
}

// Keys of Grant.Until.
const (
	UntilPredict  = "predict "
	UntilRollBack = "rollback "
	UntilMetrics  = "metrics"
)

// GrantAge is how long a gateway that does not hear from the server honours the parts of a
// grant that ask for a fresh one.
const GrantAge = 5 * time.Minute

// MayPredict says whether the bearer may call an endpoint, and see what it takes, at a time
// and an age of the grant.
func (g *Grant) MayPredict(key string, now time.Time, age time.Duration) bool {
	if g.Scope == ScopeOwner {
		return true
	}
	return contains(g.Predict, key) && g.lasts(UntilPredict, key, now) && (age <= GrantAge || len(g.Connected) == 0 || !contains(g.Connected, key))
}

// MayRollBack says whether the bearer may take an endpoint back. A rollback waits for
// nothing: the age of the grant does not matter.
func (g *Grant) MayRollBack(key string, now time.Time) bool {
	return g.Scope == ScopeOwner || contains(g.RollBack, key) && g.lasts(UntilRollBack, key, now)
}

// MayReadMetrics says whether the bearer may read the metrics of all endpoints.
func (g *Grant) MayReadMetrics(now time.Time) bool {
	return g.Scope == ScopeOwner || g.Metrics && g.lasts(UntilMetrics, "", now)
}

func (g *Grant) lasts(what, key string, now time.Time) bool {
	if len(g.Until) == 0 {
		return true
	}
	end, ok := g.Until[what+key]
	return !ok || now.Before(end)
}

func contains(keys []string, key string) bool {
	_, found := slices.BinarySearch(keys, key)
	return found
}

// EndpointState says how an endpoint answers.
type EndpointState string

// The endpoint states.
const (
	Serving     EndpointState = "serving"
	Provisional EndpointState = "provisional" // first deployment, not yet confirmed by the absolute test
	Withdrawn   EndpointState = "withdrawn"   // answers 503 with Reason
	Pending     EndpointState = "pending"     // first deployment whose replicas start
)

// Endpoint is one place where a model answers. Stable is the fallback; Candidate gets
// Weight of the requests. A gateway may lower Weight to 0 by itself, never raise it.
type Endpoint struct {
	Key       string        `json:"key"` // "fraud", or "fraud.staging"
	State     EndpointState `json:"state"`
	Reason    string        `json:"reason,omitempty"`
	Deadline  time.Duration `json:"deadline"` // of a whole request, ns; a first attempt gets half
	Stable    *Revision     `json:"stable,omitempty"`
	Candidate *Revision     `json:"candidate,omitempty"`
	Weight    float64       `json:"weight"` // the candidate's share, 0..1
	Rollout   *Rollout      `json:"rollout,omitempty"`
	Limits    *Limits       `json:"limits,omitempty"` // nil: the gateway's defaults
}

// Revision is one version and one resolved configuration, ready to be run.
type Revision struct {
	ID            string         `json:"id"` // "fraud-3"
	Number        int            `json:"number"`
	Model         string         `json:"model"`
	Version       int            `json:"version"`
	VersionDigest slipway.Digest `json:"version_digest"`
	ImageDigest   slipway.Digest `json:"image_digest"`
	Dir           string         `json:"dir"` // the unpacked image on this machine
	Runtime       Runtime        `json:"runtime"`
	Schema        tensor.Schema  `json:"schema"`
	Replicas      int            `json:"replicas"`
	MemoryBytes   int64          `json:"memory_bytes"`
	MilliCPU      int            `json:"milli_cpu"`
}

// Kinds of runtime.
const (
	RuntimeTree    = "tree"    // tree ensembles, natively
	RuntimeCommand = "command" // a custom server that speaks Open Inference
	RuntimePython  = "python"  // any MLflow flavor, in Python workers
	RuntimeRemote  = "remote"  // a server that runs elsewhere
	RuntimeONNX    = "onnx"    // graphs of ONNX, by ONNX Runtime in platform-onnx
)

// Runtime says how a revision is run. Command is the argument vector of a custom server,
// in which {socket}, {port} and {model} are substituted.
type Runtime struct {
	Kind    string   `json:"kind"`
	Command []string `json:"command,omitempty"`

	// Of Python models.
	Python  string `json:"python,omitempty"`   // the interpreter of the model's environment
	Workers int    `json:"workers,omitempty"`  // processes for each replica
	MaxRows int    `json:"max_rows,omitempty"` // that requests are joined to; 1 joins none
	Network bool   `json:"network,omitempty"`  // the model may open connections

	// Secrets are the environment variables of the model's processes, each with the name of a
	// secret of Team; the values are nowhere in a table.
	Secrets map[string]string `json:"secrets,omitempty"`
	Team    string            `json:"team,omitempty"`

	// Of servers, behind a replica or elsewhere.
	Protocol string   `json:"protocol,omitempty"` // empty: ProtocolOpenInference
	Health   string   `json:"health,omitempty"`   // path at which it is ready; empty: the protocol's
	Proxy    []string `json:"proxy,omitempty"`    // paths that callers reach, see Passes

	// Of servers that run elsewhere.
	URL  string `json:"url,omitempty"`
	Name string `json:"name,omitempty"` // of the model there

	// Shared names the pool in whose processes the model is hosted beside others: one of a team
	// in an environment. Empty: the revision has processes of its own.
	Shared string `json:"shared,omitempty"`
	Pinned bool   `json:"pinned,omitempty"` // in its pool: loaded at once, and never evicted
}

// Protocols of servers. Of ProtocolHTTP nothing is known but the paths that are passed on.
const (
	ProtocolOpenInference = "open-inference"
	ProtocolMLflow        = "mlflow"
	ProtocolHTTP          = "http"
)

// Rollout names the evidence by which the candidate is judged, from its first request to
// the end of keep_previous_warm. It is keyed by (Deployment, Attempt): a new attempt
// starts fresh evidence and spends alpha again.
type Rollout struct {
	Deployment string  `json:"deployment"`
	Attempt    int     `json:"attempt"`
	Alpha      float64 `json:"alpha"`    // probability of a false rollback, whole rollout
	Beta       float64 `json:"beta"`     // probability of a false confirmation
	P0         float64 `json:"p0"`       // allowed share of failed requests
	First      bool    `json:"first"`    // no stable to compare with: absolute tests only
	Promoted   bool    `json:"promoted"` // the promotion was intended; stable is kept warm
	Pause      bool    `json:"pause"`    // on_failure: pause instead of rolling back
}

// Key identifies the evidence of a rollout.
func (r *Rollout) Key() RolloutKey { return RolloutKey{r.Deployment, r.Attempt} }

// RolloutKey is (deployment, attempt).
type RolloutKey struct {
	Deployment string `json:"deployment"`
	Attempt    int    `json:"attempt"`
}

// Endpoint finds an endpoint by key, or gives nil.
func (t *Table) Endpoint(key string) *Endpoint {
	for i := range t.Endpoints {
		if t.Endpoints[i].Key == key {
			return &t.Endpoints[i]
		}
	}
	return nil
}

// Revisions lists every revision the table wants running, each once.
func (t *Table) Revisions() []*Revision {
	var out []*Revision
	seen := map[string]bool{}
	for i := range t.Endpoints {
		for _, r := range []*Revision{t.Endpoints[i].Stable, t.Endpoints[i].Candidate} {
			if r != nil && !seen[r.ID] {
				seen[r.ID] = true
				out = append(out, r)
			}
		}
	}
	return out
}
