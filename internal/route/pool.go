package route

import (
	"strings"

	"github.com/slipway-ml/slipway"
)

// RuntimePool is the kind of a process that hosts the models of many revisions. No revision
// of a table has it: those of a pool have their own kind, and name the pool in Shared.
const RuntimePool = "pool"

// poolPrefix cannot begin the id of a revision, which begins with an endpoint's key.
const poolPrefix = "pool.."

// Host names the processes that answer for a revision: its own, or those of its pool.
func (r *Revision) Host() string {
	if r.Runtime.Shared == "" {
		return r.ID
	}
	return poolPrefix + r.Runtime.Shared
}

// IsPool says whether an id that Host gave is that of a pool.
func IsPool(host string) bool { return strings.HasPrefix(host, poolPrefix) }

// Pool is what a process of a pool is told: which models it hosts, and what all of them may
// take together.
type Pool struct {
	MemoryBytes int64    `json:"memory_bytes"` // of the process, 0 for no limit
	MilliCPU    int      `json:"milli_cpu"`
	Models      []Hosted `json:"models"`
}

// Hosted is one model of a pool.
type Hosted struct {
	Revision string         `json:"revision"`
	Dir      string         `json:"dir"`    // the unpacked image
	Digest   slipway.Digest `json:"digest"` // of the version, which the files must have
	Kind     string         `json:"kind"`
	Pinned   bool           `json:"pinned,omitempty"` // loaded at once, and never evicted
}

// HostedStatus is what a process of a pool says of one model.
type HostedStatus struct {
	Revision string `json:"revision"`
	Loaded   bool   `json:"loaded"`
	Bytes    int64  `json:"bytes"`            // that it takes while it is loaded, as of the last time
	Loads    int    `json:"loads"`            // times that it was loaded
	Failed   string `json:"failed,omitempty"` // why the last load failed
}
