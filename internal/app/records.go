package app

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/plan"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
)

// Events lists what changed, in order.
func (f fleetAPI) Events(ctx context.Context, p slipway.Principal, after int64, limit int) ([]api.Event, error) {
	if err := f.a.access.Check(ctx, p, authz.AuditRead, access.Server); err != nil {
		return nil, err
	}
	events, err := f.a.events.List(ctx, after, limit, "")
	return eventsView(events), err
}

func eventsView(events []event.Event) []api.Event {
	out := []api.Event{}
	for _, e := range events {
		out = append(out, api.Event{Seq: e.Seq, ID: e.ID, Time: e.Time, Actor: e.Actor, Action: e.Action, Subject: e.Subject, Detail: e.Detail})
	}
	return out
}

// maxOfSubject bounds the events of one deployment or endpoint that a history shows.
const maxOfSubject = 1000

// History lists what happened on an endpoint, newest first: the events of its last
// deployments and its own. Before is the sequence number of the oldest one seen.
func (f fleetAPI) History(ctx context.Context, p slipway.Principal, key string, before int64, limit int) ([]api.Event, error) {
	if _, err := f.may(ctx, p, authz.EndpointRead, key); err != nil {
		return nil, err
	}
	var out []event.Event
	collect := func(subject string) error {
		events, err := f.a.events.List(ctx, 0, maxOfSubject, subject)
		for _, e := range events {
			if before == 0 || e.Seq < before {
				out = append(out, e)
			}
		}
		return err
	}
	if err := collect(key); err != nil {
		return nil, err
	}
	const page = 20
	for number := 0; ; {
		ds, err := f.a.rollouts.Deployments(ctx, key, number, page)
		if err != nil {
			return nil, err
		}
		for _, d := range ds {
			if err := collect(d.ID); err != nil {
				return nil, err
			}
			number = d.Number
		}
		// An older deployment has only older events: one drives an endpoint at a time.
		if len(ds) < page || len(out) >= limit {
			break
		}
	}
	slices.SortFunc(out, func(a, b event.Event) int { return cmp.Compare(b.Seq, a.Seq) })
	return eventsView(out[:min(limit, len(out))]), nil
}

// Diff compares two revisions, each given as itself, as a deployment, or as an endpoint,
// which stands for what serves there.
func (f fleetAPI) Diff(ctx context.Context, p slipway.Principal, from, to string) (api.Plan, error) {
	a, err := f.released(ctx, p, from)
	if err != nil {
		return api.Plan{}, err
	}
	b, err := f.released(ctx, p, to)
	if err != nil {
		return api.Plan{}, err
	}
	was, err := specOf(a)
	if err != nil {
		return api.Plan{}, err
	}
	now, err := specOf(b)
	if err != nil {
		return api.Plan{}, err
	}
	version := func(d rollout.Deployment) plan.Version {
		return plan.Version{Model: d.Model, Number: d.Version, Digest: d.Digest}
	}
	out := plan.Make(&plan.Live{Revision: a.Revision.ID, Version: version(a), Schema: a.Revision.Schema, Scores: scores(a), Spec: was},
		plan.Next{Version: version(b), Schema: b.Revision.Schema, Scores: scores(b), Spec: now})
	out.Version = b.Revision.ID
	for _, s := range out.Sections {
		for i := range s.Changes {
			s.Changes[i].Origin = "" // both come from records
		}
	}
	return planView(out), nil
}

// released finds the deployment of a revision.
func (f fleetAPI) released(ctx context.Context, p slipway.Principal, name string) (rollout.Deployment, error) {
	d, err := f.releasedAs(ctx, name)
	if err != nil { // who may not see what is there does not learn what is not
		return d, cmp.Or(f.a.access.CheckNamed(ctx, p, authz.EndpointRead, name), err)
	}
	return d, f.a.access.CheckNamed(ctx, p, authz.EndpointRead, d.Endpoint)
}

func (f fleetAPI) releasedAs(ctx context.Context, name string) (rollout.Deployment, error) {
	none := func(why string) error {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform deployments", "%s: %s", name, why)
	}
	if strings.HasPrefix(name, "dep_") {
		d, err := f.a.rollouts.Deployment(ctx, name)
		if err == nil && (d.Revision == nil || d.Source == "") {
			err = none("this deployment has released no revision")
		}
		return d, err
	}
	e, err := f.find(ctx, name)
	if err == nil {
		r := e.Serving()
		if r == nil {
			return rollout.Deployment{}, none("nothing serves there")
		}
		return f.a.releaseOf(ctx, e.Key, r.ID)
	}
	at := strings.LastIndexByte(name, '-') // fraud-3, fraud.staging-3
	if slipway.AsError(err).Kind == slipway.Internal || at < 0 {
		return rollout.Deployment{}, err
	}
	return f.a.releaseOf(ctx, name[:at], name)
}

// Info says what this server is, and what it is not.
func (f fleetAPI) Info(ctx context.Context, p slipway.Principal) (api.Info, error) {
	if err := f.a.access.Check(ctx, p, authz.ServerRead, access.Server); err != nil {
		return api.Info{}, err
	}
	database := "SQLite"
	if f.a.o.Config.PostgreSQL != "" {
		database = "PostgreSQL"
	}
	notice, err := f.a.reviews.Notice(ctx)
	if err != nil {
		return api.Info{}, err
	}
	return api.Info{Review: notice, Version: f.a.o.Version, Started: f.a.started, PID: os.Getpid(), Home: f.a.o.Config.Home,
		Note: "one machine: " + database + ", a blob directory, local processes", Alerts: f.a.audit.Alerts(),
		URL: f.a.publicURL(), Development: f.a.o.Config.Development(), SSO: f.a.access.SignIn.HasProvider()}, nil
}

// doctorAPI is httpapi.Doctor.
type doctorAPI struct{ a *App }

// Examine looks for what is wrong.
func (d doctorAPI) Examine(ctx context.Context, p slipway.Principal, fix bool) ([]api.Finding, error) {
	if err := d.a.access.Check(ctx, p, authz.ServerExamine, access.Server); err != nil {
		return nil, err
	}
	return d.a.doctor().Examine(ctx, fix), nil
}
