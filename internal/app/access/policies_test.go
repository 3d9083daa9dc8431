package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/identity"
)

// versions is a policyset.Store of one test.
type versions struct {
	site *site
	all  []policyset.Version
}

func (m *versions) Versions(context.Context) ([]policyset.Version, error) {
	return slices.Clone(m.all), nil
}

func (m *versions) Propose(ctx context.Context, v policyset.Version, ev slipway.Event) error {
	if slices.ContainsFunc(m.all, func(o policyset.Version) bool { return o.Status == policyset.Proposed }) {
		return &slipway.Error{Code: slipway.CodePolicyOpen, Kind: slipway.Conflict}
	}
	m.all = append(m.all, v)
	return m.site.Append(ctx, ev)
}

func (m *versions) Decide(ctx context.Context, v policyset.Version, ev slipway.Event) error {
	if m.all[v.Number-1].Status != policyset.Proposed {
		return &slipway.Error{Code: slipway.CodeConflict, Kind: slipway.Conflict}
	}
	if v.Status == policyset.Approved {
		v.Approval = policyset.InForce(m.all).Approval + 1
	}
	m.all[v.Number-1] = v
	return m.site.Append(ctx, ev)
}

func newPolicies(t *testing.T) (*site, *access.Policies) {
	s := newSite(t)
	return s, &access.Policies{Control: s.Control, Store: &versions{site: s}}
}

const noFraudCalls = `@id("no-calls") forbid (principal, action in Action::"call", resource == Endpoint::"fraud");`

func (s *site) last() slipway.Event { return s.events[len(s.events)-1] }

// TestFourEyes: a change of the policies takes two people, and is in force at once after
// the second, at the gateway too.
func TestFourEyes(t *testing.T) {
	s, ps := newPolicies(t)
	ctx := t.Context()
	owner, _ := s.as(t, "owner", slipway.Limit{})
	pat, _ := s.as(t, "pat", slipway.Limit{})
	ada, _ := s.as(t, "ada", slipway.Limit{})
	calls := func() bool {
		grants, err := s.Grants(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grants {
			if g.Token == ada.Token {
				return g.MayPredict("fraud", s.now, 0)
			}
		}
		return false
	}
	_, err := ps.Propose(ctx, ada, api.ProposePolicy{Text: noFraudCalls, Reason: "so"})
	wantCode(t, "proposed by an engineer", err, slipway.CodeDenied)
	_, err = ps.Propose(ctx, pat, api.ProposePolicy{Text: noFraudCalls})
	wantCode(t, "without a reason", err, slipway.CodeInvalid)
	_, err = ps.Propose(ctx, pat, api.ProposePolicy{Text: "forbid", Reason: "so"})
	wantCode(t, "what is no policy", err, slipway.CodePolicy)
	v, err := ps.Propose(ctx, pat, api.ProposePolicy{Text: noFraudCalls, Reason: "the model leaks"})
	if err != nil || v.Version != 1 || v.Status != policyset.Proposed || v.InForce || s.last().Action != "policy.proposed" || s.last().Detail["reason"] != "the model leaks" {
		t.Fatalf("%+v, %v, %+v", v, err, s.last())
	}
	if !calls() {
		t.Error("a proposal is in force")
	}
	_, err = ps.Propose(ctx, owner, api.ProposePolicy{Reason: "another"})
	wantCode(t, "a second proposal", err, slipway.CodePolicyOpen)
	_, err = ps.Decide(ctx, pat, 1, api.DecidePolicy{Approve: true})
	wantCode(t, "approved by the proposer", err, slipway.CodeFourEyes)
	if s.last().Action != "access.denied" || s.last().Actor != "pat" {
		t.Errorf("that is not recorded: %+v", s.last())
	}
	_, tok, err := s.Identity.Issue(ctx, "pat", identity.Wish{Account: "owner"})
	if err != nil {
		t.Fatal(err)
	}
	puppet := owner
	puppet.Token = tok.ID
	_, err = ps.Decide(ctx, puppet, 1, api.DecidePolicy{Approve: true})
	wantCode(t, "approved with a token that the proposer has issued", err, slipway.CodeFourEyes)
	_, err = ps.Decide(ctx, ada, 1, api.DecidePolicy{Approve: true})
	wantCode(t, "approved by an engineer", err, slipway.CodeDenied)
	changed := s.changed
	v, err = ps.Decide(ctx, owner, 1, api.DecidePolicy{Approve: true, Reason: "seen"})
	if err != nil || v.Status != policyset.Approved || !v.InForce || v.Alone || s.last().Action != "policy.approved" || s.last().Detail["proposer"] != "pat" {
		t.Fatalf("%+v, %v, %+v", v, err, s.last())
	}
	if calls() || s.changed == changed {
		t.Error("it is not in force at once")
	}
	_, err = ps.Decide(ctx, owner, 1, api.DecidePolicy{Reason: "no"})
	wantCode(t, "decided again", err, slipway.CodeConflict)
	answer, err := s.Explain(ctx, owner, "ada", "endpoint:predict", "endpoint/fraud")
	if err != nil || answer.Allowed || len(answer.Policies) != 1 || answer.Policies[0] != (api.AccessReason{Policy: "no-calls", Line: 1, Version: 1}) {
		t.Errorf("%+v, %v", answer, err)
	}
	none := 0
	if _, err = ps.Propose(ctx, owner, api.ProposePolicy{Revert: &none, Reason: "mended"}); err != nil {
		t.Fatal(err)
	}
	_, err = ps.Decide(ctx, pat, 2, api.DecidePolicy{})
	wantCode(t, "rejected without a reason", err, slipway.CodeInvalid)
	if _, err = ps.Decide(ctx, pat, 2, api.DecidePolicy{Approve: true}); err != nil || !calls() {
		t.Errorf("reverted: %v, calls %v", err, calls())
	}
	if next := (&access.Policies{Control: s.Control, Store: ps.Store}); next.Load(ctx) != nil || s.Engine.Load().Version() != 2 {
		t.Errorf("after a start version %d is in force", s.Engine.Load().Version())
	}
}

// TestAlone says what happens with one person: nothing, except on a development instance,
// where the record says so.
func TestAlone(t *testing.T) {
	s, ps := newPolicies(t)
	ctx := t.Context()
	if _, err := s.Identity.Disable(ctx, "owner", "pat", ""); err != nil {
		t.Fatal(err)
	}
	owner, _ := s.as(t, "owner", slipway.Limit{})
	if _, err := ps.Propose(ctx, owner, api.ProposePolicy{Text: noFraudCalls, Reason: "a trial"}); err != nil {
		t.Fatal(err)
	}
	_, err := ps.Decide(ctx, owner, 1, api.DecidePolicy{Approve: true})
	wantCode(t, "alone in production", err, slipway.CodeFourEyes)
	ps.Development = true
	v, err := ps.Decide(ctx, owner, 1, api.DecidePolicy{Approve: true})
	if err != nil || !v.Alone || !strings.Contains(s.last().Detail["four_eyes"], "one person") {
		t.Errorf("%+v, %v, %+v", v, err, s.last())
	}
	two, dev := newPolicies(t)
	dev.Development = true
	owner, _ = two.as(t, "owner", slipway.Limit{})
	if _, err := dev.Propose(ctx, owner, api.ProposePolicy{Text: noFraudCalls, Reason: "a trial"}); err != nil {
		t.Fatal(err)
	}
	_, err = dev.Decide(ctx, owner, 1, api.DecidePolicy{Approve: true})
	wantCode(t, "where there are two, on a development instance", err, slipway.CodeFourEyes)
}

// TestNoLockout: no proposal takes from the owners, or from the next approval, what it needs.
func TestNoLockout(t *testing.T) {
	s, ps := newPolicies(t)
	ctx := t.Context()
	pat, _ := s.as(t, "pat", slipway.Limit{})
	for _, text := range []string{
		`@id("a") forbid (principal, action, resource);`,
		`@id("a") forbid (principal, action in Action::"staff", resource) unless { principal.name == "pat" };`,
		`@id("a") forbid (principal, action == Action::"policy:decide", resource) unless { principal in Role::"owner" };`, // one person is left
	} {
		_, err := ps.Propose(ctx, pat, api.ProposePolicy{Text: text, Reason: "so"})
		wantCode(t, text, err, slipway.CodeLockout)
		if out, err := ps.Test(ctx, pat, text); err != nil || out.Refused == "" {
			t.Errorf("a trial of %s does not say so: %+v, %v", text, out, err)
		}
	}
	out, err := ps.Test(ctx, pat, noFraudCalls)
	if err != nil || out.Refused != "" || !out.Complete || len(out.Effects) != 1 || out.Effects[0].Resource != "endpoint/fraud" || !slices.Equal(out.Effects[0].Lost, []string{"ada", "owner", "shop", "vault"}) {
		t.Errorf("%+v, %v", out, err)
	}
	if s.Engine.Load().Version() != 0 {
		t.Error("a trial is in force")
	}
}

// TestLoadRefuses: additions that this program cannot read keep it from starting, since
// without them it would allow what they forbid.
func TestLoadRefuses(t *testing.T) {
	s := newSite(t)
	store := &versions{site: s, all: []policyset.Version{{Number: 1, Status: policyset.Approved, Approval: 1, Created: time.Now(), Text: `@id("a") forbid (principal, action == Action::"endpoint:of-later", resource);`}}}
	err := (&access.Policies{Control: s.Control, Store: store}).Load(t.Context())
	wantCode(t, "a policy of another program", err, slipway.CodePolicy)
}
