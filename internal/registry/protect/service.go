package protect

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// Bounds of rules and requests.
const (
	MaxApprovals = 5
	MaxValid     = 90 * 24 * time.Hour
	DefaultValid = 3 * 24 * time.Hour
	maxRules     = 100 // of one model or team
	maxReason    = 500 // bytes
	maxOpen      = 200 // requests of one alias that are looked at
)

// DefaultApprovers approve where a rule names nobody.
var DefaultApprovers = []string{slipway.RoleTeamLead, slipway.RoleOwner}

// Service is the use cases. Who may call them at all is decided before.
type Service struct {
	Store
	now func() time.Time

	mu sync.Mutex // one change at a time: what was judged is what is carried out
}

// New makes a Service.
func New(store Store, now func() time.Time) *Service { return &Service{Store: store, now: now} }

var patternRE = regexp.MustCompile(`^[A-Za-z0-9_*-]{1,255}$`)

func invalid(field, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
	e.Field = field
	return e
}

func reasoned(reason string) error {
	if reason == "" || len(reason) > maxReason || slipway.OneLine(reason, len(reason)) != reason {
		return invalid("reason", "give --reason WHY; it is recorded", "is missing, longer than %d bytes, or has control characters", maxReason)
	}
	return nil
}

var allRoles = []string{slipway.RoleOwner, slipway.RolePlatformEngineer, slipway.RoleTeamLead, slipway.RoleEngineer}

func checkRoles(field string, roles []string) error {
	for _, r := range roles {
		if !slices.Contains(allRoles, r) {
			return invalid(field, "choose of "+strings.Join(allRoles, ", "), "%.40q is no role that moves or approves", r)
		}
	}
	return nil
}

// check fills in what was not given, and refuses what is no rule.
func (r *Rule) check() error {
	switch {
	case (r.Model == "") == (r.Team == ""):
		return invalid("model", "name a model, or a team for all of its models", "a rule protects aliases of one model or of one team")
	case !patternRE.MatchString(r.Alias):
		return invalid("alias", "give a name, or a pattern such as prod*", "%.80q is no alias and no pattern of aliases", r.Alias)
	case r.Approvals < 0 || r.Approvals > MaxApprovals:
		return invalid("approvals", "choose 0 to "+strconv.Itoa(MaxApprovals), "%d approvals cannot be asked for", r.Approvals)
	case r.Approvals == 0 && len(r.Movers) == 0:
		return invalid("approvals", "ask for approvals, or say who may move the alias", "the rule would protect nothing")
	case r.Approvals == 0 && len(r.Approvers) > 0:
		return invalid("approvers", "ask for approvals, too", "are given, but no approval is asked for")
	}
	if r.Approvals > 0 && len(r.Approvers) == 0 {
		r.Approvers = DefaultApprovers
	}
	if r.Valid == 0 {
		r.Valid = DefaultValid
	}
	if r.Valid < time.Minute || r.Valid > MaxValid {
		return invalid("valid", "choose a minute to 90 days", "an approval cannot be good for %s", r.Valid)
	}
	if err := checkRoles("movers", r.Movers); err != nil {
		return err
	}
	if err := checkRoles("approvers", r.Approvers); err != nil {
		return err
	}
	return reasoned(r.Reason)
}

// Protect adds a rule.
func (s *Service) Protect(ctx context.Context, p slipway.Principal, r Rule) (Rule, error) {
	if err := r.check(); err != nil {
		return Rule{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.Rules(ctx, r.Model, r.Team, false)
	if err != nil {
		return Rule{}, err
	}
	if len(have) >= maxRules {
		return Rule{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform models protect", "there are %d rules already", len(have))
	}
	now := s.moment()
	r.ID, r.By, r.Created, r.Lifted, r.LiftedBy = slipway.NewID("rul", now), p.ID, now, time.Time{}, ""
	return r, s.PutRule(ctx, r, event(p.ID, now, "alias.protected", r.subject(), "rule", r.ID, "approvals", strconv.Itoa(r.Approvals),
		"approvers", strings.Join(r.Approvers, " "), "movers", strings.Join(r.Movers, " "), "valid", r.Valid.String(), "reason", r.Reason))
}

func (r *Rule) subject() string {
	if r.Team != "" {
		return "team " + r.Team + "@" + r.Alias
	}
	return r.Model + "@" + r.Alias
}

// Lift takes a rule that asks for no approvals away at once. For one that does it makes a
// request, which the rule's own approvers decide on: else whoever may protect an alias could
// move it alone. The team is that of the rule, or of its model.
func (s *Service) Lift(ctx context.Context, p slipway.Principal, rule Rule, team, reason string) (*Request, error) {
	if err := reasoned(reason); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.moment()
	if rule.Approvals == 0 {
		return nil, s.lift(ctx, p.ID, rule, now, "reason", reason)
	}
	open, err := s.Requests(ctx, Query{Alias: rule.Alias, Open: true, Limit: maxOpen})
	if err != nil {
		return nil, err
	}
	for _, r := range open {
		if r.Lift == rule.ID && r.StatusAt(now) == Waiting {
			return nil, already(&r)
		}
	}
	r := Request{ID: slipway.NewID("req", now), Model: rule.Model, Team: team, Alias: rule.Alias, Lift: rule.ID, Status: Waiting, By: p.ID,
		Reason: reason, Created: now, Expires: now.Add(rule.Valid), Revision: 1}
	r, err = s.PutRequest(ctx, r, event(p.ID, now, "alias.lift-requested", rule.subject(), "rule", rule.ID, "request", r.ID, "reason", reason))
	return &r, err
}

func (s *Service) lift(ctx context.Context, by string, rule Rule, now time.Time, more ...string) error {
	rule.Lifted, rule.LiftedBy = now, by
	return s.PutRule(ctx, rule, event(by, now, "alias.unprotected", rule.subject(), append(more, "rule", rule.ID)...))
}

func already(r *Request) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeApproval, "platform models requests "+r.ID, "%s of %s asks for that already", r.ID, r.By)
}

// Ask makes a request for a move. It answers Conflict for an alias that may be moved without.
func (s *Service) Ask(ctx context.Context, p slipway.Principal, m Move, reason string) (Request, error) {
	if err := reasoned(reason); err != nil {
		return Request{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.moment()
	rules, err := s.matching(ctx, m)
	if err != nil {
		return Request{}, err
	}
	if Missing(rules, &Request{}) == 0 {
		return Request{}, slipway.Errorf(slipway.Conflict, slipway.CodeApproval, moveCommand(m), "no rule asks for an approval of %s", m.subject())
	}
	if rule := barred(rules, rolesIn(p, m.Team, now)); rule != nil {
		return Request{}, notMover(m, rule)
	}
	open, err := s.Requests(ctx, Query{Model: m.Model, Alias: m.Alias, Open: true, Limit: maxOpen})
	if err != nil {
		return Request{}, err
	}
	for _, r := range open {
		if st := r.StatusAt(now); (st == Waiting || st == Approved) && r.Version == m.Version && r.Digest == m.Digest && r.Lift == "" {
			return Request{}, already(&r)
		}
	}
	valid := MaxValid
	for _, rule := range rules {
		valid = min(valid, rule.Valid)
	}
	r := Request{ID: slipway.NewID("req", now), Model: m.Model, Team: m.Team, Alias: m.Alias, Version: m.Version, Digest: m.Digest, Author: m.Author,
		Status: Waiting, By: p.ID, Reason: reason, Created: now, Expires: now.Add(valid), Revision: 1}
	return s.PutRequest(ctx, r, event(p.ID, now, "alias.requested", m.subject(), "request", r.ID, "to", strconv.Itoa(m.Version), "digest", string(m.Digest), "reason", reason))
}

func (m *Move) subject() string { return m.Model + "@" + m.Alias }

func (s *Service) matching(ctx context.Context, m Move) ([]Rule, error) {
	rules, err := s.Rules(ctx, m.Model, m.Team, false)
	return Matching(rules, m.Alias), err
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func moveCommand(m Move) string {
	return fmt.Sprintf("platform models alias %s %s %d --reason WHY", m.Model, m.Alias, m.Version)
}

func event(by string, now time.Time, action, subject string, more ...string) slipway.Event {
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: by, Action: action, Subject: subject, Detail: map[string]string{}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			ev.Detail[more[i]] = more[i+1]
		}
	}
	return ev
}
