package app

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/plan"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// wanted is a deployment that somebody asks for, resolved.
type wanted struct {
	spec    *spec.Spec // for its environment, and for what runs the model
	version registry.Version
	saved   model.Saved
}

// resolve reads a platform.yaml for an environment and finds its version: the registered
// one that it or number names, or the draft of uploaded files.
func (a *App) resolve(ctx context.Context, p slipway.Principal, source, environment string, number int, files []registry.File) (wanted, error) {
	s, err := spec.Load("platform.yaml", []byte(source))
	if err != nil {
		return wanted{}, err
	}
	env, err := slipway.ParseName(cmp.Or(environment, slipway.Production))
	if err != nil {
		return wanted{}, err
	}
	if s, err = s.In(env); err != nil {
		return wanted{}, err
	}
	w := wanted{spec: s}
	if err := a.reachable(s); err != nil {
		return wanted{}, err
	}
	// Before it is looked for: who may not see it does not learn what it has, or lacks.
	if err := a.access.CheckNamed(ctx, p, authz.ModelRead, modelOf(s)); err != nil {
		return wanted{}, err
	}
	if w.version, err = a.find(ctx, p, s, number, files); err != nil {
		return wanted{}, err
	}
	w.saved, err = model.Describe(versionFiles{ctx, a.blobs, w.version}, s)
	if err == nil && w.saved.Runtime.Kind == route.RuntimePython {
		w.spec = s.InPython()
	}
	return w, err
}

// reachable refuses a server elsewhere at an address that the platform does not connect to;
// what a name stands for, the replica sees.
func (a *App) reachable(s *spec.Spec) error {
	x := s.Model.External
	if x == nil {
		return nil
	}
	u, err := url.Parse(x.URL)
	if err != nil {
		return err
	}
	reach, err := a.o.Config.Reach()
	if err == nil && !reach.PermitHost(u.Hostname()) {
		err = &slipway.Error{Code: slipway.CodeForbiddenTo, Kind: slipway.Unprocessable, Field: "model.external.url", Message: "is an address that the platform does not connect to", Next: "use one that the server has for others, or have an operator allow it: platform up --allow-external NETWORK"}
	}
	return err
}

// modelOf names the model that a platform.yaml deploys.
func modelOf(s *spec.Spec) string { return cmp.Or(s.Model.Source.Model, s.Model.Name) }

// find finds the version that a file or a number names, or the draft of what would be one.
func (a *App) find(ctx context.Context, p slipway.Principal, s *spec.Spec, number int, files []registry.File) (registry.Version, error) {
	from, name := s.Model.Source, modelOf(s)
	ref := registry.Ref{Number: from.Version, Alias: from.Alias}
	switch {
	case from.Run != "":
		return a.registered.RunDraft(ctx, p, name, from.Run, from.Path)
	case from.Dir != "" && len(files) > 0:
		return a.models.Draft(ctx, name, files)
	case from.Dir != "" && number < 1:
		return registry.Version{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "register the directory first and give its number as version",
			"model.source is a directory, which the server cannot see")
	case from.Dir != "":
		ref.Number = number
	}
	v, err := a.models.Version(ctx, name, ref)
	if err == nil && v.Digest == "" {
		err = slipway.Errorf(slipway.Unprocessable, slipway.CodeNoFiles, "log the model to this platform and deploy that version, or deploy a directory",
			"the files of version %d of %s are not here, so it cannot be deployed", v.Number, name)
	}
	return v, err
}

// plan compares what is wanted with what serves. It answers also the deployment that put
// there what serves, nil if nothing does.
func (a *App) plan(ctx context.Context, w wanted) (plan.Plan, *rollout.Deployment, error) {
	next := plan.Next{Version: plan.Version{Model: w.version.Model, Number: w.version.Number, Digest: w.version.Digest},
		Schema: w.saved.Schema, Spec: w.spec}
	e, err := a.rollouts.Endpoint(ctx, w.spec.Endpoint())
	switch {
	case errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) || err == nil && e.Serving() == nil:
		return plan.Make(nil, next), nil, nil
	case err != nil:
		return plan.Plan{}, nil, err
	}
	rev := e.Serving()
	d, err := a.releaseOf(ctx, e.Key, rev.ID)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	was, err := specOf(d)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	live := plan.Live{Revision: rev.ID, Version: plan.Version{Model: rev.Model, Number: rev.Version, Digest: rev.VersionDigest},
		Schema: rev.Schema, Scores: scores(d), Spec: was}
	if rev.VersionDigest == next.Version.Digest {
		next.Scores = live.Scores
	}
	return plan.Make(&live, next), &d, nil
}

// releaseOf finds the deployment that released a revision: after a rollback that is an older
// one.
func (a *App) releaseOf(ctx context.Context, endpoint, revision string) (rollout.Deployment, error) {
	const page = 50
	for before := 0; ; {
		all, err := a.rollouts.Deployments(ctx, endpoint, before, page)
		if err != nil {
			return rollout.Deployment{}, err
		}
		for _, d := range all {
			if d.Revision != nil && d.Revision.ID == revision && d.Source != "" {
				return d, nil
			}
		}
		if len(all) < page {
			return rollout.Deployment{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform deployments "+endpoint, "no deployment has released %s", revision)
		}
		before = all[len(all)-1].Number
	}
}

// specOf is what a deployment was resolved to. Records before there were any are made of
// the file.
func specOf(d rollout.Deployment) (*spec.Spec, error) {
	if len(d.Spec) > 0 {
		return spec.ReadRecord(d.Spec)
	}
	s, err := spec.Load("platform.yaml", []byte(d.Source))
	if err != nil {
		return nil, err
	}
	_, env, err := slipway.ParseEndpoint(d.Endpoint)
	if err != nil {
		return nil, err
	}
	return s.In(env)
}

// scores are the metrics of a deployment's validation.
func scores(d rollout.Deployment) map[string]float64 {
	var results []verdict.Result
	for _, st := range d.Stages {
		results = append(results, st.Results...)
	}
	return evaluate.Scores(results)
}

// Plan says what a deployment would change.
func (d deploymentsAPI) Plan(ctx context.Context, p slipway.Principal, r api.CreatePlan) (api.Plan, error) {
	files := make([]registry.File, len(r.Files))
	for i, f := range r.Files {
		files[i] = registry.File{Path: f.Path, Digest: slipway.Digest(f.Digest), Size: f.Size, Executable: f.Executable}
	}
	w, err := d.a.resolve(ctx, p, r.PlatformYAML, r.Environment, r.Version, files)
	if err != nil {
		return api.Plan{}, err
	}
	if err := d.may(ctx, p, authz.EndpointPlan, w); err != nil {
		return api.Plan{}, err
	}
	out, _, err := d.a.plan(ctx, w)
	return planView(out), err
}

// unchanged finds the deployment that serves exactly what is wanted, validated with the
// same files, or nil.
func (d deploymentsAPI) unchanged(ctx context.Context, w wanted, files map[string]slipway.Digest) (*rollout.Deployment, error) {
	if err := d.a.controller.Reconcile(ctx); err != nil { // a rollback may have come between
		d.a.o.Log.Warn("the gateway was not asked what it has done", "error", err.Error())
	}
	e, err := d.a.rollouts.Endpoint(ctx, w.spec.Endpoint())
	if err != nil || e.Active != "" || e.State == route.Withdrawn {
		return nil, nil //nolint:nilerr // the first deployment, or one that is under way
	}
	p, was, err := d.a.plan(ctx, w)
	if err != nil || was == nil || !p.Empty() || !maps.Equal(was.Files, files) {
		return nil, err
	}
	if newer, err := d.a.safe.SetSince(ctx, w.spec.Owner.Team, w.spec.Secrets, was.Created); err != nil || newer {
		return nil, err // its replicas may run with older values
	}
	return was, nil
}

func planView(p plan.Plan) api.Plan {
	out := api.Plan{Endpoint: p.Endpoint, Live: p.Live, Version: p.Version, Changed: p.Changed, Text: p.Text(),
		Sections: []api.PlanSection{}, Metrics: []api.PlanMetric{}}
	for _, s := range p.Sections {
		section := api.PlanSection{Name: s.Name, Changes: []api.PlanChange{}}
		for _, c := range s.Changes {
			section.Changes = append(section.Changes, api.PlanChange(c))
		}
		out.Sections = append(out.Sections, section)
	}
	for _, m := range p.Metrics {
		out.Metrics = append(out.Metrics, api.PlanMetric(m))
	}
	return out
}
