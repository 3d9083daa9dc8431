package rollout_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/rollout"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func plan() rollout.Plan {
	return rollout.Plan{StartLimit: time.Minute, KeepWarm: time.Hour, Steps: []rollout.Step{
		{Weight: 5, Hold: 10 * time.Second, MinRequests: 50}, {Weight: 25, Hold: 10 * time.Second}, {Weight: 100}}}
}

// tell is one observation and what it must lead to.
type tell struct {
	after  time.Duration // since the one before
	o      rollout.Observation
	phase  rollout.Phase
	weight float64
	action rollout.Action
}

func walk(t *testing.T, p rollout.Plan, tells []tell) rollout.State {
	t.Helper()
	now := t0
	s := rollout.Begin(now)
	for i, tl := range tells {
		now = now.Add(tl.after)
		tl.o.Now = now
		var a rollout.Action
		s, a = s.Next(p, tl.o)
		if s.Phase != tl.phase || s.Weight(p) != tl.weight || a != tl.action {
			t.Fatalf("observation %d: phase %s weight %v action %q, want %s %v %q (waiting: %s)", i, s.Phase, s.Weight(p), a, tl.phase, tl.weight, tl.action, s.Waiting)
		}
	}
	return s
}

func ready(requests uint64) rollout.Observation {
	return rollout.Observation{Ready: 1, Want: 1, Requests: requests}
}

func TestPromotion(t *testing.T) {
	t.Parallel()
	acked := ready(400)
	acked.Acked = true
	walk(t, plan(), []tell{
		{time.Second, rollout.Observation{Want: 1}, rollout.PhaseStarting, 0, ""},
		{time.Second, ready(0), rollout.PhaseStepping, .05, ""},
		{9 * time.Second, ready(60), rollout.PhaseStepping, .05, ""},
		{2 * time.Second, ready(70), rollout.PhaseStepping, .25, ""},
		{10 * time.Second, ready(300), rollout.PhaseStepping, 1, ""},
		{0, ready(300), rollout.PhasePromoting, 1, ""},
		{0, ready(310), rollout.PhasePromoting, 1, ""},
		{0, acked, rollout.PhaseDone, 1, rollout.MakeStable},
	})
}

func TestIdleIsNeitherFailedNorPassed(t *testing.T) {
	t.Parallel()
	idle := []tell{
		{0, ready(0), rollout.PhaseStepping, .05, ""},
		{24 * time.Hour, ready(49), rollout.PhaseStepping, .05, ""},
	}
	s := walk(t, plan(), idle)
	if s.Missing != 1 {
		t.Errorf("missing %d requests, want 1", s.Missing)
	}
	p := plan()
	p.ContinueIdle = true
	idle[1].weight = .25
	walk(t, p, idle)
}

func TestVeto(t *testing.T) {
	t.Parallel()
	vetoed := ready(10)
	vetoed.Vetoed = true
	begin := tell{0, ready(0), rollout.PhaseStepping, .05, ""}
	walk(t, plan(), []tell{begin, {time.Second, vetoed, rollout.PhaseRolledBack, 0, rollout.TakeDown}})

	p := plan()
	p.PauseOnFail = true
	promote := ready(12)
	promote.Command = rollout.Promote
	s := walk(t, p, []tell{begin, {time.Second, vetoed, rollout.PhasePaused, 0, ""}, {time.Hour, ready(12), rollout.PhasePaused, 0, ""},
		{time.Second, promote, rollout.PhaseStepping, .05, ""}})
	if s.Attempt != 2 {
		t.Errorf("attempt %d, want 2: fresh evidence", s.Attempt)
	}

	vetoed.Acked = true // both arrive at once: the veto wins
	fast := rollout.Plan{Steps: []rollout.Step{{Weight: 100}}, StartLimit: time.Minute}
	walk(t, fast, []tell{{0, ready(0), rollout.PhaseStepping, 1, ""}, {0, ready(0), rollout.PhasePromoting, 1, ""},
		{0, vetoed, rollout.PhaseRolledBack, 0, rollout.TakeDown}})
}

func TestFirstDeploymentIsCheckedBeforeItServes(t *testing.T) {
	t.Parallel()
	p := rollout.Plan{First: true, StartLimit: time.Minute, Steps: plan().Steps}
	yes, no := true, false
	checked, refused := ready(0), ready(0)
	checked.Checked, refused.Checked = &yes, &no
	start := tell{time.Second, ready(0), rollout.PhaseChecking, 0, rollout.CheckLive}
	walk(t, p, []tell{start, {0, ready(0), rollout.PhaseChecking, 0, rollout.CheckLive}, {0, checked, rollout.PhasePromoting, 1, ""}})
	walk(t, p, []tell{start, {0, refused, rollout.PhaseFailed, 0, rollout.TakeDown}})
}

func TestReplicasThatNeverComeUp(t *testing.T) {
	t.Parallel()
	walk(t, plan(), []tell{{time.Second, rollout.Observation{Want: 1}, rollout.PhaseStarting, 0, ""},
		{61 * time.Second, rollout.Observation{Want: 1}, rollout.PhaseFailed, 0, rollout.TakeDown}})
	walk(t, plan(), []tell{{time.Second, rollout.Observation{Want: 1, Held: "no room"}, rollout.PhaseStarting, 0, ""},
		{time.Second, ready(0), rollout.PhaseStepping, .05, ""}})
	walk(t, plan(), []tell{{time.Second, rollout.Observation{Want: 1, Crash: "exit 3"}, rollout.PhaseFailed, 0, rollout.TakeDown}})
}

func TestClockJumpsBack(t *testing.T) {
	t.Parallel()
	walk(t, plan(), []tell{
		{0, ready(0), rollout.PhaseStepping, .05, ""},
		{8 * time.Second, ready(60), rollout.PhaseStepping, .05, ""},
		{-24 * time.Hour, ready(60), rollout.PhaseStepping, .05, ""},
		{1 * time.Second, ready(60), rollout.PhaseStepping, .05, ""},
		{1 * time.Second, ready(60), rollout.PhaseStepping, .25, ""},
	})
}

// A gateway that lost its counters must not make a step last for ever, nor end early.
func TestCountersStartAgain(t *testing.T) {
	t.Parallel()
	walk(t, plan(), []tell{
		{0, ready(1000), rollout.PhaseStepping, .05, ""},
		{11 * time.Second, ready(3), rollout.PhaseStepping, .05, ""},
		{time.Second, ready(52), rollout.PhaseStepping, .05, ""},
		{time.Second, ready(53), rollout.PhaseStepping, .25, ""},
	})
}

// Whatever is observed: the weight is one of the plan's or zero, it rises by one step at
// most, a veto leaves no weight, and an ended rollout never changes.
func TestNextHoldsItsRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := plan()
		p.PauseOnFail, p.ContinueIdle, p.First = rapid.Bool().Draw(t, "pause"), rapid.Bool().Draw(t, "idle"), rapid.Bool().Draw(t, "first")
		s, now := rollout.Begin(t0), t0
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.IntRange(-20, 20).Draw(t, "dt")) * time.Second)
			ok := rapid.Bool().Draw(t, "ok")
			o := rollout.Observation{Now: now, Ready: rapid.IntRange(0, 2).Draw(t, "ready"), Want: 2, Requests: rapid.Uint64Range(0, 200).Draw(t, "req"),
				Vetoed: rapid.IntRange(0, 9).Draw(t, "veto") == 0, Acked: rapid.Bool().Draw(t, "ack"), Checked: &ok,
				Command: rapid.SampledFrom([]rollout.Command{"", "", "", rollout.Promote, rollout.Abort, rollout.RollBack}).Draw(t, "cmd")}
			next, _ := s.Next(p, o)
			switch {
			case s.Phase.Terminal() && next != s:
				t.Fatalf("%s changed to %s", s.Phase, next.Phase)
			case o.Vetoed && !s.Phase.Terminal() && s.Phase != rollout.PhasePaused && next.Weight(p) != 0:
				t.Fatalf("weight %v after a veto in %s", next.Weight(p), s.Phase)
			case next.Step > s.Step+1 || next.Step < s.Step:
				t.Fatalf("step %d after %d", next.Step, s.Step)
			case next.Phase == rollout.PhaseDone && s.Phase != rollout.PhasePromoting && s.Phase != rollout.PhaseDone:
				t.Fatalf("promoted from %s", s.Phase)
			}
			s = next
		}
	})
}
