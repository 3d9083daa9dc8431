package audit

import (
	"fmt"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// maxWait is how long the log may take no events while some wait, before changes stop.
const maxWait = 5 * time.Second

// Gate stops changes while the log takes no events, so that what is not in it stays
// bounded. It is safe for concurrent use.
type Gate struct {
	now func() time.Time

	mu      sync.Mutex
	waiting time.Time // since when an event waits without any progress; zero: none does
	cause   error     // of the last failure
	damaged error
}

// NewGate makes a Gate that is open.
func NewGate(now func() time.Time) *Gate { return &Gate{now: now} }

// Begin says that events are about to be moved into the log.
func (g *Gate) Begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting.IsZero() {
		g.waiting = g.now()
	}
}

// Moved says that the log took events.
func (g *Gate) Moved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting, g.cause, g.damaged = time.Time{}, nil, nil
}

// Failed says that the log took none. One that is damaged closes the gate at once.
func (g *Gate) Failed(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause = err; slipway.AsError(err).Code == slipway.CodeAuditDamaged {
		g.damaged = err
	}
}

// Cause is why the log took no events the last time, or nil.
func (g *Gate) Cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// Admit answers CodeAuditFull, or CodeAuditDamaged, for events of changes that have to
// wait. What takes something back, and what the platform does by itself to end what was
// begun, never waits: its events come into the log later.
func (g *Gate) Admit(events []slipway.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := !g.waiting.IsZero() && g.now().Sub(g.waiting) > maxWait
	if g.damaged == nil && !full {
		return nil
	}
	for i := range events {
		if !takesBack(&events[i]) {
			if g.damaged != nil {
				return g.damaged
			}
			e := slipway.AsError(g.cause)
			if g.cause == nil {
				e = &slipway.Error{Message: "it does not answer", Next: "look at the disk of the audit log"}
			}
			return &slipway.Error{Code: slipway.CodeAuditFull, Kind: slipway.Exhausted, Cause: g.cause, Next: e.Next,
				Message: fmt.Sprintf("nothing is changed while the audit log takes no events: %s", e.Message)}
		}
	}
	return nil
}

// system is the actor of what the platform does by itself.
const system = "system"

func takesBack(ev *slipway.Event) bool {
	switch ev.Action {
	case "rollout.vetoed", "audit.retained": // that makes room
		return true
	case "deployment.commanded":
		return ev.Detail["command"] != "promote"
	case "deployment.created":
		return ev.Detail["kind"] == "rollback" || ev.Detail["kind"] == "withdrawal"
	}
	return ev.Actor == system
}
