package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/spec"
)

// deploymentsAPI is httpapi.Deployments.
type deploymentsAPI struct{ a *App }

// Roles of the files that a deployment is validated with.
const (
	roleGolden  = "golden"
	roleDataset = "dataset"
)

// startLimit is how long the replicas of a new revision may take to become ready.
const startLimit = 3 * time.Minute

// Create checks what can be checked at once, records the deployment and lets its pipeline
// begin.
func (d deploymentsAPI) Create(ctx context.Context, p slipway.Principal, key string, r api.CreateDeployment) (api.Deployment, error) {
	w, err := d.a.resolve(ctx, p, r.PlatformYAML, r.Environment, r.Version, nil)
	if err != nil {
		return api.Deployment{}, err
	}
	s := w.spec
	if err := d.may(ctx, p, authz.EndpointDeploy, w); err != nil {
		return api.Deployment{}, err
	}
	if s.Model.Source.Run != "" {
		if w.version, err = d.a.registered.FromRun(ctx, p, s.Owner.Team, w.version); err != nil {
			return api.Deployment{}, err
		}
	}
	if s.Resources.GPU.Count > 0 {
		return api.Deployment{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid,
			"let the server run where the accelerators are and deploy it with model.external; or remove resources.gpu, and model.command uses what this machine has, shared with all others",
			"resources.gpu cannot be promised: replicas are processes of this machine, which the platform gives no accelerators")
	}
	v := w.version
	files, err := d.files(ctx, s, r.Files)
	if err != nil {
		return api.Deployment{}, err
	}
	if !r.Force {
		if was, err := d.unchanged(ctx, w, files); err != nil || was != nil {
			return unchangedView(was), err
		}
	}
	dep, err := d.a.controller.Create(ctx, rollout.Request{Kind: rollout.KindDeploy, Endpoint: s.Endpoint(), Source: r.PlatformYAML,
		Spec: s.Canonical(), Files: files, Model: v.Model, Version: v.Number, Digest: v.Digest, Owner: s.Owner.Team, Tier: int(s.Tier), Class: s.Data.Classification,
		Deadline: s.Rollout.Deadline, Limits: limitsOf(s), Plan: planOf(s), Force: r.Force, Reason: r.Reason, By: p.ID, Key: key})
	if err != nil {
		return api.Deployment{}, err
	}
	d.a.runner.begin(dep.ID)
	return deploymentView(dep), nil
}

// may answers Denied unless the principal may do something with an endpoint as it is and as
// it would be, and may see the model.
func (d deploymentsAPI) may(ctx context.Context, p slipway.Principal, action authz.Action, w wanted) error {
	if err := d.a.access.Check(ctx, p, authz.ModelRead, access.ModelOf(w.version.Model, w.version.Team)); err != nil {
		return err
	}
	s := w.spec
	next := rollout.Endpoint{Key: s.Endpoint(), Owner: s.Owner.Team, Tier: int(s.Tier), Classification: s.Data.Classification}
	if err := d.a.access.Check(ctx, p, action, access.EndpointOf(&next)); err != nil {
		return err
	}
	now, err := d.a.rollouts.Endpoint(ctx, s.Endpoint())
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil
	} else if err != nil {
		return err
	}
	return d.a.access.Check(ctx, p, action, access.EndpointOf(&now))
}

// unchangedView is the deployment that serves already what was asked for.
func unchangedView(d *rollout.Deployment) api.Deployment {
	if d == nil {
		return api.Deployment{}
	}
	out := deploymentView(*d)
	out.Unchanged = true
	return out
}

// files checks that the validation files that the platform.yaml names were uploaded.
func (d deploymentsAPI) files(ctx context.Context, s *spec.Spec, given map[string]string) (map[string]slipway.Digest, error) {
	out := map[string]slipway.Digest{}
	want := map[string]bool{roleGolden: s.Validation.Golden != nil, roleDataset: s.Validation.Dataset != nil}
	for _, role := range []string{roleGolden, roleDataset} {
		if !want[role] {
			continue
		}
		digest, err := slipway.ParseDigest(given[role])
		if err != nil {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeUploadMissing, "upload it and give its digest", "the file of validation.%s was not uploaded", role)
		}
		missing, err := d.a.blobs.Missing(ctx, []slipway.Digest{digest})
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 {
			return nil, slipway.Errorf(slipway.Conflict, slipway.CodeUploadMissing, "upload it", "the file of validation.%s was not uploaded", role)
		}
		d.a.safe.Adopt(ctx, s.Owner.Team, digest)
		out[role] = digest
	}
	return out, nil
}

// limitsOf is the part of a platform.yaml that bounds callers.
func limitsOf(s *spec.Spec) *route.Limits {
	l := s.Limits
	return &route.Limits{RatePerSecond: l.Rate.PerSecond, Burst: l.Rate.Burst, CallerRatePerSecond: l.CallerRate.PerSecond, CallerBurst: l.CallerRate.Burst,
		Concurrency: l.Concurrency, Queue: l.Queue.Length, QueueWait: l.Queue.Wait, MaxBody: l.Body}
}

// planOf is the part of a platform.yaml that drives a rollout.
func planOf(s *spec.Spec) rollout.Plan {
	p := rollout.Plan{PauseOnFail: s.Rollout.OnFailure == spec.OnFailurePause, ContinueIdle: s.Rollout.OnNoData == spec.OnNoDataContinue,
		KeepWarm: s.Rollout.KeepPreviousWarm, StartLimit: startLimit}
	for _, st := range s.Rollout.Steps {
		p.Steps = append(p.Steps, rollout.Step{Weight: st.Weight, Hold: st.Hold, MinRequests: uint64(max(0, st.MinRequests))})
	}
	return p
}

// Get finds one deployment.
func (d deploymentsAPI) Get(ctx context.Context, p slipway.Principal, id string) (api.Deployment, error) {
	if !strings.HasPrefix(id, "dep_") {
		return api.Deployment{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform deployments", "this is no id of a deployment")
	}
	if err := d.a.access.CheckNamed(ctx, p, authz.EndpointRead, id); err != nil {
		return api.Deployment{}, err
	}
	dep, err := d.a.rollouts.Deployment(ctx, id)
	if err != nil {
		return api.Deployment{}, err
	}
	out := deploymentView(dep)
	if n := len(out.Stages); n > 0 && out.Stages[n-1].Finished.IsZero() {
		out.Stages[n-1].Log, out.Waiting = d.a.runner.shown(id)
	}
	return out, nil
}

// List gives the newest first.
func (d deploymentsAPI) List(ctx context.Context, p slipway.Principal, endpoint string, before, limit int) ([]api.Deployment, error) {
	endpoints, err := d.a.rollouts.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := range endpoints {
		seen[endpoints[i].Key] = d.a.access.Allows(p, authz.EndpointRead, access.EndpointOf(&endpoints[i]))
	}
	out := []api.Deployment{}
	for {
		page, err := d.a.rollouts.Deployments(ctx, endpoint, before, limit)
		if err != nil {
			return nil, err
		}
		for _, dep := range page {
			if before = dep.Number; seen[dep.Endpoint] && len(out) < limit {
				out = append(out, deploymentView(dep))
			}
		}
		if len(out) == limit || len(page) < limit {
			return out, nil
		}
	}
}

// Command tells a running deployment what to do.
func (d deploymentsAPI) Command(ctx context.Context, p slipway.Principal, id string, c api.Command) error {
	if err := d.a.access.CheckNamed(ctx, p, authz.EndpointCommand, id); err != nil {
		return err
	}
	if err := d.a.controller.Command(ctx, id, rollout.Command(c.Command), p.ID, c.Reason); err != nil {
		return err
	}
	d.a.runner.interrupt(id)
	return nil
}

// Changed is closed at the next change of any deployment.
func (d deploymentsAPI) Changed() <-chan struct{} { return d.a.controller.Changed() }
