package audit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
)

func TestGate(t *testing.T) {
	now := start
	g := audit.NewGate(func() time.Time { return now })
	code := func(ev slipway.Event) string {
		if err := g.Admit([]slipway.Event{ev}); err != nil {
			return slipway.AsError(err).Code
		}
		return ""
	}
	change := slipway.Event{Actor: "ada", Action: "alias.moved"}
	free := []slipway.Event{
		{Actor: "ada", Action: "rollout.vetoed"}, {Actor: "judge", Action: "rollout.vetoed"},
		{Actor: "ada", Action: "deployment.commanded", Detail: map[string]string{"command": "rollback"}},
		{Actor: "ada", Action: "deployment.commanded", Detail: map[string]string{"command": "abort"}},
		{Actor: "ada", Action: "deployment.created", Detail: map[string]string{"kind": "rollback"}},
		{Actor: "system", Action: "deployment.released"}, {Actor: "ada", Action: "audit.retained"},
	}
	held := []slipway.Event{
		change, {Actor: "ada", Action: "deployment.created", Detail: map[string]string{"kind": "deploy"}},
		{Actor: "ada", Action: "deployment.commanded", Detail: map[string]string{"command": "promote"}}, {Actor: "eve", Action: "access.denied"},
	}
	g.Begin()
	g.Failed(&slipway.Error{Code: slipway.CodeAuditFull, Message: "its disk is full", Next: "free space"})
	now = now.Add(5 * time.Second)
	if got := code(change); got != "" {
		t.Errorf("a moment after the first failure: %q", got)
	}
	now = now.Add(time.Second)
	for _, ev := range held {
		if got := code(ev); got != slipway.CodeAuditFull {
			t.Errorf("%v: %q", ev, got)
		}
	}
	for _, ev := range free {
		if got := code(ev); got != "" {
			t.Errorf("%v: %q", ev, got)
		}
	}
	if err := g.Admit(append(free, change)); slipway.AsError(err).Next != "free space" {
		t.Errorf("next: %v", err)
	}
	g.Moved()
	if got := code(change); got != "" {
		t.Errorf("after the log took events: %q", got)
	}
	g.Begin() // and a disk that hangs answers nothing
	now = now.Add(6 * time.Second)
	if err := g.Admit([]slipway.Event{change}); !errors.Is(err, &slipway.Error{Code: slipway.CodeAuditFull}) || slipway.AsError(err).Next == "" {
		t.Errorf("a disk that hangs: %v", err)
	}
	g.Moved()
	g.Failed(&slipway.Error{Code: slipway.CodeAuditDamaged})
	if got := code(change); got != slipway.CodeAuditDamaged {
		t.Errorf("a log that is damaged: %q", got)
	}
}
