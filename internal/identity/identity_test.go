package identity_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// memory is a store of one test.
type memory struct {
	looked   int // up: accounts and tokens
	mu       sync.Mutex
	accounts map[string]identity.Account
	tokens   []identity.Token
	events   []slipway.Event
	fail     error
}

var errNone = &slipway.Error{Code: slipway.CodeNotFound, Kind: slipway.NotFound}

func (m *memory) Accounts(context.Context) (out []identity.Account, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.accounts {
		a.Roles = slices.Clone(a.Roles)
		out = append(out, a)
	}
	return out, nil
}

func (m *memory) Account(_ context.Context, name string) (identity.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looked++
	if a, ok := m.accounts[name]; ok {
		return a, nil
	}
	return identity.Account{}, errNone
}

func (m *memory) SaveAccount(_ context.Context, a identity.Account, ev slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts[a.Name] = a
	m.events = append(m.events, ev)
	return m.fail
}

func (m *memory) AddToken(_ context.Context, t identity.Token, replaces string, until time.Time, ev slipway.Event) error {
	for i := range m.tokens {
		if o := &m.tokens[i]; o.ID == replaces && (o.Expires.IsZero() || o.Expires.After(until)) {
			o.Expires = until
		}
	}
	m.tokens, m.events = append(m.tokens, t), append(m.events, ev)
	return m.fail
}

func (m *memory) RevokeToken(_ context.Context, id string, ev slipway.Event) error {
	for i := range m.tokens {
		if m.tokens[i].ID == id {
			m.tokens[i].Revoked = ev.Time
		}
	}
	m.events = append(m.events, ev)
	return m.fail
}

func (m *memory) TokenByHash(_ context.Context, hash string) (identity.Token, error) {
	m.looked++
	for _, t := range m.tokens {
		if t.Hash == hash {
			return t, nil
		}
	}
	return identity.Token{}, errNone
}

func (m *memory) Tokens(context.Context) ([]identity.Token, error) { return m.tokens, nil }

func (m *memory) UseTokens(_ context.Context, used map[string]time.Time) error {
	for i := range m.tokens {
		if at, ok := used[m.tokens[i].ID]; ok && m.fail == nil {
			m.tokens[i].Used = at
		}
	}
	return m.fail
}

// fixture is a service with a clock that stands.
type fixture struct {
	*identity.Service
	*memory
	now time.Time
}

func newFixture() *fixture {
	f := &fixture{memory: &memory{accounts: map[string]identity.Account{}}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	f.accounts["owner"] = identity.Account{Name: "owner", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleOwner}}}
	f.Service = identity.New(f.memory, func() time.Time { return f.now })
	return f
}

func want(t *testing.T, what string, err error, code string) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

func TestCreate(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	for _, tt := range []struct{ name, kind, team, code string }{
		{"ada", slipway.Person, "", ""},
		{"ada", slipway.Person, "", slipway.CodeConflict},
		{"shop", slipway.Service, "risk", ""},
		{"Ada", slipway.Person, "", slipway.CodeInvalidName},
		{"judge", slipway.Person, "", slipway.CodeInvalid},
		{"system", slipway.Service, "risk", slipway.CodeInvalid},
		{"bob", slipway.Person, "risk", slipway.CodeInvalid},
		{"bob", slipway.Service, "", slipway.CodeInvalid},
		{"bob", "robot", "risk", slipway.CodeInvalid},
	} {
		_, err := f.Create(ctx, "owner", identity.Account{Name: tt.name, Kind: tt.kind, Team: tt.team, Roles: []slipway.Role{{Name: slipway.RoleOwner}}, Clearance: "restricted"})
		want(t, tt.name+" "+tt.kind, err, tt.code)
	}
	if a := f.accounts["ada"]; len(a.Roles) != 0 || a.Clearance != "" {
		t.Errorf("an account is born with %+v", a)
	}
}

func TestRoles(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	f.accounts["ada"] = identity.Account{Name: "ada", Kind: slipway.Person}
	f.accounts["shop"] = identity.Account{Name: "shop", Kind: slipway.Service, Team: "risk"}
	for _, tt := range []struct {
		name string
		role slipway.Role
		code string
	}{
		{"ada", slipway.Role{Name: slipway.RoleEngineer, Team: "risk"}, ""},
		{"ada", slipway.Role{Name: slipway.RoleEngineer, Team: "risk", Until: f.now.Add(time.Hour)}, ""},
		{"ada", slipway.Role{Name: slipway.RoleEngineer}, slipway.CodeInvalid},
		{"ada", slipway.Role{Name: slipway.RoleEngineer, Team: "Risk Team"}, slipway.CodeInvalidName},
		{"ada", slipway.Role{Name: slipway.RoleOwner, Team: "risk"}, slipway.CodeInvalid},
		{"ada", slipway.Role{Name: "admin"}, slipway.CodeInvalid},
		{"ada", slipway.Role{Name: slipway.RoleAuditor}, slipway.CodeInvalid},
		{"shop", slipway.Role{Name: slipway.RoleCaller, Team: "risk"}, ""},
		{"shop", slipway.Role{Name: slipway.RoleCaller, Team: "growth"}, slipway.CodeInvalid},
		{"shop", slipway.Role{Name: slipway.RolePlatformEngineer}, slipway.CodeInvalid},
		{"eve", slipway.Role{Name: slipway.RoleOwner}, slipway.CodeNotFound},
	} {
		_, err := f.Grant(ctx, "owner", tt.name, tt.role, "")
		want(t, tt.name+" "+tt.role.Name+" "+tt.role.Team, err, tt.code)
	}
	if a := f.accounts["ada"]; len(a.Roles) != 1 || a.Roles[0].Until.IsZero() {
		t.Errorf("the same role of the same team was not replaced: %+v", a.Roles)
	}
	_, err := f.Withdraw(ctx, "owner", "ada", slipway.Role{Name: slipway.RoleCaller, Team: "risk"}, "")
	want(t, "withdraw what one has not", err, slipway.CodeNotFound)
}

// TestLastOwner: no order of changes leaves nobody who may do everything.
func TestLastOwner(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	f.accounts["ada"] = identity.Account{Name: "ada", Kind: slipway.Person}
	owner := slipway.Role{Name: slipway.RoleOwner}
	_, err := f.Withdraw(ctx, "owner", "owner", owner, "")
	want(t, "withdraw the last", err, slipway.CodeConflict)
	_, err = f.Disable(ctx, "owner", "owner", "")
	want(t, "disable the last", err, slipway.CodeConflict)
	until := owner
	until.Until = f.now.Add(time.Hour)
	if _, err := f.Grant(ctx, "owner", "ada", until, ""); err != nil {
		t.Fatal(err)
	}
	_, err = f.Disable(ctx, "owner", "owner", "")
	want(t, "disable the last but one who is an owner for an hour", err, slipway.CodeConflict)
	_, err = f.Grant(ctx, "owner", "owner", until, "")
	want(t, "be an owner for an hour, as the last", err, slipway.CodeConflict)
	if _, err := f.Grant(ctx, "owner", "ada", owner, ""); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	gone := 0
	for _, name := range []string{"ada", "owner"} {
		wg.Go(func() {
			if _, err := f.Disable(ctx, "owner", name, ""); err == nil {
				mu.Lock()
				gone++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if gone != 1 {
		t.Errorf("%d of two owners were disabled at once, want 1", gone)
	}
}

func TestLifetimes(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	f.accounts["shop"] = identity.Account{Name: "shop", Kind: slipway.Service, Team: "risk", Roles: []slipway.Role{{Name: slipway.RoleCaller, Team: "risk"}}}
	f.accounts["ci"] = identity.Account{Name: "ci", Kind: slipway.Service, Team: "risk", Roles: []slipway.Role{{Name: slipway.RoleCaller, Team: "risk"}, {Name: slipway.RoleEngineer, Team: "risk"}}}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		account      string
		wish, lasts  time.Duration
		code, reason string
	}{
		{"owner", 0, 8 * time.Hour, "", "the usual one of a person"},
		{"owner", day, day, "", "the longest of a person"},
		{"owner", day + 1, 0, slipway.CodeInvalid, "longer"},
		{"ci", 0, 8 * time.Hour, "", "the usual one of CI"},
		{"ci", 2 * day, 0, slipway.CodeInvalid, "months for CI"},
		{"shop", 0, 30 * day, "", "the usual one of a caller"},
		{"shop", 90 * day, 90 * day, "", "the longest of a caller"},
		{"shop", 91 * day, 0, slipway.CodeInvalid, "longer"},
		{"shop", time.Second, 0, slipway.CodeInvalid, "too short"},
		{"eve", 0, 0, slipway.CodeNotFound, "of nobody"},
	} {
		_, tok, err := f.Issue(ctx, "owner", identity.Wish{Account: tt.account, Lifetime: tt.wish})
		want(t, tt.reason, err, tt.code)
		if err == nil && tok.Expires.Sub(f.now) != tt.lasts {
			t.Errorf("%s: %v, want %v", tt.reason, tok.Expires.Sub(f.now), tt.lasts)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	f.accounts["ada"] = identity.Account{Name: "ada", Kind: slipway.Person, Clearance: "restricted", Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "risk"}}}
	text, tok, err := f.Issue(ctx, "owner", identity.Wish{Account: "ada", Limit: slipway.Limit{Teams: []string{"risk"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range f.events {
		for _, v := range ev.Detail {
			if strings.Contains(v, text) || strings.Contains(v, tok.Hash) {
				t.Error("an event holds the token")
			}
		}
	}
	p, err := f.Authenticate(ctx, text)
	if err != nil || p.ID != "ada" || p.Token != tok.ID || p.Clearance != "restricted" || len(p.Limit.Teams) != 1 || len(p.Roles) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	f.fail = errors.New("the disk is full")
	if f.Flush(ctx) == nil {
		t.Error("a lost flush is no error")
	}
	f.fail = nil
	if err := f.Flush(ctx); err != nil || !f.tokens[0].Used.Equal(f.now) {
		t.Errorf("last used %v, %v", f.tokens[0].Used, err)
	}
	for name, breaks := range map[string]func(){
		"unknown":    func() { f.tokens[0].Hash = "x" },
		"revoked":    func() { _ = f.Revoke(ctx, "owner", tok.ID, "") },
		"expired":    func() { f.now = tok.Expires },
		"disabled":   func() { _, _ = f.Disable(ctx, "owner", "ada", "") },
		"no account": func() { delete(f.accounts, "ada") },
	} {
		kept, account, now := f.tokens[0], f.accounts["ada"], f.now
		breaks()
		f.looked = 0
		_, err := f.Authenticate(ctx, text)
		if f.looked != 2 { // the time that a refusal takes tells nothing of the token
			t.Errorf("%s looks %d things up, want 2", name, f.looked)
		}
		want(t, name, err, slipway.CodeUnauthorized)
		if err.Error() != "the token is not valid; send a valid token" {
			t.Errorf("%s tells why: %v", name, err)
		}
		f.tokens[0], f.accounts["ada"], f.now = kept, account, now
		if _, err := f.Authenticate(ctx, text); err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
	}
}

func TestRotate(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	old, tok, err := f.Issue(ctx, "owner", identity.Wish{Account: "owner", Lifetime: 10 * time.Hour, Limit: slipway.Limit{Endpoints: []string{"fraud"}}, Note: "CI"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Rotate(ctx, "owner", "", tok.ID, 8*24*time.Hour)
	want(t, "an overlap without end", err, slipway.CodeInvalid)
	f.now = f.now.Add(time.Hour)
	text, next, err := f.Rotate(ctx, "owner", "", tok.ID, time.Hour)
	if err != nil || next.Expires.Sub(f.now) != 10*time.Hour || next.Note != "CI" || len(next.Limit.Endpoints) != 1 {
		t.Fatalf("%+v, %v", next, err)
	}
	for _, tt := range []struct {
		after    time.Duration
		old, new string
	}{{0, "", ""}, {time.Hour - 1, "", ""}, {1, slipway.CodeUnauthorized, ""}} {
		f.now = f.now.Add(tt.after)
		_, err := f.Authenticate(ctx, old)
		want(t, "the old one", err, tt.old)
		_, err = f.Authenticate(ctx, text)
		want(t, "the new one", err, tt.new)
	}
	_, _, err = f.Rotate(ctx, "owner", "", tok.ID, 0)
	want(t, "one that has ended", err, slipway.CodeConflict)
}

// TestMade: what was made with a token that leaked is found, over any number of steps, also
// what was rotated; what others made, and what has ended, is not.
func TestMade(t *testing.T) {
	f, ctx := newFixture(), t.Context()
	issue := func(with string) identity.Token {
		t.Helper()
		f.now = f.now.Add(time.Second)
		_, tok, err := f.Issue(ctx, "owner", identity.Wish{Account: "owner", With: with})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	leaked := issue("")
	child, ended := issue(leaked.ID), issue(leaked.ID)
	grandchild, _ := issue(child.ID), issue("tok_other")
	_, rotated, err := f.Rotate(ctx, "ada", ended.ID, ended.ID, 0)
	if err == nil {
		err = f.Revoke(ctx, "owner", ended.ID, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	made, err := f.Made(ctx, leaked.ID)
	var got []string
	for _, m := range made {
		got = append(got, m.ID)
	}
	if diff := cmp.Diff([]string{child.ID, grandchild.ID, rotated.ID}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
}
