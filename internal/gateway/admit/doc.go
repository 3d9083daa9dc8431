// Package admit decides which requests are taken on: so many a second at an endpoint, so many
// at once at each of its revisions, a few more that wait for a moment in a queue that is fair
// to callers. The rest is refused before it costs anything, so that those that are taken on
// are answered in time.
package admit

import (
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
)

// Rates are the requests a second of all callers together and of each; 0 is no limit. Of
// them so many may come at once, at least 1.
type Rates struct {
	Rate, CallerRate   float64
	Burst, CallerBurst int
}

// Config is what bounds the requests to one revision.
type Config struct {
	// Concurrency is how many are answered at once. 0 lets the gate find it between Floor, with
	// which the replicas are always busy, and Ceiling, what they take.
	Concurrency, Floor, Ceiling int

	Queue int // how many may wait
	// Wait is for how long; whoever would wait longer at the pace of the last answers is
	// refused at once. 0 lets the gate find it: a small share of the time that is left to it,
	// or a few answers' time where that is longer.
	Wait time.Duration
}

// Reason is why a request was refused.
type Reason uint8

// The reasons.
const (
	Rate       Reason = iota // more a second than the endpoint takes
	CallerRate               // more a second than it takes of one caller
	Full                     // the queue is full
	Shed                     // it waited in vain, or would have
	Deadline                 // the time that is left does not suffice
	Reasons                  // how many there are
)

// String is the reason as metrics have it.
func (r Reason) String() string {
	return [...]string{"rate", "caller_rate", "queue_full", "shed", "deadline"}[r]
}

// Refused counts refusals, by reason.
type Refused [Reasons]atomic.Uint64

func (r *Refused) add(why Reason, retry time.Duration) *Refusal {
	r[why].Add(1)
	return &Refusal{why, retry}
}

// Refusal says why a request is not taken on, and when to try again.
type Refusal struct {
	Reason Reason
	Retry  time.Duration
}

// Err is the refusal as clients get it.
func (r *Refusal) Err(endpoint string) *slipway.Error {
	e := &slipway.Error{Code: slipway.CodeOverloaded, Kind: slipway.Exhausted, Retry: r.Retry,
		Message: endpoint + " has as many requests as it can answer in time", Next: "try again after Retry-After"}
	switch r.Reason {
	case Rate:
		e.Code, e.Message = slipway.CodeRateLimited, endpoint+" gets more requests a second than limits.rate allows"
	case CallerRate:
		e.Code, e.Message = slipway.CodeRateLimited, "you send "+endpoint+" more requests a second than limits.caller_rate allows"
	case Deadline:
		e.Message, e.Next = endpoint+" cannot answer within the time that the request leaves it", "allow more time, or try again after Retry-After"
	}
	return e
}
