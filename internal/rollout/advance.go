package rollout

import (
	"context"
	"fmt"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// System is the actor of what the platform does by itself.
const System = "system"

// liveCheck is a check of the live path under way.
type liveCheck struct {
	done chan struct{}
	ok   bool
	note string
}

// advance moves one endpoint: its running rollout, or the time its previous revision
// stays warm, or the confirmation of a provisional one.
func (c *Controller) advance(ctx context.Context, e *Endpoint, obs route.Observation) (busy bool, err error) {
	if e.Active == "" {
		return e.Candidate != nil, c.settle(ctx, e, obs)
	}
	d, err := c.store.Deployment(ctx, e.Active)
	if err != nil {
		return false, err
	}
	if d.State.Phase == "" { // still in its pipeline
		return false, nil
	}
	old := d.State
	next, action := d.State.Next(d.Plan, c.observe(ctx, e, &d, obs))
	d.State = next
	moved := next.Phase != old.Phase || next.Step != old.Step || next.Attempt != old.Attempt
	if !moved && next.Waiting == old.Waiting && c.now().Sub(c.saved[d.ID]) < saveTick {
		return true, nil
	}
	c.saved[d.ID] = c.now()
	if !moved {
		return true, c.commit(ctx, Change{Deployments: []*Deployment{&d}})
	}
	return true, c.transition(ctx, e, &d, action)
}

// observe makes a rollout's observation from the gateway's.
func (c *Controller) observe(ctx context.Context, e *Endpoint, d *Deployment, obs route.Observation) Observation {
	o := Observation{Now: c.now(), Command: d.Told.Command, Acked: c.acknowledged(e.Key, e.Rollout)}
	if r := obs.Revision(d.Revision.ID); r != nil {
		o.Ready, o.Want, o.Requests = r.Ready, r.Want, r.Counts.Requests
		for _, rep := range r.Replicas {
			if rep.State == route.ReplicaCrashLoop {
				o.Crash = rep.Reason
			}
		}
	}
	if d.State.Phase == PhaseChecking {
		o.Checked, o.CheckNote = c.liveCheck(ctx, *d)
	}
	return o
}

// liveCheck starts the check of a deployment once and tells its answer when there is one.
func (c *Controller) liveCheck(ctx context.Context, d Deployment) (*bool, string) {
	lc := c.checks[d.ID]
	if lc == nil {
		lc = &liveCheck{done: make(chan struct{})}
		c.checks[d.ID] = lc
		run := context.WithoutCancel(ctx) // it outlives this pass of the loop
		go func() {
			defer close(lc.done)
			run, cancel := context.WithTimeout(run, time.Minute)
			defer cancel()
			ok, note, err := c.check(run, d)
			if err != nil {
				ok, note = false, "the live path could not be checked: "+err.Error()
			}
			lc.ok, lc.note = ok, note
			c.Poke()
		}()
	}
	select {
	case <-lc.done:
		delete(c.checks, d.ID)
		return &lc.ok, lc.note
	default:
		return nil, ""
	}
}

// transition writes a rollout's step together with what it means for the endpoint.
func (c *Controller) transition(ctx context.Context, e *Endpoint, d *Deployment, action Action) error {
	ch := Change{Deployments: []*Deployment{d}, Endpoints: []*Endpoint{e}}
	told := d.Told
	d.Told = Told{}
	e.Weight = d.State.Weight(d.Plan)
	if e.Rollout != nil {
		e.Rollout.Attempt = d.State.Attempt
		e.Rollout.Promoted = d.State.Phase == PhasePromoting || d.State.Phase == PhaseDone
	}
	if d.Plan.First && d.State.Phase == PhasePromoting {
		e.State, e.Reason = route.Provisional, ""
	}
	switch action {
	case MakeStable:
		c.finish(d, Succeeded, "", "", "")
		e.Active, e.Current = "", d.ID
		e.WarmLeft, e.WarmSeen = d.Plan.KeepWarm, c.now()
	case TakeDown:
		c.end(d, told, &ch)
		takeDown(e, d.Message)
	}
	return c.commit(ctx, ch, c.event("rollout."+string(d.State.Phase), d.ID, System,
		"endpoint", e.Key, "revision", d.Revision.ID, "weight", fmt.Sprintf("%g", 100*e.Weight), "message", d.Message))
}

// end closes a deployment whose candidate is taken down.
func (c *Controller) end(d *Deployment, told Told, ch *Change) {
	switch d.State.Phase {
	case PhaseRolledBack:
		c.finish(d, RolledBack, slipway.CodeRolledBack, orElse(d.Message, "rolled back by its owner"), "platform logs "+d.Endpoint)
		ch.Refuse = &Refusal{Endpoint: d.Endpoint, Digest: d.Digest, Deployment: d.ID, Reason: d.Message, Time: c.now()}
	case PhaseAborted:
		c.finish(d, Aborted, "", told.String(), "platform deploy")
	default:
		code, next := slipway.CodeReplicaStart, "platform logs "+d.Endpoint
		if route.DiskFull(d.State.Waiting) {
			code, next = slipway.CodeDiskFull, "free space on the disk of the home directory"
		}
		c.finish(d, Failed, code, d.State.Waiting, next)
	}
}

func (c *Controller) finish(d *Deployment, s Status, code, message, next string) {
	d.Status, d.Finished, d.Code, d.Message, d.Next = s, c.now(), code, message, next
	delete(c.saved, d.ID)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// takeDown removes the candidate from an endpoint. Without a stable revision the endpoint
// is withdrawn.
func takeDown(e *Endpoint, reason string) {
	e.Candidate, e.Rollout, e.Weight, e.Active, e.WarmLeft = nil, nil, 0, "", 0
	if e.Stable == nil {
		e.State, e.Reason = route.Withdrawn, reason
	}
}

// settle retires the previous revision when it has been warm for long enough, and
// confirms a provisional endpoint when the absolute test has crossed.
func (c *Controller) settle(ctx context.Context, e *Endpoint, obs route.Observation) error {
	if e.Candidate == nil {
		return nil
	}
	if e.Stable == nil {
		if st := obs.Endpoint(e.Key); st == nil || !st.Confirmed || st.Rollout == nil || e.Rollout == nil || *st.Rollout != e.Rollout.Key() {
			return nil
		}
		e.retire()
		return c.commit(ctx, Change{Endpoints: []*Endpoint{e}}, c.event("endpoint.confirmed", e.Key, System, "deployment", e.Current))
	}
	now := c.now()
	elapsed := max(0, now.Sub(e.WarmSeen))
	if elapsed < e.WarmLeft && elapsed < 10*time.Second {
		return nil
	}
	e.WarmLeft, e.WarmSeen = e.WarmLeft-elapsed, now
	if e.WarmLeft > 0 {
		return c.commit(ctx, Change{Endpoints: []*Endpoint{e}})
	}
	old := e.Stable.ID
	e.retire()
	return c.commit(ctx, Change{Endpoints: []*Endpoint{e}}, c.event("revision.retired", old, System, "endpoint", e.Key))
}

// retire makes the promoted candidate the stable revision; the previous one is stopped.
func (e *Endpoint) retire() {
	e.Stable, e.Candidate, e.Rollout, e.Weight, e.WarmLeft = e.Candidate, nil, nil, 0, 0
	e.State, e.Reason = route.Serving, ""
}

// reconcile brings the vetoes of a gateway into the store, each once and in order.
func (c *Controller) reconcile(ctx context.Context, obs route.Observation) error {
	after, err := c.ledger.LastVeto(ctx, obs.Gateway)
	if err != nil || obs.VetoSeq <= after {
		return err
	}
	vetoes, err := c.gateway.Journal(ctx, after)
	if err != nil {
		return err
	}
	for _, v := range vetoes {
		if err := c.veto(ctx, obs.Gateway, v); err != nil {
			return err
		}
	}
	return nil
}

// veto records one rollback that the gateway has already made.
func (c *Controller) veto(ctx context.Context, gateway string, v route.Veto) error {
	ch := Change{Veto: &VetoKey{Gateway: gateway, Seq: v.Seq}}
	ev := c.event("rollout.vetoed", v.Rollout.Deployment, v.By, "endpoint", v.Endpoint, "revision", v.Revision, "reason", v.Reason)
	e, err := c.store.Endpoint(ctx, v.Endpoint)
	if err != nil {
		return err
	}
	if e.Rollout == nil || e.Rollout.Key() != v.Rollout { // its rollout is over: only the record is missing
		return c.commit(ctx, ch, ev)
	}
	d, err := c.store.Deployment(ctx, v.Rollout.Deployment)
	if err != nil {
		return err
	}
	if d.Status != Running {
		c.withdraw(&e, d, v, &ch)
		return c.commit(ctx, ch, ev)
	}
	before := d.State.Phase
	next, action := d.State.Next(d.Plan, Observation{Now: c.now(), Vetoed: true})
	d.State = next
	if v.By != Judge && before != PhasePaused && next.Phase == PhasePaused { // a person's rollback is no pause
		d.State, action = next.enter(PhaseRolledBack, ""), TakeDown
	}
	e.Weight = 0
	d.Message, d.Judgement, d.FirstBad, d.LastSent = v.Reason, v.Judgement, v.FirstBad, v.LastRouted
	ch.Deployments, ch.Endpoints = []*Deployment{&d}, []*Endpoint{&e}
	if action == TakeDown {
		c.end(&d, Told{}, &ch)
		takeDown(&e, v.Reason)
	}
	return c.commit(ctx, ch, ev)
}

// Judge is who vetoes when no person does.
const Judge = "judge"

// withdraw takes a promoted or provisional revision away after its deployment has ended.
// Terminal deployments never change, so the withdrawal is a deployment of its own.
func (c *Controller) withdraw(e *Endpoint, d Deployment, v route.Veto, ch *Change) {
	now := c.now()
	w := &Deployment{ID: slipway.NewID("dep", now), Kind: KindWithdrawal, Endpoint: e.Key, Model: d.Model, Version: d.Version,
		Digest: d.Digest, By: v.By, Created: now, Revision: d.Revision, Previous: d.Previous, Judgement: v.Judgement,
		FirstBad: v.FirstBad, LastSent: v.LastRouted}
	if v.By != Judge {
		w.Kind = KindRollback
	}
	if e.Stable != nil {
		w.Model, w.Version, w.Digest, w.Revision = e.Stable.Model, e.Stable.Version, e.Stable.VersionDigest, e.Stable
	}
	c.finish(w, Succeeded, "", v.Reason, "platform logs "+e.Key)
	w.State.Phase = PhaseDone
	ch.Refuse = &Refusal{Endpoint: e.Key, Digest: d.Digest, Deployment: d.ID, Reason: v.Reason, Time: now}
	e.Current = w.ID
	takeDown(e, v.Reason)
	ch.Deployments, ch.Endpoints = []*Deployment{w}, []*Endpoint{e}
}
