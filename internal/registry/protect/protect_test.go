package protect_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry/protect"
)

// memory is a protect.Store for one goroutine.
type memory struct {
	rules    []protect.Rule
	requests []protect.Request
	events   []slipway.Event
}

func (m *memory) Rules(_ context.Context, model, team string, lifted bool) (out []protect.Rule, _ error) {
	for _, r := range m.rules {
		if (r.Model == model && model != "" || r.Team == team && team != "") && (lifted || r.Lifted.IsZero()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memory) PutRule(_ context.Context, r protect.Rule, ev slipway.Event) error {
	m.events = append(m.events, ev)
	if i := slices.IndexFunc(m.rules, func(o protect.Rule) bool { return o.ID == r.ID }); i >= 0 {
		m.rules[i] = r
		return nil
	}
	m.rules = append(m.rules, r)
	return nil
}

func (m *memory) PutRequest(_ context.Context, r protect.Request, ev slipway.Event) (protect.Request, error) {
	m.events = append(m.events, ev)
	if r.Revision == 1 {
		r.Number = len(m.requests) + 1
		m.requests = append(m.requests, r)
	} else {
		m.requests[r.Number-1] = r
	}
	return r, nil
}

func (m *memory) Together(ctx context.Context, r protect.Request, ev slipway.Event) context.Context {
	_, _ = m.PutRequest(ctx, r, ev)
	return ctx
}

func (m *memory) Renamed(ctx context.Context, _, _ string) context.Context { return ctx }

func (m *memory) Request(_ context.Context, id string) (protect.Request, error) {
	for _, r := range m.requests {
		if r.ID == id {
			return r, nil
		}
	}
	return protect.Request{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "no")
}

func (m *memory) Requests(_ context.Context, q protect.Query) (out []protect.Request, _ error) {
	for _, r := range slices.Backward(m.requests) {
		if (q.Model == "" || r.Model == q.Model) && (q.Alias == "" || r.Alias == q.Alias) {
			out = append(out, r)
		}
	}
	return out, nil
}

func person(name string, roles ...string) slipway.Principal {
	p := slipway.Principal{ID: name, Kind: slipway.Person}
	for _, r := range roles {
		role := slipway.Role{Name: r}
		if slipway.OfTeam(r) {
			role.Team = "risk"
		}
		p.Roles = append(p.Roles, role)
	}
	return p
}

var (
	ada   = person("ada", slipway.RoleEngineer)
	bob   = person("bob", slipway.RoleTeamLead)
	cyd   = person("cyd", slipway.RoleTeamLead)
	owner = person("olga", slipway.RoleOwner)
	seven = protect.Move{Model: "fraud", Team: "risk", Alias: "champion", Version: 7, Digest: slipway.DigestOf([]byte("7")), Author: "cyd"}
)

type clock struct{ now time.Time }

func setup(t *testing.T, rules ...protect.Rule) (*protect.Service, *memory, *clock) {
	t.Helper()
	m, c := &memory{}, &clock{time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)}
	s := protect.New(m, func() time.Time { return c.now })
	for _, r := range rules {
		r.Reason = "four eyes"
		if _, err := s.Protect(t.Context(), bob, r); err != nil {
			t.Fatal(err)
		}
	}
	return s, m, c
}

// moved tries a move through the guard.
func moved(t *testing.T, s *protect.Service, p slipway.Principal, m protect.Move) (bool, error) {
	t.Helper()
	done := false
	err := s.Guard(t.Context(), p, m, func(context.Context) error { done = true; return nil })
	if done != (err == nil) {
		t.Fatalf("moved %v with %v", done, err)
	}
	return done, err
}

func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, not %s with %q", err, code, text)
	}
}

func TestApproval(t *testing.T) {
	s, m, _ := setup(t, protect.Rule{Model: "fraud", Alias: "champ*", Approvals: 1})
	_, err := moved(t, s, owner, seven)
	refused(t, err, slipway.CodeProtected, "platform models request fraud champion 7 --reason WHY")
	other := seven
	other.Alias = "canary"
	if ok, err := moved(t, s, ada, other); !ok {
		t.Error(err)
	}
	r, err := s.Ask(t.Context(), ada, seven, "it is better")
	if err != nil {
		t.Fatal(err)
	}
	_, err = moved(t, s, ada, seven)
	refused(t, err, slipway.CodeProtected, r.ID+" waits")
	_, err = s.Ask(t.Context(), bob, seven, "me too")
	refused(t, err, slipway.CodeApproval, r.ID)

	approve := protect.Decision{Approve: true}
	for who, text := range map[*slipway.Principal]string{
		&ada:                           "whoever asks does not approve",
		&cyd:                           "registered the version",
		ptr(person("eve", "engineer")): "other roles",
		ptr(foreigner("lou")):          "other roles",
		{ID: "ci", Kind: slipway.Service, Roles: bob.Roles}: "not a service",
	} {
		_, err := s.Decide(t.Context(), *who, r.ID, approve)
		refused(t, err, slipway.CodeApproval, text)
	}
	_, err = s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true, Dependent: "the token of bob was issued by ada"})
	refused(t, err, slipway.CodeApproval, "issued by ada")
	if r, err = s.Decide(t.Context(), bob, r.ID, approve); err != nil || r.Status != protect.Approved {
		t.Fatal(r.Status, err)
	}
	forged := seven
	forged.Digest = slipway.DigestOf([]byte("other bytes"))
	_, err = moved(t, s, ada, forged)
	refused(t, err, slipway.CodeProtected, "protected")
	if ok, err := moved(t, s, ada, seven); !ok {
		t.Fatal(err)
	}
	if m.requests[0].Status != protect.Done {
		t.Error(m.requests[0].Status)
	}
	_, err = moved(t, s, ada, seven)
	refused(t, err, slipway.CodeProtected, "ask for it")
}

func ptr(p slipway.Principal) *slipway.Principal { return &p }

// foreigner leads another team.
func foreigner(name string) slipway.Principal {
	return slipway.Principal{ID: name, Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleTeamLead, Team: "growth"}}}
}

func TestExpiry(t *testing.T) {
	s, _, c := setup(t, protect.Rule{Model: "fraud", Alias: "*", Approvals: 1, Valid: time.Hour}, protect.Rule{Team: "risk", Alias: "champion", Approvals: 1, Valid: 2 * time.Hour})
	r, err := s.Ask(t.Context(), ada, seven, "it is better")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true}); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	_, err = moved(t, s, ada, seven)
	refused(t, err, slipway.CodeProtected, "ask for it")
	_, err = s.Decide(t.Context(), owner, r.ID, protect.Decision{Approve: true})
	refused(t, err, slipway.CodeApproval, "expired")
	if _, err := s.Ask(t.Context(), ada, seven, "again"); err != nil {
		t.Error(err)
	}
}

func TestRulesAddUp(t *testing.T) {
	s, _, _ := setup(t, protect.Rule{Team: "risk", Alias: "champion", Approvals: 1, Approvers: []string{"owner"}},
		protect.Rule{Model: "fraud", Alias: "champion", Approvals: 2, Approvers: []string{"team-lead", "owner"}, Movers: []string{"engineer", "team-lead"}})
	_, err := moved(t, s, owner, seven)
	refused(t, err, slipway.CodeProtected, "moved by engineer, team-lead")
	r, err := s.Ask(t.Context(), ada, seven, "it is better")
	if err != nil {
		t.Fatal(err)
	}
	r, err = s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true})
	if err != nil || r.Status != protect.Waiting {
		t.Fatal(r.Status, err)
	}
	_, err = s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true})
	refused(t, err, slipway.CodeApproval, "already")
	if r, err = s.Decide(t.Context(), owner, r.ID, protect.Decision{Approve: true}); err != nil || r.Status != protect.Approved {
		t.Fatal(r.Status, err)
	}
	// A rule that comes later holds for what was approved before.
	if _, err := s.Protect(t.Context(), bob, protect.Rule{Model: "fraud", Alias: "champion", Approvals: 3, Reason: "three"}); err != nil {
		t.Fatal(err)
	}
	_, err = moved(t, s, ada, seven)
	refused(t, err, slipway.CodeProtected, "3 approvals")
}

func TestReject(t *testing.T) {
	s, _, _ := setup(t, protect.Rule{Model: "fraud", Alias: "champion", Approvals: 1})
	r, _ := s.Ask(t.Context(), ada, seven, "it is better")
	_, err := s.Decide(t.Context(), bob, r.ID, protect.Decision{})
	refused(t, err, slipway.CodeInvalid, "reason")
	_, err = s.Decide(t.Context(), person("eve", "engineer"), r.ID, protect.Decision{Reason: "no"})
	refused(t, err, slipway.CodeApproval, "other roles")
	if r, err = s.Decide(t.Context(), ada, r.ID, protect.Decision{Reason: "I was wrong"}); err != nil || r.Status != protect.Rejected {
		t.Fatal(r.Status, err)
	}
	_, err = s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true})
	refused(t, err, slipway.CodeApproval, "rejected")
}

func TestLift(t *testing.T) {
	s, m, _ := setup(t, protect.Rule{Model: "fraud", Alias: "champion", Approvals: 1}, protect.Rule{Model: "fraud", Alias: "canary", Movers: []string{"team-lead"}})
	if r, err := s.Lift(t.Context(), bob, m.rules[1], "risk", "not needed"); r != nil || err != nil || m.rules[1].Lifted.IsZero() {
		t.Fatal(r, err)
	}
	r, err := s.Lift(t.Context(), bob, m.rules[0], "risk", "it is in the way")
	if err != nil || r == nil || !m.rules[0].Lifted.IsZero() {
		t.Fatal(r, err)
	}
	_, err = s.Lift(t.Context(), cyd, m.rules[0], "risk", "indeed")
	refused(t, err, slipway.CodeApproval, r.ID)
	_, err = s.Decide(t.Context(), bob, r.ID, protect.Decision{Approve: true})
	refused(t, err, slipway.CodeApproval, "whoever asks")
	done, err := s.Decide(t.Context(), cyd, r.ID, protect.Decision{Approve: true})
	if err != nil || done.Status != protect.Done || m.rules[0].Lifted.IsZero() {
		t.Fatal(done.Status, err)
	}
	if ok, err := moved(t, s, ada, seven); !ok {
		t.Error(err)
	}
}

func TestBadRules(t *testing.T) {
	s, _, _ := setup(t)
	for text, r := range map[string]protect.Rule{
		"one model or of one team": {Alias: "champion", Approvals: 1},
		"or of one team":           {Model: "fraud", Team: "risk", Alias: "champion", Approvals: 1},
		"no pattern":               {Model: "fraud", Alias: "a/b", Approvals: 1},
		"would protect nothing":    {Model: "fraud", Alias: "champion"},
		"cannot be asked":          {Model: "fraud", Alias: "champion", Approvals: 6},
		"no role that moves":       {Model: "fraud", Alias: "champion", Approvals: 1, Approvers: []string{"auditor"}},
		"cannot be good for":       {Model: "fraud", Alias: "champion", Approvals: 1, Valid: time.Second},
	} {
		r.Reason = "why"
		_, err := s.Protect(t.Context(), bob, r)
		refused(t, err, slipway.CodeInvalid, text)
	}
	_, err := s.Protect(t.Context(), bob, protect.Rule{Model: "fraud", Alias: "champion", Approvals: 1})
	refused(t, err, slipway.CodeInvalid, "reason")
	_, err = s.Ask(t.Context(), ada, seven, "x")
	refused(t, err, slipway.CodeApproval, "platform models alias fraud champion 7")
}

// TestMissingNeverCountsTheWrong: whatever approvals there are, those of the one that asked,
// of the author, of others' roles and second ones do not count.
func TestMissingNeverCountsTheWrong(t *testing.T) {
	names := []string{"ada", "bob", "cyd", "dan", "eve"}
	roles := []string{"owner", "team-lead", "engineer"}
	rapid.Check(t, func(t *rapid.T) {
		need := rapid.IntRange(1, 3).Draw(t, "need")
		approvers := rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 1, 3, rapid.ID).Draw(t, "approvers")
		r := protect.Request{By: "ada", Author: "bob"}
		good := map[string]bool{}
		for _, by := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 8).Draw(t, "by") {
			role := rapid.SampledFrom(roles).Draw(t, "role")
			first := !slices.ContainsFunc(r.Approvals, func(a protect.Approval) bool { return a.By == by })
			r.Approvals = append(r.Approvals, protect.Approval{By: by, Roles: []string{role}})
			if first && by != "ada" && by != "bob" && slices.Contains(approvers, role) {
				good[by] = true
			}
		}
		got := protect.Missing([]protect.Rule{{Approvals: need, Approvers: approvers}}, &r)
		if want := max(0, need-len(good)); got != want {
			t.Fatalf("%d are missing, not %d: %+v", got, want, r.Approvals)
		}
	})
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, alias string
		want           bool
	}{
		{"champion", "champion", true}, {"champion", "champions", false}, {"*", "x", true}, {"prod*", "production", true}, {"prod*", "prod", true},
		{"*-eu", "live-eu", true}, {"*-eu", "live-eu-2", false}, {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXc", false}, {"**", "", true},
	} {
		if got := len(protect.Matching([]protect.Rule{{Alias: c.pattern}}, c.alias)) == 1; got != c.want {
			t.Errorf("%s against %s: %v", c.alias, c.pattern, got)
		}
	}
}
