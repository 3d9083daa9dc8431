package app

import (
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

func deploymentView(d rollout.Deployment) api.Deployment {
	out := api.Deployment{ID: d.ID, Number: d.Number, Kind: d.Kind, Endpoint: d.Endpoint, Status: string(d.Status), Phase: string(d.State.Phase),
		Model: d.Model, Version: d.Version, Digest: string(d.Digest), Previous: d.Previous, By: d.By, Force: d.Force, Reason: d.Reason,
		Created: d.Created, Finished: d.Finished, Stages: []api.Stage{}, Steps: []api.Step{}, Step: d.State.Step, Missing: d.State.Missing,
		Waiting: d.State.Waiting, Code: d.Code, Message: d.Message, Next: d.Next, Judgement: d.Judgement, FirstBad: d.FirstBad, LastSent: d.LastSent}
	if d.Revision != nil {
		out.Revision, out.Image = d.Revision.ID, string(d.Revision.ImageDigest)
	}
	if d.Status == rollout.Running {
		out.Weight = 100 * d.State.Weight(d.Plan)
	}
	for _, s := range d.Stages {
		st := api.Stage{Stage: s.Stage, Verdict: s.Verdict.String(), Log: s.Log, Started: s.Started, Finished: s.Finished}
		for _, r := range s.Results {
			st.Results = append(st.Results, api.Result{Check: r.Check, Verdict: r.Verdict.String(), Message: r.Message, Next: r.Next})
		}
		out.Stages = append(out.Stages, st)
	}
	for _, s := range d.Plan.Steps {
		out.Steps = append(out.Steps, api.Step{Weight: s.Weight, HoldSeconds: s.Hold.Seconds(), MinRequests: s.MinRequests})
	}
	return out
}

// endpointView joins what the store knows with what the gateway sees. Without an
// observation the gateway did not answer, and its part is left out.
func endpointView(e rollout.Endpoint, obs *route.Observation) api.Endpoint {
	out := api.Endpoint{Name: e.Key, State: string(e.State), Reason: e.Reason, Owner: e.Owner, Tier: e.Tier, Deployment: e.Active,
		Active: e.Active != ""}
	if !out.Active {
		out.Deployment = e.Current
	}
	weight := e.Weight
	if obs != nil {
		st := obs.Endpoint(e.Key)
		if st != nil && st.Rollout != nil {
			weight, out.Judgement = st.Weight, st.Judgement
		}
		if st != nil {
			out.Traffic = (*api.Traffic)(st.Traffic)
		}
	}
	if e.Stable != nil && e.Candidate != nil && e.WarmLeft > 0 {
		out.WarmLeftSeconds = max(0, e.WarmLeft-time.Since(e.WarmSeen)).Seconds()
	}
	out.Stable = revisionView(e.Stable, 1-weight, obs)
	out.Candidate = revisionView(e.Candidate, weight, obs)
	return out
}

func revisionView(r *route.Revision, weight float64, obs *route.Observation) *api.Revision {
	if r == nil {
		return nil
	}
	out := &api.Revision{ID: r.ID, Model: r.Model, Version: r.Version, Digest: string(r.VersionDigest), Image: string(r.ImageDigest),
		Runtime: r.Runtime.Kind, Weight: 100 * weight, Want: r.Replicas, Replicas: []api.Replica{}}
	if obs == nil {
		return out
	}
	st := obs.Revision(r.ID)
	if st == nil {
		return out
	}
	c := st.Counts
	out.Ready, out.Want, out.P50MS, out.P95MS = st.Ready, st.Want, st.P50MS, st.P95MS
	out.Counts = api.Counts{Requests: c.Requests, Failed: c.Failed, Slow: c.Slow, Rejected: c.Rejected, Rescued: c.Rescued, Answered: c.Answered, Errors: c.Errors}
	for _, p := range st.Replicas {
		out.Replicas = append(out.Replicas, api.Replica{ID: p.ID, State: p.State, PID: p.PID, Started: p.Started, Restarts: p.Restarts,
			Reason: p.Reason, LogTail: p.LogTail, RSSBytes: p.RSSBytes, Pool: p.Pool, Loaded: p.Loaded, ModelBytes: p.ModelBytes})
	}
	return out
}

func stageRun(r pipeline.Record) rollout.StageRun {
	return rollout.StageRun{Stage: r.Stage, Verdict: r.Verdict, Results: r.Results, Log: r.Log, Started: r.Started, Finished: r.Finished}
}
