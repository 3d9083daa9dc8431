package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// Request asks for a deployment. The version it names is registered already.
type Request struct {
	Kind     string // KindDeploy or KindRollback
	Endpoint string
	Source   string // platform.yaml as given
	Spec     []byte // as it was resolved
	Files    map[string]slipway.Digest
	Model    string
	Version  int
	Digest   slipway.Digest
	Owner    string
	Tier     int
	Class    string // classification of its data
	Deadline time.Duration
	Limits   *route.Limits
	Plan     Plan
	Force    bool
	Reason   string
	By       string
	Key      string // the same key by the same principal gives the same deployment; empty: none
}

// Create records a deployment that its pipeline shall work on. A digest that was rolled
// back on the endpoint is refused unless forced with a reason.
func (c *Controller) Create(ctx context.Context, r Request) (Deployment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Key != "" {
		if d, err := c.ledger.ByKey(ctx, r.By, r.Key); d != nil || err != nil {
			return orZero(d), err
		}
	}
	refusal, err := c.ledger.Refusal(ctx, r.Endpoint, r.Digest)
	if err != nil {
		return Deployment{}, err
	}
	ch := Change{}
	switch {
	case refusal != nil && !r.Force:
		return Deployment{}, slipway.Errorf(slipway.Conflict, slipway.CodeRefused,
			"deploy another version, or the same with --force --reason WHY",
			"%s version %d was rolled back on %s by %s: %s", r.Model, r.Version, r.Endpoint, refusal.Deployment, refusal.Reason)
	case r.Force && r.Reason == "":
		return Deployment{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "add --reason WHY", "--force needs a reason; it is recorded")
	case refusal != nil:
		ch.Forgive = refusal
	}
	e, err := c.endpoint(ctx, r.Endpoint)
	if err != nil {
		return Deployment{}, err
	}
	if e.Active != "" {
		return Deployment{}, slipway.Errorf(slipway.Conflict, slipway.CodeInProgress,
			"wait for it, or: platform rollback "+e.Key, "%s drives %s", e.Active, e.Key)
	}
	now := c.now()
	if serving := e.Serving(); r.Kind == KindRollback && serving != nil {
		ch.Refuse = &Refusal{Endpoint: e.Key, Digest: serving.VersionDigest, Deployment: e.Current, Reason: r.Reason, Time: now}
	}
	d := &Deployment{ID: slipway.NewID("dep", now), Kind: r.Kind, Endpoint: r.Endpoint, Status: Running, Source: r.Source, Spec: r.Spec,
		Files: r.Files, Model: r.Model, Version: r.Version, Digest: r.Digest, Force: r.Force, Reason: r.Reason, By: r.By, Key: r.Key,
		Created: now, Plan: r.Plan}
	e.Active, e.Owner, e.Tier, e.Classification, e.Deadline, e.Limits = d.ID, r.Owner, r.Tier, r.Class, r.Deadline, r.Limits
	ch.Deployments, ch.Endpoints = []*Deployment{d}, []*Endpoint{&e}
	ev := c.event("deployment.created", d.ID, r.By, "endpoint", r.Endpoint, "model", r.Model,
		"kind", r.Kind, "version", fmt.Sprint(r.Version), "digest", string(r.Digest), "force", fmt.Sprint(r.Force), "reason", r.Reason)
	err = c.commit(ctx, ch, ev)
	return *d, err // with its number
}

func orZero(d *Deployment) Deployment {
	if d == nil {
		return Deployment{}
	}
	return *d
}

// endpoint finds an endpoint or makes a new, pending one.
func (c *Controller) endpoint(ctx context.Context, key string) (Endpoint, error) {
	e, err := c.store.Endpoint(ctx, key)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return Endpoint{Key: key, State: route.Pending, Reason: "its first deployment is under way"}, nil
	}
	return e, err
}

// Stage records one stage of a deployment's pipeline, new or changed.
func (c *Controller) Stage(ctx context.Context, id string, run StageRun) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.store.Deployment(ctx, id)
	if err != nil {
		return err
	}
	at := len(d.Stages)
	for i := range d.Stages {
		if d.Stages[i].Stage == run.Stage {
			at = i
		}
	}
	d.Stages = append(d.Stages[:at:at], run)
	return c.commit(ctx, Change{Deployments: []*Deployment{&d}},
		c.event("deployment.stage", id, System, "stage", run.Stage, "verdict", run.Verdict.String()))
}

// Fail ends a deployment whose pipeline did not pass.
func (c *Controller) Fail(ctx context.Context, id string, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.store.Deployment(ctx, id)
	if err != nil || d.Status != Running {
		return err
	}
	e, err := c.store.Endpoint(ctx, d.Endpoint)
	if err != nil {
		return err
	}
	why := slipway.AsError(cause)
	status := Failed
	d.State.Phase = PhaseFailed
	if d.Told.Command != NoCommand {
		why = &slipway.Error{Message: d.Told.String(), Next: "platform deploy"}
		status, d.State.Phase, d.Told = Aborted, PhaseAborted, Told{}
	}
	c.finish(&d, status, why.Code, why.What(), why.Next)
	e.Active = ""
	if e.Stable == nil && e.Candidate == nil {
		e.State, e.Reason = route.Withdrawn, "its first deployment did not pass: "+d.Message
	}
	return c.commit(ctx, Change{Deployments: []*Deployment{&d}, Endpoints: []*Endpoint{&e}},
		c.event("deployment."+string(d.State.Phase), id, System, "code", why.Code, "message", why.Message))
}

// Release hands a packaged, validated revision to the endpoint and starts its rollout.
// The revision gets the endpoint's next number. A previous revision that was still warm
// is retired; a provisional one becomes the stable to compare with.
func (c *Controller) Release(ctx context.Context, id string, rev route.Revision, p0 float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.store.Deployment(ctx, id)
	if err != nil || d.Revision != nil { // released before a crash
		return err
	}
	e, err := c.store.Endpoint(ctx, d.Endpoint)
	if err != nil {
		return err
	}
	c.begin(&e, &d, rev, p0)
	err = c.commit(ctx, Change{Deployments: []*Deployment{&d}, Endpoints: []*Endpoint{&e}},
		c.event("deployment.released", id, System, "revision", d.Revision.ID, "image", string(rev.ImageDigest)))
	c.Poke()
	return err
}

// Statistics of a rollout (rollout_statistics.md §8): the probability of a false
// rollback over the whole rollout, and of a false confirmation.
const (
	alpha = 0.001
	beta  = 0.05
)

func (c *Controller) begin(e *Endpoint, d *Deployment, rev route.Revision, p0 float64) {
	if e.Candidate != nil {
		e.retire()
	}
	e.Revisions++
	rev.Number = e.Revisions
	rev.ID = fmt.Sprintf("%s-%d", e.Key, rev.Number)
	d.Revision, d.Plan.First = &rev, e.Stable == nil
	if e.Stable != nil {
		d.Previous = e.Stable.ID
	} else {
		e.State, e.Reason = route.Pending, "its first replicas start"
	}
	d.State = Begin(c.now())
	e.Candidate, e.Weight = &rev, 0
	e.Rollout = &route.Rollout{Deployment: d.ID, Attempt: d.State.Attempt, Alpha: alpha, Beta: beta, P0: p0,
		First: d.Plan.First, Pause: d.Plan.PauseOnFail}
}

// Command asks a running deployment to promote, abort or roll back; it is carried out in
// the next pass of the loop, or, in the pipeline, before its next stage.
func (c *Controller) Command(ctx context.Context, id string, cmd Command, by, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.store.Deployment(ctx, id)
	if err != nil {
		return err
	}
	if d.Status != Running || cmd == Promote && d.State.Phase != PhasePaused {
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform status "+d.Endpoint,
			"%s is %s and cannot be told to %s", id, orElse(string(d.State.Phase), string(d.Status)), cmd)
	}
	d.Told = Told{cmd, by, reason}
	if err := c.commit(ctx, Change{Deployments: []*Deployment{&d}}, c.event("deployment.commanded", id, by, "command", string(cmd), "reason", reason)); err != nil {
		return err
	}
	c.Poke()
	return nil
}

// Commanded tells a pipeline whether its deployment was told to stop.
func (c *Controller) Commanded(ctx context.Context, id string) (bool, error) {
	d, err := c.store.Deployment(ctx, id)
	return d.Told.Command != NoCommand, err
}

// Rollback takes an endpoint back when the gateway could not do it alone: it stops the
// running deployment, or else brings back the revision that served before, as a
// deployment of its own.
func (c *Controller) Rollback(ctx context.Context, key, by, reason string) (Deployment, error) {
	e, err := c.store.Endpoint(ctx, key)
	if err != nil {
		return Deployment{}, err
	}
	if e.Active != "" {
		if err := c.Command(ctx, e.Active, RollBack, by, reason); err != nil {
			return Deployment{}, err
		}
		return c.store.Deployment(ctx, e.Active)
	}
	prev, err := c.previous(ctx, &e)
	if err != nil {
		return Deployment{}, err
	}
	d, err := c.Create(ctx, Request{Kind: KindRollback, Endpoint: key, Source: prev.Source, Spec: prev.Spec, Files: prev.Files, Model: prev.Model, Version: prev.Version,
		Digest: prev.Digest, Owner: e.Owner, Tier: e.Tier, Class: e.Classification, Deadline: e.Deadline, Limits: e.Limits, By: by, Reason: reason,
		Plan: Plan{Steps: []Step{{Weight: 100}}, StartLimit: prev.Plan.StartLimit, KeepWarm: prev.Plan.KeepWarm}})
	if err != nil {
		return d, err
	}
	return d, c.Release(ctx, d.ID, *prev.Revision, defaultP0)
}

// defaultP0 is the share of failures an endpoint is allowed while no SLO says otherwise.
const defaultP0 = 0.01

// previous finds the newest deployment whose revision served well before the current one.
func (c *Controller) previous(ctx context.Context, e *Endpoint) (Deployment, error) {
	serving := e.Serving()
	deps, err := c.store.Deployments(ctx, e.Key, 0, 100)
	if err != nil {
		return Deployment{}, err
	}
	for _, d := range deps {
		if d.Status != Succeeded || d.Kind == KindWithdrawal || d.Revision == nil || serving != nil && d.Digest == serving.VersionDigest {
			continue
		}
		if r, err := c.ledger.Refusal(ctx, e.Key, d.Digest); err != nil || r != nil {
			continue
		}
		return d, nil
	}
	return Deployment{}, slipway.Errorf(slipway.Conflict, slipway.CodeNoPrevious, "platform deploy", "no earlier revision of %s served", e.Key)
}
