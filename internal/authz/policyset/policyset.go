// Package policyset keeps what an installation adds to the policies that the program brings:
// numbered versions, each proposed by one person and decided by another.
package policyset

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// Statuses of a version. Only a proposal changes.
const (
	Proposed = "proposed"
	Approved = "approved"
	Rejected = "rejected"
)

// Version is one text of additions. Times are kept to the microsecond, in UTC.
type Version struct {
	Number   int       `json:"number"` // from 1, in the order of the proposals
	Status   string    `json:"status"`
	Text     string    `json:"text"`
	Reverts  int       `json:"reverts,omitempty"` // the version whose text it has again
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Created  time.Time `json:"created"`
	Decider  string    `json:"decider,omitempty"`
	Why      string    `json:"why,omitempty"`
	Decided  time.Time `json:"decided,omitzero"`
	Approval int       `json:"approval,omitempty"` // counts approvals from 1
	Alone    bool      `json:"alone,omitempty"`    // one person did both, on a development instance
}

// Store keeps versions. It is safe for concurrent use; what is acknowledged is durable,
// together with its event.
type Store interface {
	// Versions gives all, oldest first.
	Versions(ctx context.Context) ([]Version, error)
	// Propose adds a proposal. It answers Conflict while another one is open, and for a
	// number that is taken.
	Propose(ctx context.Context, v Version, ev slipway.Event) error
	// Decide makes a proposal what it became, and numbers an approval. It answers Conflict
	// for one that is decided already.
	Decide(ctx context.Context, v Version, ev slipway.Event) error
}

// InForce is the version that was approved last, or the zero Version: none is added.
func InForce(all []Version) Version {
	var out Version
	for _, v := range all {
		if v.Status == Approved && v.Approval > out.Approval {
			out = v
		}
	}
	return out
}
