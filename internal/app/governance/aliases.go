package governance

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/registry/protect"
)

// Spans says what an alias was in a time, newest first.
func (s *Service) Spans(ctx context.Context, p slipway.Principal, q api.SpanQuery) (api.Page[api.AliasSpan], error) {
	page := api.Page[api.AliasSpan]{Items: []api.AliasSpan{}}
	if err := s.Access.CheckNamed(ctx, p, authz.ModelRead, q.Model); err != nil {
		return page, err
	}
	before, err := cursor(q.Cursor)
	if err != nil {
		return page, err
	}
	if !q.From.IsZero() && !q.Until.IsZero() && !q.From.Before(q.Until) {
		return page, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a time that ends after it begins", "there is no moment between these times")
	}
	if _, err := s.Models.Model(ctx, q.Model); err != nil {
		return page, err
	}
	found, err := s.Dossier.Spans(ctx, dossier.SpanQuery{Model: q.Model, Alias: q.Alias, From: q.From, Until: q.Until, Before: int64(before), Limit: q.Limit + 1})
	if err != nil {
		return page, err
	}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next = strconv.FormatInt(found[len(found)-1].Seq, 10)
	}
	for _, v := range found {
		page.Items = append(page.Items, spanView(v))
	}
	return page, nil
}

func spanView(v dossier.Span) api.AliasSpan {
	return api.AliasSpan{Alias: v.Alias, Version: v.Version, Digest: string(v.Digest), From: v.From, To: v.To, By: v.By, Reason: v.Reason,
		Request: v.Request, Requested: v.Requested, Approvers: v.Approvers}
}

func cursor(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the cursor of the last page", "this is no cursor")
	}
	return n, nil
}

// protected is what a rule is about, as policies see it.
func (s *Service) protected(ctx context.Context, model, team string) (authz.Resource, error) {
	if model == "" {
		return modelOf("", team), nil
	}
	m, err := s.Models.Model(ctx, model)
	return modelOf(model, m.Team), err
}

// Rules lists rules: those of a model with those of its team, those of a team, or all that the
// principal may see.
func (s *Service) Rules(ctx context.Context, p slipway.Principal, model, team string, lifted bool) ([]api.AliasRule, error) {
	if model != "" {
		m, err := s.Models.Model(ctx, model)
		if err := s.Access.Check(ctx, p, authz.ModelRead, modelOf(model, m.Team)); err != nil {
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		team = m.Team
	}
	all, err := s.Protect.Rules(ctx, model, team, lifted)
	out := []api.AliasRule{}
	for _, r := range all {
		about, err := s.protected(ctx, r.Model, r.Team)
		if err != nil && !missing(err) {
			return nil, err
		}
		if s.Access.Allows(p, authz.ModelRead, about) {
			out = append(out, ruleView(r))
		}
	}
	return out, err
}

func ruleView(r protect.Rule) api.AliasRule {
	return api.AliasRule{ID: r.ID, Model: r.Model, Team: r.Team, Alias: r.Alias, Movers: r.Movers, Approvals: r.Approvals, Approvers: r.Approvers,
		ValidSeconds: r.Valid.Seconds(), By: r.By, Reason: r.Reason, Created: r.Created, Lifted: r.Lifted, LiftedBy: r.LiftedBy}
}

// ProtectAlias adds a rule.
func (s *Service) ProtectAlias(ctx context.Context, p slipway.Principal, r api.ProtectAlias) (api.AliasRule, error) {
	about, err := s.protected(ctx, r.Model, r.Team)
	if denied := s.Access.Check(ctx, p, authz.AliasProtect, about); denied != nil || err != nil {
		return api.AliasRule{}, first(denied, err)
	}
	if r.Team != "" {
		if _, err := slipway.ParseName(r.Team); err != nil {
			return api.AliasRule{}, err
		}
	}
	out, err := s.Protect.Protect(ctx, p, protect.Rule{Model: r.Model, Team: r.Team, Alias: r.Alias, Movers: r.Movers, Approvals: r.Approvals, Approvers: r.Approvers,
		Valid: time.Duration(r.ValidSeconds * float64(time.Second)), Reason: r.Reason})
	return ruleView(out), err
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// LiftRule takes a rule away, or asks for that.
func (s *Service) LiftRule(ctx context.Context, p slipway.Principal, id string, r api.LiftRule) (api.Lifted, error) {
	all, err := s.Protect.Rules(ctx, "", "", false)
	if err != nil {
		return api.Lifted{}, err
	}
	i := slices.IndexFunc(all, func(r protect.Rule) bool { return r.ID == id })
	if i < 0 {
		if err := s.Access.Check(ctx, p, authz.AliasProtect, modelOf(id, "")); err != nil {
			return api.Lifted{}, err
		}
		return api.Lifted{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models protect", "there is no rule %.64q in force", id)
	}
	about, err := s.protected(ctx, all[i].Model, all[i].Team)
	if err != nil && !missing(err) {
		return api.Lifted{}, err
	}
	if err := s.Access.Check(ctx, p, authz.AliasProtect, about); err != nil {
		return api.Lifted{}, err
	}
	asked, err := s.Protect.Lift(ctx, p, all[i], about.Team, r.Reason)
	if err != nil || asked == nil {
		return api.Lifted{Lifted: err == nil}, err
	}
	view, err := s.requestView(ctx, *asked)
	return api.Lifted{Request: &view}, err
}

// AskAlias asks for approval of a move.
func (s *Service) AskAlias(ctx context.Context, p slipway.Principal, model string, r api.AskAlias) (api.AliasRequest, error) {
	if err := s.Access.CheckNamed(ctx, p, authz.ModelAlias, model); err != nil {
		return api.AliasRequest{}, err
	}
	m, err := s.move(ctx, model, r.Alias, r.Version)
	if err != nil {
		return api.AliasRequest{}, err
	}
	asked, err := s.Protect.Ask(ctx, p, m, r.Reason)
	if err != nil {
		return api.AliasRequest{}, err
	}
	return s.requestView(ctx, asked)
}

func (s *Service) requestView(ctx context.Context, r protect.Request) (api.AliasRequest, error) {
	out := api.AliasRequest{ID: r.ID, Number: r.Number, Model: r.Model, Team: r.Team, Alias: r.Alias, Version: r.Version, Digest: string(r.Digest), Lift: r.Lift,
		Status: r.StatusAt(s.Now()), By: r.By, Reason: r.Reason, Created: r.Created, Expires: r.Expires, Approvals: []api.Approval{}, Ended: r.Ended, EndedBy: r.EndedBy, Why: r.Why}
	for _, a := range r.Approvals {
		out.Approvals = append(out.Approvals, api.Approval(a))
	}
	if out.Status != protect.Waiting {
		return out, nil
	}
	var err error
	out.Missing, err = s.Protect.Lacks(ctx, &r)
	return out, err
}

// Requests lists requests that the principal may see, newest first.
func (s *Service) Requests(ctx context.Context, p slipway.Principal, model string, open bool, text string, limit int) (api.Page[api.AliasRequest], error) {
	page := api.Page[api.AliasRequest]{Items: []api.AliasRequest{}}
	if model != "" {
		if err := s.Access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
			return page, err
		}
	}
	before, err := cursor(text)
	if err != nil {
		return page, err
	}
	for {
		found, err := s.Protect.Requests(ctx, protect.Query{Model: model, Open: open, Before: before, Limit: limit + 1})
		if err != nil {
			return page, err
		}
		for _, r := range found {
			if !s.Access.Allows(p, authz.ModelRead, modelOf(r.Model, r.Team)) || open && r.StatusAt(s.Now()) == protect.Expired {
				continue
			}
			if len(page.Items) == limit {
				page.Next = strconv.Itoa(page.Items[limit-1].Number)
				return page, nil
			}
			view, err := s.requestView(ctx, r)
			if err != nil {
				return page, err
			}
			page.Items = append(page.Items, view)
		}
		if len(found) <= limit {
			return page, nil
		}
		before = found[limit].Number
	}
}

// Request finds one.
func (s *Service) Request(ctx context.Context, p slipway.Principal, id string) (api.AliasRequest, error) {
	r, err := s.request(ctx, p, authz.ModelRead, id)
	if err != nil {
		return api.AliasRequest{}, err
	}
	return s.requestView(ctx, r)
}

func (s *Service) request(ctx context.Context, p slipway.Principal, a authz.Action, id string) (protect.Request, error) {
	r, err := s.Protect.Request(ctx, id)
	if err != nil && !missing(err) {
		return r, err
	}
	if denied := s.Access.Check(ctx, p, a, modelOf(r.Model, r.Team)); denied != nil {
		return r, denied
	}
	if err != nil {
		return r, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models requests", "there is no request %.64q", id)
	}
	return r, nil
}

// DecideAlias approves a request, or rejects it. The last approval that is needed moves the
// alias, or lifts the rule. A move that cannot be made then stays approved: whoever may move
// the alias makes it before the request ends.
func (s *Service) DecideAlias(ctx context.Context, p slipway.Principal, id string, d api.DecideAlias) (api.AliasRequest, error) {
	r, err := s.request(ctx, p, authz.AliasApprove, id)
	if err != nil {
		return api.AliasRequest{}, err
	}
	decision := protect.Decision{Approve: d.Approve, Reason: d.Reason}
	if d.Approve {
		if decision.Dependent, err = s.Access.Dependent(ctx, p, r.By, r.Author); err != nil {
			return api.AliasRequest{}, err
		}
	}
	if r, err = s.Protect.Decide(ctx, p, id, decision); err != nil {
		return api.AliasRequest{}, err
	}
	if r.Status == protect.Approved {
		if err := s.carry(ctx, p, r); err != nil {
			return api.AliasRequest{}, err
		}
		if r, err = s.Protect.Request(ctx, id); err != nil {
			return api.AliasRequest{}, err
		}
	}
	return s.requestView(ctx, r)
}

// carry makes the move of an approved request in the name of the one that asked.
func (s *Service) carry(ctx context.Context, p slipway.Principal, r protect.Request) error {
	m, err := s.move(ctx, r.Model, r.Alias, r.Version)
	if err != nil {
		return err
	}
	asked := slipway.Principal{ID: r.By}
	unguarded := s.Models.Unguarded()
	return s.Protect.Carry(ctx, p, m, func(ctx context.Context) error {
		if r.Version == 0 {
			return unguarded.DeleteAlias(ctx, asked, r.Model, r.Alias, r.Reason)
		}
		return unguarded.SetAlias(ctx, asked, r.Model, r.Alias, r.Version, r.Reason)
	})
}
