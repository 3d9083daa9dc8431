package governance

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// Trace goes from a request to who and what is behind its answer. Answers of endpoints that
// the principal may not see are left out.
func (s *Service) Trace(ctx context.Context, p slipway.Principal, request string) (api.Trace, error) {
	out := api.Trace{Request: request, Answers: []api.TracedAnswer{}}
	if request == "" || len(request) > slipway.MaxRequestID {
		return out, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the id of a request, which its answer has in the header X-Request-Id", "this is no id of a request")
	}
	endpoints, err := s.visible(ctx, p)
	if err != nil {
		return out, err
	}
	if len(endpoints) == 0 {
		if err := s.Access.Check(ctx, p, authz.EndpointRead, s.Endpoint(&rollout.Endpoint{Key: "any"})); err != nil {
			return out, err
		}
	}
	answered, err := s.Gateway.Answered(ctx, request)
	if err != nil {
		return out, err
	}
	out.Dropped = answered.Dropped
	for _, a := range answered.List {
		if endpoints[a.Endpoint] == nil {
			continue
		}
		one, err := s.behind(ctx, p, a)
		if err != nil {
			return out, err
		}
		out.Answers = append(out.Answers, one)
	}
	if len(out.Answers) == 0 {
		return out, slipway.Errorf(slipway.NotFound, slipway.CodeNoTrace, "platform explain "+slipway.CodeNoTrace, "no answer to a request of that id is remembered")
	}
	return out, nil
}

// behind says what is behind one answer.
func (s *Service) behind(ctx context.Context, p slipway.Principal, a route.Answered) (api.TracedAnswer, error) {
	out := api.TracedAnswer{Time: a.Time, Endpoint: a.Endpoint, Outcome: a.Outcome, Revision: a.Revision}
	d, err := s.Fleet.OfRevision(ctx, a.Revision)
	if err != nil {
		return out, err
	}
	if d == nil {
		out.Missing = "no deployment brought this revision, as far as is recorded"
		return out, nil
	}
	out.Model, out.Version, out.Digest, out.Image = d.Model, d.Version, string(d.Digest), string(d.Revision.ImageDigest)
	out.Deployment, out.Kind, out.DeployedBy, out.Deployed, out.Reason = d.ID, d.Kind, d.By, released(d), d.Reason
	v, err := s.Models.Version(ctx, d.Model, registry.Ref{Number: d.Version})
	switch {
	case missing(err) || err == nil && v.Digest != d.Digest:
		out.Missing = "the version was deleted, or its model renamed, since it was deployed"
		return out, nil
	case err != nil:
		return out, err
	case !s.Access.Allows(p, authz.ModelRead, modelOf(v.Model, v.Team)):
		return out, nil
	}
	out.Registered = v.By
	sig, err := s.signatures(ctx, v)
	if err != nil {
		return out, err
	}
	out.Signature = sig.State
	if out.Run, err = s.lineage(ctx, p, v); err != nil {
		return out, err
	}
	out.Aliases, err = s.aliasesAt(ctx, v, a)
	return out, err
}

// aliasesAt are the aliases of now that pointed at a version when it answered.
func (s *Service) aliasesAt(ctx context.Context, v registry.Version, a route.Answered) ([]api.AliasSpan, error) {
	m, err := s.Models.Entry(ctx, v.Model)
	if err != nil {
		return nil, err
	}
	var out []api.AliasSpan
	for alias := range m.Aliases {
		found, err := s.Dossier.Spans(ctx, dossier.SpanQuery{Model: v.Model, Alias: alias, From: a.Time, Until: a.Time.Add(time.Microsecond), Limit: 1})
		if err != nil {
			return nil, err
		}
		for _, span := range found {
			if span.Version == v.Number {
				out = append(out, spanView(span))
			}
		}
	}
	return out, nil
}
