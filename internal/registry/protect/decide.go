package protect

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Decision is one person's answer to a request.
type Decision struct {
	Approve bool
	Reason  string
	// Dependent says why the person is not another one than those who asked and made the
	// version, as far as the caller can see it; empty: he is.
	Dependent string
}

// Decide approves a request or rejects it. The one that asked may reject, too: that takes it
// back. An approval that is the last which is needed makes a move permitted; a rule is lifted
// by it at once.
func (s *Service) Decide(ctx context.Context, p slipway.Principal, id string, d Decision) (Request, error) {
	if err := reasoned(d.Reason); err != nil && (!d.Approve || d.Reason != "") {
		return Request{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.moment()
	r, err := s.Request(ctx, id)
	if err != nil {
		return Request{}, err
	}
	if st := r.StatusAt(now); st != Waiting && (st != Approved || d.Approve) {
		return Request{}, slipway.Errorf(slipway.Conflict, slipway.CodeApproval, "platform models requests", "%s is %s, and is decided on no more", r.ID, st)
	}
	rules, err := s.of(ctx, &r)
	if err != nil {
		return Request{}, err
	}
	roles := rolesIn(p, r.Team, now)
	if !d.Approve {
		return s.reject(ctx, p, r, rules, roles, d.Reason, now)
	}
	if err := mayApprove(p, &r, rules, roles, d.Dependent); err != nil {
		return Request{}, err
	}
	r.Approvals = append(r.Approvals, Approval{By: p.ID, Roles: roles, Reason: d.Reason, Time: now})
	r.Revision++
	left := Missing(rules, &r)
	ev := event(p.ID, now, "alias.approved", r.subject(), "request", r.ID, "to", r.to(), "digest", string(r.Digest), "asked_by", r.By, "missing", strconv.Itoa(left), "reason", d.Reason)
	if left > 0 {
		return s.PutRequest(ctx, r, ev)
	}
	r.Status = Approved
	if r.Lift == "" {
		return s.PutRequest(ctx, r, ev)
	}
	return s.carryLift(ctx, p, r, rules, ev, now)
}

// carryLift lifts the rule that a request with all its approvals is about. The rule goes
// first: a crash in between leaves a request for a rule that is no more.
func (s *Service) carryLift(ctx context.Context, p slipway.Principal, r Request, rules []Rule, ev slipway.Event, now time.Time) (Request, error) {
	r.Status, r.Ended, r.EndedBy = Done, now, p.ID
	for _, rule := range rules {
		if err := s.lift(ctx, r.By, rule, now, "request", r.ID, "reason", r.Reason, "approved_by", r.approvers()); err != nil {
			return Request{}, err
		}
	}
	return s.PutRequest(ctx, r, ev)
}

// of are the rules that a request has to satisfy: of a move those in force now, of a lifting
// the rule itself.
func (s *Service) of(ctx context.Context, r *Request) ([]Rule, error) {
	rules, err := s.Rules(ctx, r.Model, r.Team, false)
	if err != nil {
		return nil, err
	}
	if r.Lift == "" {
		return Matching(rules, r.Alias), nil
	}
	rules = slices.DeleteFunc(rules, func(rule Rule) bool { return rule.ID != r.Lift })
	if len(rules) == 0 {
		return nil, slipway.Errorf(slipway.Conflict, slipway.CodeApproval, "platform models protect", "the rule is lifted already")
	}
	return rules, nil
}

func (s *Service) reject(ctx context.Context, p slipway.Principal, r Request, rules []Rule, roles []string, reason string, now time.Time) (Request, error) {
	approver := slices.ContainsFunc(rules, func(rule Rule) bool { return anyOf(roles, rule.Approvers) })
	if p.ID != r.By && !approver {
		return Request{}, notApprover(rules)
	}
	r.Status, r.Ended, r.EndedBy, r.Why = Rejected, now, p.ID, reason
	r.Revision++
	return s.PutRequest(ctx, r, event(p.ID, now, "alias.rejected", r.subject(), "request", r.ID, "to", r.to(), "asked_by", r.By, "reason", reason))
}

func mayApprove(p slipway.Principal, r *Request, rules []Rule, roles []string, dependent string) error {
	why := dependent
	switch {
	case p.Kind != slipway.Person:
		why = "a person approves, not a service"
	case p.ID == r.By:
		why = "whoever asks does not approve"
	case p.ID == r.Author:
		why = "whoever registered the version does not approve it"
	case slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.By == p.ID }):
		why = p.ID + " has approved it already"
	case why == "" && !slices.ContainsFunc(rules, func(rule Rule) bool { return rule.Approvals > 0 && anyOf(roles, rule.Approvers) }):
		return notApprover(rules)
	}
	if why == "" {
		return nil
	}
	return slipway.Errorf(slipway.Denied, slipway.CodeApproval, "ask another one of: "+approverRoles(rules), "%s", why)
}

func notApprover(rules []Rule) error {
	return slipway.Errorf(slipway.Denied, slipway.CodeApproval, "ask one of: "+approverRoles(rules), "the rules of this alias name other roles to decide on it")
}

func approverRoles(rules []Rule) string {
	var roles []string
	for _, r := range rules {
		for _, role := range r.Approvers {
			if !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
	}
	return strings.Join(roles, ", ")
}

func (r *Request) subject() string {
	if r.Model == "" {
		return "team " + r.Team + "@" + r.Alias
	}
	return r.Model + "@" + r.Alias
}

func (r *Request) to() string {
	if r.Lift != "" {
		return ""
	}
	return strconv.Itoa(r.Version)
}

func (r *Request) approvers() string {
	names := make([]string, len(r.Approvals))
	for i, a := range r.Approvals {
		names[i] = a.By
	}
	return strings.Join(names, " ")
}

// Lacks is how many approvals a request still needs under the rules that are in force.
func (s *Service) Lacks(ctx context.Context, r *Request) (int, error) {
	rules, err := s.of(ctx, r)
	if err != nil {
		return 0, err
	}
	return Missing(rules, r), nil
}

// Guard lets an alias move if the rules allow it: do makes the change under the context that
// it is given, in one call of a store, and the request that permits it is done with it. A
// principal that the rules keep out, or that lacks approvals, is answered Denied with
// CodeProtected and the command that asks for them. Both front doors move aliases through it.
func (s *Service) Guard(ctx context.Context, p slipway.Principal, m Move, do func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.moment()
	rules, err := s.matching(ctx, m)
	if err != nil {
		return err
	}
	if rule := barred(rules, rolesIn(p, m.Team, now)); rule != nil {
		return notMover(m, rule)
	}
	if Missing(rules, &Request{}) == 0 {
		return do(ctx)
	}
	return s.permitted(ctx, p, m, rules, now, do)
}

// Unapproved answers as Guard does, for a move that no request can permit.
func (s *Service) Unapproved(ctx context.Context, p slipway.Principal, m Move) error {
	rules, err := s.matching(ctx, m)
	if err != nil {
		return err
	}
	if rule := barred(rules, rolesIn(p, m.Team, s.moment())); rule != nil {
		return notMover(m, rule)
	}
	if Missing(rules, &Request{}) > 0 {
		return slipway.Errorf(slipway.Denied, slipway.CodeProtected, "move the alias itself: platform models request "+m.Model+" "+m.Alias+" VERSION --reason WHY",
			"%s is protected: a change of it needs %s by %s", m.subject(), plural(Missing(rules, &Request{})), approverRoles(rules))
	}
	return nil
}

// Carry makes an approved move in the name of the one that asked for it: the last approval is
// the act.
func (s *Service) Carry(ctx context.Context, p slipway.Principal, m Move, do func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules, err := s.matching(ctx, m)
	if err != nil {
		return err
	}
	return s.permitted(ctx, p, m, rules, s.moment(), do)
}

func (s *Service) permitted(ctx context.Context, p slipway.Principal, m Move, rules []Rule, now time.Time, do func(context.Context) error) error {
	open, err := s.Requests(ctx, Query{Model: m.Model, Alias: m.Alias, Open: true, Limit: maxOpen})
	if err != nil {
		return err
	}
	waits := ""
	for _, r := range open {
		if r.permits(rules, m, now) {
			r.Status, r.Ended, r.EndedBy = Done, now, p.ID
			r.Revision++
			ev := event(p.ID, now, "alias.request-done", m.subject(), "request", r.ID, "to", r.to(), "asked_by", r.By, "approved_by", r.approvers())
			return do(s.Together(ctx, r, ev))
		}
		if r.StatusAt(now) == Waiting && r.Version == m.Version && r.Digest == m.Digest && r.Lift == "" {
			waits = r.ID
		}
	}
	if waits != "" {
		return slipway.Errorf(slipway.Denied, slipway.CodeProtected, "platform models requests "+waits, "%s is protected, and %s waits for approval", m.subject(), waits)
	}
	next := fmt.Sprintf("platform models request %s %s %d --reason WHY", m.Model, m.Alias, m.Version)
	return slipway.Errorf(slipway.Denied, slipway.CodeProtected, next, "%s is protected: a move needs %s by %s; ask for it: %s",
		m.subject(), plural(Missing(rules, &Request{})), approverRoles(rules), next)
}

func plural(n int) string {
	if n == 1 {
		return "an approval"
	}
	return strconv.Itoa(n) + " approvals"
}

func notMover(m Move, rule *Rule) error {
	return slipway.Errorf(slipway.Denied, slipway.CodeProtected, "ask one of them to move it, or see the rule: platform models protect",
		"%s is protected: it is moved by %s", m.subject(), strings.Join(rule.Movers, ", "))
}
