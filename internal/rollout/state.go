package rollout

import (
	"fmt"
	"time"
)

// Phase is where a deployment's rollout stands.
type Phase string

// The phases. A rollout walks starting → (checking) → stepping → promoting → done, and
// may leave for rolled-back, failed or paused from any of them but done.
const (
	PhaseStarting   Phase = "starting"  // replicas of the candidate start
	PhaseChecking   Phase = "checking"  // first deployment: goldens on the live path
	PhaseStepping   Phase = "stepping"  // the candidate has its step's weight
	PhasePaused     Phase = "paused"    // on_failure: pause; waits for its owner
	PhasePromoting  Phase = "promoting" // the intent is recorded, the gateway's word is awaited
	PhaseDone       Phase = "done"
	PhaseRolledBack Phase = "rolled-back"
	PhaseFailed     Phase = "failed"
	PhaseAborted    Phase = "aborted"
)

// Terminal tells whether the rollout has ended.
func (p Phase) Terminal() bool {
	return p == PhaseDone || p == PhaseRolledBack || p == PhaseFailed || p == PhaseAborted
}

// Step is one weight of a rollout.
type Step struct {
	Weight      float64       `json:"weight"` // percent of the requests, 0..100
	Hold        time.Duration `json:"hold"`
	MinRequests uint64        `json:"min_requests"` // by the candidate, within the step
}

// Plan is what a rollout does, fixed when it starts.
type Plan struct {
	Steps        []Step        `json:"steps"`
	PauseOnFail  bool          `json:"pause_on_failure"`
	ContinueIdle bool          `json:"continue_on_no_data"`
	KeepWarm     time.Duration `json:"keep_previous_warm"`
	StartLimit   time.Duration `json:"start_limit"` // for replicas to become ready
	First        bool          `json:"first"`       // no stable revision: serve at once, provisionally
}

// State is a rollout's durable state. It holds elapsed time instead of instants, so that
// a clock that jumps back only makes a hold longer.
type State struct {
	Phase   Phase         `json:"phase"`
	Step    int           `json:"step"`
	Attempt int           `json:"attempt"`
	Held    time.Duration `json:"held"`      // in this phase and step
	Seen    time.Time     `json:"seen"`      // the last observation
	Base    uint64        `json:"base"`      // the candidate's requests when the step began
	Restart bool          `json:"restarted"` // the base must be taken anew
	Missing uint64        `json:"missing"`   // requests that the step still needs
	Waiting string        `json:"waiting"`   // why it waits, for people
}

// Observation is what a rollout is told. Requests are first attempts by the candidate.
type Observation struct {
	Now       time.Time
	Ready     int
	Want      int
	Crash     string // why a replica is in a crash loop
	Held      string // why a replica waits for the machine
	Requests  uint64
	Vetoed    bool // the gateway took the weight away
	Acked     bool // the gateway acknowledged the promotion
	Checked   *bool
	CheckNote string
	Command   Command
}

// Command is what a person asked for since the last observation.
type Command string

// The commands.
const (
	NoCommand Command = ""
	Promote   Command = "promote"  // from paused: go on at the same step, with fresh evidence
	Abort     Command = "abort"    // give up; the digest is not refused
	RollBack  Command = "rollback" // give up because it is bad; the digest is refused
)

// Action is what the shell has to do after a transition.
type Action string

// The actions. Weights are not actions: they follow from the state (Weight).
const (
	NoAction   Action = ""
	CheckLive  Action = "check-live"  // send the goldens through the gateway
	MakeStable Action = "make-stable" // the candidate becomes stable, and the deployment succeeds
	TakeDown   Action = "take-down"   // the candidate leaves the table
)

// Begin is the state in which every rollout starts.
func Begin(now time.Time) State {
	return State{Phase: PhaseStarting, Seen: now, Attempt: 1}
}

// Weight is the share of requests, 0..1, that the state gives to the candidate.
func (s State) Weight(p Plan) float64 {
	switch s.Phase {
	case PhaseStepping:
		return p.Steps[s.Step].Weight / 100
	case PhasePromoting, PhaseDone:
		return 1
	default:
		return 0
	}
}

// Next is the whole decision of a rollout: from a state and an observation to the next
// state and what to do. It has no I/O and no clock. A veto outranks everything.
func (s State) Next(p Plan, o Observation) (State, Action) {
	if s.Phase.Terminal() {
		return s, NoAction
	}
	s = s.elapse(o.Now)
	switch {
	case o.Vetoed && p.PauseOnFail && s.Phase != PhasePaused && !p.First:
		return s.enter(PhasePaused, "the candidate was judged worse than stable and has no traffic; its owner decides"), NoAction
	case o.Vetoed && s.Phase != PhasePaused:
		return s.enter(PhaseRolledBack, ""), TakeDown
	case o.Command == Abort:
		return s.enter(PhaseAborted, ""), TakeDown
	case o.Command == RollBack:
		return s.enter(PhaseRolledBack, ""), TakeDown
	}
	switch s.Phase {
	case PhaseStarting:
		return s.starting(p, o)
	case PhaseChecking:
		return s.checking(o)
	case PhaseStepping:
		return s.stepping(p, o)
	case PhasePaused:
		if o.Command == Promote {
			s.Attempt++
			s.Restart = true
			return s.enter(PhaseStepping, ""), NoAction
		}
	case PhasePromoting:
		if o.Acked {
			return s.enter(PhaseDone, ""), MakeStable
		}
	}
	return s, NoAction
}

func (s State) starting(p Plan, o Observation) (State, Action) {
	switch {
	case o.Want > 0 && o.Ready >= o.Want && p.First:
		return s.enter(PhaseChecking, "goldens go through the live path"), CheckLive
	case o.Want > 0 && o.Ready >= o.Want:
		s.Base, s.Missing = o.Requests, p.Steps[0].MinRequests
		return s.enter(PhaseStepping, ""), NoAction
	case o.Crash != "":
		return s.enter(PhaseFailed, "replicas crash: "+o.Crash), TakeDown
	case s.Held > p.StartLimit:
		return s.enter(PhaseFailed, fmt.Sprintf("%s after %s", o.replicas(), p.StartLimit)), TakeDown
	}
	s.Waiting = o.replicas()
	return s, NoAction
}

func (o Observation) replicas() string {
	ready := fmt.Sprintf("%d of %d replicas ready", o.Ready, o.Want)
	if o.Held != "" {
		ready += ": " + o.Held
	}
	return ready
}

func (s State) checking(o Observation) (State, Action) {
	switch {
	case o.Checked == nil:
		return s, CheckLive
	case !*o.Checked:
		return s.enter(PhaseFailed, o.CheckNote), TakeDown
	}
	return s.enter(PhasePromoting, "waits for the gateway's acknowledgement"), NoAction
}

func (s State) stepping(p Plan, o Observation) (State, Action) {
	if s.Restart || o.Requests < s.Base { // a gateway that lost its counters counts anew
		s.Base, s.Restart = o.Requests, false
	}
	step := p.Steps[s.Step]
	got := o.Requests - s.Base
	s.Missing = step.MinRequests - min(step.MinRequests, got)
	last := s.Step == len(p.Steps)-1
	switch {
	case s.Held < step.Hold:
		s.Waiting = fmt.Sprintf("holds %g %% for %s more", step.Weight, (step.Hold - s.Held).Round(time.Second))
		return s, NoAction
	case s.Missing > 0 && !p.ContinueIdle:
		s.Waiting = fmt.Sprintf("not enough evidence: %d more requests to the candidate needed at %g %%", s.Missing, step.Weight)
		return s, NoAction
	case last:
		return s.enter(PhasePromoting, "waits for the gateway's acknowledgement"), NoAction
	}
	s.Step++
	s.Base, s.Missing = o.Requests, p.Steps[s.Step].MinRequests
	return s.enter(PhaseStepping, ""), NoAction
}

// enter moves to a phase (or the next step) and starts its clock.
func (s State) enter(p Phase, waiting string) State {
	s.Phase, s.Held, s.Waiting = p, 0, waiting
	return s
}

// elapse adds the time since the last observation, never a negative one.
func (s State) elapse(now time.Time) State {
	if d := now.Sub(s.Seen); d > 0 {
		s.Held += d
	}
	s.Seen = now
	return s
}
