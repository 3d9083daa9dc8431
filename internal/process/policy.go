package process

import (
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// The pace of restarts.
const (
	heldRetry   = 2 * time.Second // while the disk is full, which is no fault of the model
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 30 * time.Second
	stableAfter = time.Minute // ready this long, and the past is forgotten
	crashWindow = time.Minute // crashExits exits in it are a crash loop
	crashExits  = 5
)

// Backoff is the wait before the next start after the given number of restarts in a row:
// 100 ms, doubled each time, at most 30 s.
func Backoff(restarts int) time.Duration {
	if restarts < 0 {
		restarts = 0
	}
	if restarts > 16 { // beyond every useful shift
		return maxBackoff
	}
	return min(minBackoff<<restarts, maxBackoff)
}

// happening is what a replica's process did, or what was decided about it.
type happening int

const (
	started happening = iota // a process was started, or found again
	ready                    // it answered
	lost                     // the connection broke, the process lives
	healthy                  // it answered again
	exited                   // the process ended, or could not be started
	held                     // it did so because the disk is full
	dropped                  // the replica is no longer wanted
)

// event is one happening. Jitter, in [0, 1), spreads the retries of replicas that failed
// together.
type event struct {
	what   happening
	reason string
	jitter float64
}

// history is what the supervisor remembers of a replica in order to decide.
type history struct {
	State    string    // one of route.Replica…
	Reason   string    // of the last trouble, until the replica was stable again
	Restarts int       // exits so far
	Since    time.Time // ready since
	Retry    time.Time // when to start again, in backoff and crash loop

	streak int                   // exits since the replica was last stable
	loops  bool                  // a crash loop lasts until the replica was stable again
	exits  [crashExits]time.Time // newest first
}

// next is the whole restart policy. A crash loop stays one while it is retried, so that an
// observer never sees it flicker; a dropped replica stays draining whatever happens.
func (h history) next(e event, now time.Time) history {
	if h.State == route.ReplicaDraining {
		return h
	}
	switch e.what {
	case started:
		h.State = route.ReplicaStarting
		if h.loops {
			h.State = route.ReplicaCrashLoop
		}
	case ready:
		h.State, h.Since = route.ReplicaReady, now
	case lost:
		h.State, h.Reason = route.ReplicaStarting, e.reason
	case healthy:
		if h.State == route.ReplicaReady && now.Sub(h.Since) >= stableAfter {
			h = history{State: h.State, Restarts: h.Restarts, Since: h.Since}
		}
	case exited:
		h = h.fail(e, now)
	case held:
		h.State, h.Reason, h.Retry = route.ReplicaHeld, e.reason, now.Add(heldRetry)
	case dropped:
		h.State = route.ReplicaDraining
	}
	return h
}

// fail counts an exit and sets the time of the next start.
func (h history) fail(e event, now time.Time) history {
	copy(h.exits[1:], h.exits[:])
	h.exits[0] = now
	oldest := h.exits[crashExits-1]
	h.loops = h.loops || !oldest.IsZero() && now.Sub(oldest) <= crashWindow
	h.State = route.ReplicaBackoff
	wait := Backoff(h.streak)
	if h.loops {
		h.State, wait = route.ReplicaCrashLoop, maxBackoff
	}
	h.Reason = e.reason
	h.Retry = now.Add(wait - time.Duration(e.jitter*float64(wait)/4))
	h.streak++
	h.Restarts++
	return h
}
