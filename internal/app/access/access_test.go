package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// site is an installation without anything but names.
type site struct {
	*access.Control
	mu        sync.Mutex
	now       time.Time
	endpoints []rollout.Endpoint
	events    []slipway.Event
	fail      error
	changed   int
}

func (s *site) Endpoints(context.Context) ([]rollout.Endpoint, error) { return s.endpoints, nil }

func (s *site) Endpoint(_ context.Context, key string) (rollout.Endpoint, error) {
	for _, e := range s.endpoints {
		if e.Key == key {
			return e, nil
		}
	}
	return rollout.Endpoint{}, errNone
}

func (s *site) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	if id == "dep_secret" {
		return rollout.Deployment{ID: id, Endpoint: "secret"}, nil
	}
	return rollout.Deployment{}, errNone
}

func (s *site) Model(_ context.Context, name string) (registry.Model, error) {
	if name == "unowned" {
		return registry.Model{Name: name}, nil
	}
	return registry.Model{Name: name, Team: "risk"}, nil
}

func (*site) Models(context.Context, string, int) ([]registry.Model, error) {
	return []registry.Model{{Name: "fraud", Team: "risk"}, {Name: "unowned"}}, nil
}

func (s *site) Append(_ context.Context, events ...slipway.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.events = append(s.events, events...)
	}
	return s.fail
}

var errNone = &slipway.Error{Code: slipway.CodeNotFound, Kind: slipway.NotFound}

func role(name, team string) slipway.Role { return slipway.Role{Name: name, Team: team} }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{now: noon, endpoints: []rollout.Endpoint{
		{Key: "fraud", Owner: "risk", Tier: 1},
		{Key: "churn.staging", Owner: "risk", Tier: 3, Classification: "restricted"},
		{Key: "other", Owner: "growth", Tier: 2},
		{Key: "secret", Owner: "growth", Tier: 1, Classification: "confidential"},
	}}
	clock := func() time.Time { return s.now }
	store := &memory{accounts: map[string]identity.Account{}}
	s.Control = &access.Control{Identity: identity.New(store, clock), Resources: s, Models: s, Recorder: s, Changed: func() { s.changed++ }, Now: clock}
	e, err := authz.New(authz.Policies(), clock)
	if err != nil {
		t.Fatal(err)
	}
	s.Engine.Store(e)
	ctx := t.Context()
	for _, a := range []identity.Account{
		{Name: "owner", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleOwner, "")}},
		{Name: "pat", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RolePlatformEngineer, "")}},
		{Name: "lea", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleTeamLead, "risk")}},
		{Name: "ada", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}},
		{Name: "gil", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "growth")}},
		{Name: "shop", Kind: slipway.Service, Team: "risk", Roles: []slipway.Role{role(slipway.RoleCaller, "risk")}},
		{Name: "vault", Kind: slipway.Service, Team: "risk", Clearance: "restricted", Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}},
		{Name: "nobody", Kind: slipway.Person},
	} {
		if err := store.SaveAccount(ctx, a, slipway.Event{ID: slipway.NewID("evt", noon), Time: noon, Actor: "test", Action: "account.created", Subject: a.Name}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// as is an account with a token, who has shown a second factor lately.
func (s *site) as(t *testing.T, name string, l slipway.Limit) (slipway.Principal, string) {
	t.Helper()
	text, _, err := s.Identity.Issue(t.Context(), "test", identity.Wish{Account: name, Limit: l})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Identity.Authenticate(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	p.Elevated = true
	return p, text
}

func wantCode(t testing.TB, what string, err error, code string) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

// TestDeniedIsRecorded: no attempt without a trace, and none of a flood fills the record.
func TestDeniedIsRecorded(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	gil, _ := s.as(t, "gil", slipway.Limit{})
	wantCode(t, "the endpoint of another team", s.CheckNamed(ctx, gil, authz.EndpointRollback, "fraud"), slipway.CodeDenied)
	if len(s.events) != 1 || s.events[0].Action != "access.denied" || s.events[0].Actor != "gil" || s.events[0].Subject != "endpoint fraud" || s.events[0].Detail["action"] != "endpoint:rollback" || s.events[0].Detail["token"] != gil.Token {
		t.Fatalf("%+v", s.events)
	}
	for range 1000 {
		wantCode(t, "again", s.CheckNamed(ctx, gil, authz.EndpointRollback, "fraud"), slipway.CodeDenied)
	}
	wantCode(t, "another action", s.CheckNamed(ctx, gil, authz.EndpointDeploy, "fraud"), slipway.CodeDenied)
	if len(s.events) != 2 {
		t.Errorf("%d events of two kinds of attempts", len(s.events))
	}
	s.now = s.now.Add(2 * time.Minute)
	if err := s.Settle(ctx, false); err != nil || len(s.events) != 3 || s.events[2].Detail["again"] != "1000" {
		t.Errorf("%v, %+v", err, s.events)
	}
	for i := range 3000 { // names are the attacker's to choose
		wantCode(t, "a flood", s.CheckNamed(ctx, gil, authz.EndpointDeploy, fmt.Sprint("x", i)), slipway.CodeDenied)
	}
	if len(s.events) > 600 {
		t.Errorf("a flood of a minute made %d events", len(s.events))
	}
	s.now = s.now.Add(2 * time.Minute)
	s.fail = errors.New("the disk is full")
	if err := s.CheckNamed(ctx, gil, authz.EndpointRollback, "fraud"); err == nil || errors.Is(err, &slipway.Error{Code: slipway.CodeDenied}) {
		t.Errorf("an attempt that leaves no trace is answered: %v", err)
	}
	before := len(s.events)
	s.fail = nil
	if err := s.Settle(ctx, true); err != nil || len(s.events) == before {
		t.Errorf("what could not be counted is forgotten: %v", err)
	}
}

// TestEnterAndFind: what a path names is looked up, and what is not there is told to nobody
// who may not see its like.
func TestEnterAndFind(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	_, shopToken, err := s.Identity.Issue(ctx, "test", identity.Wish{Account: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		who    string
		action authz.Action
		name   string
		code   string
	}{
		{"ada", authz.EndpointRead, "fraud", ""},
		{"ada", authz.EndpointRead, "secret", slipway.CodeDenied},
		{"ada", authz.EndpointRead, "dep_secret", slipway.CodeDenied}, // a deployment is its endpoint
		{"gil", authz.EndpointRead, "dep_secret", ""},
		{"nobody", authz.EndpointRead, "none", slipway.CodeDenied},
		{"owner", authz.EndpointRead, "none", ""}, // the use case says that there is none
		{"ada", authz.EndpointRead, strings.Repeat("x", 2000), slipway.CodeNotFound},
		{"ada", authz.EndpointDeploy, "", ""},
		{"shop", authz.EndpointDeploy, "", slipway.CodeDenied},
		{"ada", authz.ModelRegister, "unowned", ""}, // the use case asks for the team that it shall be of
		{"gil", authz.ModelRegister, "fraud", slipway.CodeDenied},
		{"lea", authz.TokenRevoke, shopToken.ID, ""}, // a token is its account
		{"gil", authz.TokenRevoke, shopToken.ID, slipway.CodeDenied},
		{"ada", authz.AuditRead, "", slipway.CodeDenied},
	} {
		p, _ := s.as(t, tt.who, slipway.Limit{})
		wantCode(t, fmt.Sprint(tt.who, " ", tt.action, " ", tt.name), s.Enter(ctx, p, tt.action, tt.name), tt.code)
	}
}

func TestListsLeaveOut(t *testing.T) {
	s := newSite(t)
	for who, want := range map[string][]string{
		"owner": {"ada", "gil", "lea", "nobody", "owner", "pat", "shop", "vault"}, "lea": {"lea", "shop", "vault"}, "ada": {"ada"}, "nobody": {"nobody"}} {
		p, _ := s.as(t, who, slipway.Limit{})
		all, err := s.List(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range all {
			names = append(names, a.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, want) && who != "owner" || who == "owner" && len(names) != 8 {
			t.Errorf("%s sees %v, want %v", who, names, want)
		}
		tokens, err := s.Tokens(t.Context(), p, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range tokens {
			if !slices.Contains(want, tok.Account) || tok.Text != "" {
				t.Errorf("%s sees a token of %s", who, tok.Account)
			}
		}
	}
	if len(s.events) != 0 {
		t.Errorf("what is left out of a list was recorded as an attempt: %v", s.events)
	}
}

// TestTokensNeverWiden: no way of making a token makes one that may more, sees more or lasts
// longer than it should.
func TestTokensNeverWiden(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	for _, tt := range []struct {
		what, who, of string
		mine, wish    slipway.Limit
		seconds       int64
		code          string
	}{
		{"of oneself", "ada", "ada", slipway.Limit{}, slipway.Limit{}, 0, ""},
		{"of a colleague", "ada", "gil", slipway.Limit{}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"of a person, by one who operates", "pat", "ada", slipway.Limit{}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"of a person, by an owner", "owner", "ada", slipway.Limit{}, slipway.Limit{}, 0, ""},
		{"of a service of the team", "lea", "shop", slipway.Limit{}, slipway.Limit{}, 0, ""},
		{"of a service with more clearance", "lea", "vault", slipway.Limit{}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"of a service with more clearance, by one who operates", "pat", "vault", slipway.Limit{}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"by a service", "shop", "shop", slipway.Limit{}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"less limited in actions", "ada", "ada", slipway.Limit{Actions: []string{"token:issue"}}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"limited to something else", "ada", "ada", slipway.Limit{Actions: []string{"token:issue"}}, slipway.Limit{Actions: []string{"token:issue", "endpoint:deploy"}}, 0, slipway.CodeDenied},
		{"as limited", "ada", "ada", slipway.Limit{Actions: []string{"token:issue"}}, slipway.Limit{Actions: []string{"token:issue"}}, 0, ""},
		{"of a team, by a token of a team", "lea", "shop", slipway.Limit{Teams: []string{"risk"}}, slipway.Limit{}, 0, slipway.CodeDenied},
		{"longer than the own", "ada", "ada", slipway.Limit{}, slipway.Limit{}, 9 * 3600, slipway.CodeInvalid},
		{"for an action that there is not", "ada", "ada", slipway.Limit{}, slipway.Limit{Actions: []string{"endpoint:destroy"}}, 0, slipway.CodeInvalid},
		{"for a name that breaks lines", "ada", "ada", slipway.Limit{}, slipway.Limit{Teams: []string{"risk\ngrowth"}}, 0, slipway.CodeInvalid},
	} {
		p, _ := s.as(t, tt.who, tt.mine)
		denied := len(s.events)
		tok, err := s.Issue(ctx, p, tt.of, api.IssueToken{Limit: api.Limit(tt.wish), LifetimeSeconds: tt.seconds})
		wantCode(t, tt.what, err, tt.code)
		if tt.code == slipway.CodeDenied && len(s.events) == denied && tt.what != "limited to something else" {
			t.Errorf("%s: not recorded", tt.what)
		}
		if tt.code == "" && (tok.Text == "" || tok.Expires.Sub(s.now) > 90*24*time.Hour) {
			t.Errorf("%s: %+v", tt.what, tok)
		}
		s.now = s.now.Add(2 * time.Minute) // each is the first of its minute
	}
	// A token of oneself ends with the one that it was made with.
	ada, _ := s.as(t, "ada", slipway.Limit{})
	s.now = s.now.Add(7 * time.Hour)
	tok, err := s.Issue(ctx, ada, "ada", api.IssueToken{})
	if err != nil || tok.Expires.Sub(s.now) > time.Hour {
		t.Errorf("%v after now, %v", tok.Expires.Sub(s.now), err)
	}
	_, err = s.Rotate(ctx, ada, ada.Token, api.RotateToken{})
	wantCode(t, "a person's token rotated for ever", err, slipway.CodeInvalid)
}

func TestRotateKeepsTheLimit(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	shop, _ := s.as(t, "shop", slipway.Limit{Endpoints: []string{"fraud"}})
	_, err := s.Rotate(ctx, shop, shop.Token, api.RotateToken{})
	wantCode(t, "a token for an endpoint alone does nothing else", err, slipway.CodeDenied)
	all, _ := s.as(t, "shop", slipway.Limit{})
	next, err := s.Rotate(ctx, all, shop.Token, api.RotateToken{})
	if err != nil || len(next.Limit.Endpoints) != 1 || next.Limit.Endpoints[0] != "fraud" {
		t.Errorf("%+v, %v", next.Limit, err)
	}
	lea, _ := s.as(t, "lea", slipway.Limit{Actions: []string{"token:rotate"}})
	_, err = s.Rotate(ctx, lea, next.ID, api.RotateToken{})
	wantCode(t, "a limited token that rotates one of another limit", err, slipway.CodeDenied)
	gil, _ := s.as(t, "gil", slipway.Limit{})
	_, err = s.Rotate(ctx, gil, next.ID, api.RotateToken{})
	wantCode(t, "one of another team", err, slipway.CodeDenied)
	_, err = s.Revoke(ctx, gil, next.ID, api.RevokeToken{})
	wantCode(t, "revoked by another team", err, slipway.CodeDenied)
}

// TestGrantsAreDecisions: whatever accounts, tokens, endpoints and policies there are, and
// at whatever time, the gateway answers what the engine answers.
func TestGrantsAreDecisions(t *testing.T) {
	ctx := t.Context()
	names := []string{"owner", "pat", "lea", "ada", "gil", "shop", "vault", "nobody"}
	additions := []string{"",
		`@id("freeze") forbid (principal, action in Action::"operate", resource) when { resource has tier && resource.tier == 1 };`,
		`@id("fresh") forbid (principal, action in Action::"call", resource) when { !context.connected && resource has tier && resource.tier == 1 };`,
		`@id("nightly") forbid (principal, action in Action::"call", resource) when { context.time > datetime("2026-11-01T13:00:00Z") };`,
		`@id("share") permit (principal == Principal::"gil", action in Action::"call", resource == Endpoint::"fraud");`}
	rapid.Check(t, func(rt *rapid.T) {
		s := newSite(t)
		e, err := s.Engine.Load().With(1, []byte(rapid.SampledFrom(additions).Draw(rt, "additions")))
		if err != nil {
			rt.Fatal(err)
		}
		s.Engine.Store(e)
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names[1:]), 0, 3).Draw(rt, "changed") {
			r := role(rapid.SampledFrom([]string{slipway.RolePlatformEngineer, slipway.RoleEngineer, slipway.RoleCaller, slipway.RoleOwner}).Draw(rt, "role"), "")
			if slipway.OfTeam(r.Name) {
				r.Team = rapid.SampledFrom([]string{"risk", "growth"}).Draw(rt, "team")
			}
			if rapid.Bool().Draw(rt, "ends") {
				r.Until = noon.Add(time.Duration(rapid.IntRange(-1, 3).Draw(rt, "hours")) * time.Hour)
			}
			_, _ = s.Identity.Grant(ctx, "test", name, r, "") // some are refused
		}
		limit := slipway.Limit{}
		if rapid.Bool().Draw(rt, "limited") {
			limit = slipway.Limit{Endpoints: rapid.SliceOfN(rapid.SampledFrom([]string{"fraud", "secret"}), 0, 2).Draw(rt, "endpoints"),
				Actions: rapid.SliceOfN(rapid.SampledFrom([]string{"endpoint:predict", "endpoint:rollback", "metrics:read"}), 0, 2).Draw(rt, "actions")}
		}
		for _, name := range names {
			if _, _, err := s.Identity.Issue(ctx, "test", identity.Wish{Account: name, Limit: limit}); err != nil {
				rt.Fatal(err)
			}
		}
		agree(rt, s)
	})
}

func agree(t *rapid.T, s *site) {
	ctx := context.Background()
	grants, err := s.Grants(ctx)
	if err != nil {
		t.Fatal(err)
	}
	byHash := map[string]route.Grant{}
	for _, g := range grants {
		byHash[g.TokenSHA256] = g
	}
	tokens, err := s.Identity.Store.Tokens(ctx)
	if err != nil {
		t.Fatal(err)
	}
	e := s.Engine.Load()
	asksTime := e.Asks("time")
	for _, later := range []time.Duration{0, 30 * time.Minute, 90 * time.Minute, 150 * time.Minute, 4 * time.Hour} {
		s.now = noon.Add(later)
		for _, tok := range tokens {
			a, err := s.Identity.Account(ctx, tok.Account)
			if err != nil {
				t.Fatal(err)
			}
			p, g := a.Principal(tok), byHash[tok.Hash]
			if later > 0 && asksTime || !tok.Usable(s.now) || g.TokenSHA256 == "" {
				continue // these the server's next table says
			}
			gone := !g.Expires.IsZero() && !s.now.Before(g.Expires)
			for i := range s.endpoints {
				r := access.EndpointOf(&s.endpoints[i])
				for _, age := range []time.Duration{0, time.Hour} {
					want := e.Decide(authz.Request{Principal: p, Action: authz.EndpointPredict, Resource: r, Disconnected: age > 0}).Allow &&
						e.Decide(authz.Request{Principal: p, Action: authz.EndpointPredict, Resource: r}).Allow
					if got := !gone && g.MayPredict(r.Name, s.now, age); got && !want || want && !got && !gone {
						t.Fatalf("%s of %+v calls %s after %v, age %v: %v, want %v; %+v", tok.Account, p, r.Name, later, age, got, want, g)
					}
				}
				want := e.Decide(authz.Request{Principal: p, Action: authz.EndpointRollback, Resource: r}).Allow
				if got := !gone && g.MayRollBack(r.Name, s.now); got && !want || want && !got && !gone {
					t.Fatalf("%s takes %s back after %v: %v, want %v", tok.Account, r.Name, later, got, want)
				}
			}
			want := e.Decide(authz.Request{Principal: p, Action: authz.MetricsRead, Resource: access.Server}).Allow
			if got := !gone && g.MayReadMetrics(s.now); got && !want || want && !got && !gone {
				t.Fatalf("%s reads metrics after %v: %v, want %v", tok.Account, later, got, want)
			}
		}
	}
}

// TestChangesReachTheGateway: each change after which a grant is another one asks for a new
// table at once, and the table no longer has what was taken.
func TestChangesReachTheGateway(t *testing.T) {
	ctx := t.Context()
	for what, take := range map[string]func(s *site, owner, p slipway.Principal) error{
		"a revoked token": func(s *site, owner, p slipway.Principal) error {
			_, err := s.Revoke(ctx, owner, p.Token, api.RevokeToken{})
			return err
		},
		"a rotated token": func(s *site, owner, p slipway.Principal) error {
			_, err := s.Rotate(ctx, owner, p.Token, api.RotateToken{})
			return err
		},
		"a withdrawn role": func(s *site, owner, _ slipway.Principal) error {
			_, err := s.ChangeRole(ctx, owner, "shop", api.ChangeRole{Role: api.Role{Role: "caller", Team: "risk"}, Withdraw: true})
			return err
		},
		"a disabled account": func(s *site, owner, _ slipway.Principal) error {
			_, err := s.Change(ctx, owner, "shop", api.ChangeAccount{Disable: true})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			owner, _ := s.as(t, "owner", slipway.Limit{})
			p, _ := s.as(t, "shop", slipway.Limit{})
			has := func() bool {
				grants, err := s.Grants(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(grants, func(g route.Grant) bool { return g.Token == p.Token && g.MayPredict("fraud", s.now, 0) })
			}
			if !has() {
				t.Fatal("not granted before")
			}
			if err := take(s, owner, p); err != nil {
				t.Fatal(err)
			}
			if s.changed == 0 || has() {
				t.Errorf("asked %d times for a new table, granted still: %v", s.changed, has())
			}
		})
	}
}
