package governance

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// States of a placement.
const (
	serving     = "serving"
	candidate   = "candidate"
	warm        = "warm" // what served before, until its successor has proved itself
	deploying   = "deploying"
	replaced    = "replaced"
	takenBack   = "taken back"
	neverServed = "never served"
)

// maxPlacements is how many are listed.
const maxPlacements = 50

// releaseStage is the stage of the pipeline that hands a revision to its endpoint.
const releaseStage = "release"

// where says where a version runs and ran, as far as the principal may see the endpoints.
func (s *Service) where(ctx context.Context, p slipway.Principal, model string, version int) (out []api.Placement, more bool, err error) {
	out = []api.Placement{}
	endpoints, err := s.visible(ctx, p)
	if err != nil {
		return out, false, err
	}
	found, err := s.Fleet.OfVersion(ctx, model, version, 0, maxPlacements+1)
	if err != nil {
		return out, false, err
	}
	if more = len(found) > maxPlacements; more {
		found = found[:maxPlacements]
	}
	obs, err := s.Gateway.Observe(ctx)
	seen := &obs
	if err != nil { // what the record says is as good while the gateway does not answer
		seen = nil
	}
	for i := range found {
		e := endpoints[found[i].Endpoint]
		if e == nil {
			continue
		}
		placement := place(&found[i], e, seen)
		if placement.State == replaced {
			next, err := s.Fleet.Successor(ctx, found[i].Endpoint, found[i].Number)
			if err != nil {
				return out, more, err
			}
			if next != nil {
				placement.Until, placement.Message = next.Finished, "replaced by "+named(next.Model, next.Version)+" of "+next.By
			}
		}
		out = append(out, placement)
	}
	return out, more, nil
}

// visible are the endpoints that a principal may see.
func (s *Service) visible(ctx context.Context, p slipway.Principal) (map[string]*rollout.Endpoint, error) {
	all, err := s.Fleet.Endpoints(ctx)
	out := map[string]*rollout.Endpoint{}
	for i := range all {
		if s.Access.Allows(p, authz.EndpointRead, s.Endpoint(&all[i])) {
			out[all[i].Key] = &all[i]
		}
	}
	return out, err
}

// place says what became of one deployment.
func place(d *rollout.Deployment, e *rollout.Endpoint, obs *route.Observation) api.Placement {
	_, env, _ := slipway.ParseEndpoint(e.Key) // a stored key is valid
	out := api.Placement{Endpoint: e.Key, Environment: env, State: neverServed, Deployment: d.ID, By: d.By, Reason: d.Reason, Message: d.Message}
	if d.Revision == nil {
		if d.Status == rollout.Running {
			out.State = deploying
		}
		return out
	}
	out.Revision, out.Image = d.Revision.ID, string(d.Revision.ImageDigest)
	weight := e.Weight
	if obs != nil {
		if st := obs.Endpoint(e.Key); st != nil && st.Rollout != nil {
			weight = st.Weight
		}
	}
	promoted := e.Rollout != nil && e.Rollout.Promoted || e.Stable == nil
	switch d.Revision.ID {
	case idOf(e.Stable):
		out.State, out.Share = serving, 100*(1-weight)
		if e.Candidate != nil && promoted {
			out.State = warm
		}
	case idOf(e.Candidate):
		out.State, out.Share = candidate, 100*weight
		if promoted {
			out.State = serving
		}
	default:
		out.State, out.Until = ended(d)
	}
	if out.State != neverServed {
		out.Since = released(d)
	}
	return out
}

func idOf(r *route.Revision) string {
	if r == nil {
		return ""
	}
	return r.ID
}

// ended says how a deployment ended whose revision runs no more.
func ended(d *rollout.Deployment) (state string, until time.Time) {
	switch {
	case d.Status == rollout.Succeeded:
		return replaced, time.Time{}
	case d.Status == rollout.Running:
		return deploying, time.Time{}
	case d.LastSent.IsZero():
		return neverServed, time.Time{}
	default:
		return takenBack, d.Finished
	}
}

// released is when a revision was handed to its endpoint.
func released(d *rollout.Deployment) time.Time {
	for _, st := range d.Stages {
		if st.Stage == releaseStage && !st.Finished.IsZero() {
			return st.Finished
		}
	}
	return d.Created // a rollback has no pipeline
}
