package route

import (
	"encoding/json"
	"time"
)

// Veto is one rollback that a gateway made or was asked to make: the journal's entry.
// The server reconciles vetoes in order of Seq, each once.
type Veto struct {
	Seq       uint64          `json:"seq"`
	Time      time.Time       `json:"time"`
	Endpoint  string          `json:"endpoint"`
	Rollout   RolloutKey      `json:"rollout"`
	Revision  string          `json:"revision"`
	By        string          `json:"by"` // "judge", or the principal of a manual rollback
	Reason    string          `json:"reason"`
	Promoted  bool            `json:"promoted"` // the candidate had been promoted
	First     bool            `json:"first"`    // there was no stable: the endpoint was withdrawn
	Judgement json.RawMessage `json:"judgement,omitempty"`
	// FirstBad is when the candidate's first failure was answered, zero if none was;
	// LastRouted is when the last request was routed to it.
	FirstBad   time.Time `json:"first_bad,omitzero"`
	LastRouted time.Time `json:"last_routed,omitzero"`
}

// Counts are outcomes since the gateway first saw the revision. First attempts only,
// but for Answered and Errors, which are what users got.
type Counts struct {
	Requests  uint64 `json:"requests"`   // first attempts
	Failed    uint64 `json:"failed"`     // of these: connection, 5xx, time cut-off
	Slow      uint64 `json:"slow"`       // of these: slower than tau
	Rejected  uint64 `json:"rejected"`   // of these: 4xx by the model
	Rescued   uint64 `json:"rescued"`    // failed on the candidate, then answered by stable
	Answered  uint64 `json:"answered"`   // answers that users got from this revision
	Errors    uint64 `json:"errors"`     // 5xx that users got because of this revision
	LatencyUS uint64 `json:"latency_us"` // sum over first attempts, µs
}

// States of a replica.
const (
	ReplicaStarting  = "starting"
	ReplicaReady     = "ready"
	ReplicaBackoff   = "backoff"
	ReplicaHeld      = "held" // the disk is full; it starts when there is room
	ReplicaCrashLoop = "crash-loop"
	ReplicaDraining  = "draining"
)

// ReplicaStatus is one process that answers for a revision.
type ReplicaStatus struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`
	Reason   string    `json:"reason,omitempty"`
	LogTail  []string  `json:"log_tail,omitempty"`
	RSSBytes int64     `json:"rss_bytes"` // of the process, be it the revision's own or a pool's

	// Of a process of a pool.
	Pool       string `json:"pool,omitempty"`
	Loaded     bool   `json:"loaded,omitempty"`      // the revision's model is in memory
	ModelBytes int64  `json:"model_bytes,omitempty"` // that it takes there
}

// RevisionStatus is what a gateway says of one revision.
type RevisionStatus struct {
	ID       string          `json:"id"`
	Ready    int             `json:"ready"`
	Want     int             `json:"want"`
	Replicas []ReplicaStatus `json:"replicas"`
	Counts   Counts          `json:"counts"`
	P50MS    float64         `json:"p50_ms"`
	P95MS    float64         `json:"p95_ms"`
}

// EndpointStatus is what a gateway says of one endpoint: the weight in force, which may
// be lower than the table's, and the judgement so far (eprocess.Judgement as JSON).
type EndpointStatus struct {
	Key       string          `json:"key"`
	Weight    float64         `json:"weight"`
	Rollout   *RolloutKey     `json:"rollout,omitempty"`
	Judgement json.RawMessage `json:"judgement,omitempty"`
	Confirmed bool            `json:"confirmed"` // the absolute promotion test crossed
	Vetoed    bool            `json:"vetoed"`
	Traffic   *Traffic        `json:"traffic,omitempty"` // nil from a gateway that does not say
}

// Observation is the whole answer of a gateway.
type Observation struct {
	Gateway   string           `json:"gateway"`
	Seq       uint64           `json:"seq"` // table in force
	Time      time.Time        `json:"time"`
	VetoSeq   uint64           `json:"veto_seq"` // newest journal entry
	Revisions []RevisionStatus `json:"revisions"`
	Endpoints []EndpointStatus `json:"endpoints"`
}

// Revision finds a revision's status, or gives nil.
func (o *Observation) Revision(id string) *RevisionStatus {
	for i := range o.Revisions {
		if o.Revisions[i].ID == id {
			return &o.Revisions[i]
		}
	}
	return nil
}

// Endpoint finds an endpoint's status, or gives nil.
func (o *Observation) Endpoint(key string) *EndpointStatus {
	for i := range o.Endpoints {
		if o.Endpoints[i].Key == key {
			return &o.Endpoints[i]
		}
	}
	return nil
}
