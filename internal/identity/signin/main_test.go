package signin_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

// memory keeps everything in memory; the real stores pass the suites.
type memory struct {
	mu       sync.Mutex
	records  map[string]identity.Record
	accounts map[string]identity.Account
	tokens   []identity.Token
	events   []slipway.Event
}

func none(what string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "no %s", what)
}

func (m *memory) find(what string, ok func(identity.Record) bool) (identity.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if ok(r) {
			return r, nil
		}
	}
	return identity.Record{}, none(what)
}

func (m *memory) Record(_ context.Context, kind, id string) (identity.Record, error) {
	return m.find(kind, func(r identity.Record) bool { return r.Kind == kind && r.ID == id })
}

func (m *memory) RecordByKey(_ context.Context, kind, key string) (identity.Record, error) {
	return m.find(kind, func(r identity.Record) bool { return r.Kind == kind && r.Key == key && key != "" })
}

func (m *memory) RecordsOf(_ context.Context, kind, account string) (out []identity.Record, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.records)) {
		if r := m.records[k]; r.Kind == kind && (account == "" || r.Account == account) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memory) WriteRecords(_ context.Context, remove, save []identity.Record, events ...slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range remove {
		if _, ok := m.records[r.Kind+r.ID]; !ok {
			return none(r.Kind)
		}
	}
	for _, r := range remove {
		delete(m.records, r.Kind+r.ID)
	}
	for _, r := range save {
		m.records[r.Kind+r.ID] = r
	}
	m.events = append(m.events, events...)
	return nil
}

func (m *memory) SweepRecords(_ context.Context, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.records, func(_ string, r identity.Record) bool { return !r.Expires.IsZero() && r.Expires.Before(before) })
	return nil
}

func (m *memory) Accounts(context.Context) (out []identity.Account, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.accounts)) {
		out = append(out, m.accounts[k])
	}
	return out, nil
}

func (m *memory) Account(_ context.Context, name string) (identity.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[name]
	if !ok {
		return a, none("account")
	}
	return a, nil
}

func (m *memory) SaveAccount(_ context.Context, a identity.Account, ev slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts[a.Name] = a
	m.events = append(m.events, ev)
	return nil
}

func (m *memory) AddToken(_ context.Context, t identity.Token, _ string, _ time.Time, ev slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens, m.events = append(m.tokens, t), append(m.events, ev)
	return nil
}

func (m *memory) RevokeToken(_ context.Context, id string, ev slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.tokens {
		if m.tokens[i].ID == id {
			m.tokens[i].Revoked = ev.Time
			m.events = append(m.events, ev)
			return nil
		}
	}
	return none("token")
}

func (m *memory) TokenByHash(_ context.Context, hash string) (identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.Hash == hash {
			return t, nil
		}
	}
	return identity.Token{}, none("token")
}

func (m *memory) Tokens(context.Context) ([]identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tokens), nil
}

func (m *memory) UseTokens(context.Context, map[string]time.Time) error { return nil }

// count counts events of an action.
func (m *memory) count(action string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.Action == action {
			n++
		}
	}
	return n
}

// plainSealer binds to the aad and hides nothing. It opens what the keys from oldest to
// newest, each a digit, have sealed.
type plainSealer struct{ oldest, newest byte }

func (p *plainSealer) Seal(_ context.Context, aad string, b []byte) ([]byte, error) {
	return []byte(string(p.newest) + aad + ":" + string(b)), nil
}

func (p *plainSealer) Open(_ context.Context, aad string, b []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(string(b[1:]), aad+":")
	if !ok || b[0] < p.oldest || b[0] > p.newest {
		return nil, errors.New("not sealed for this")
	}
	return []byte(text), nil
}

// world is a service with a clock that is set by hand.
type world struct {
	*signin.Service
	t        *testing.T
	memory   *memory
	accounts *identity.Service
	hasher   *password.Hasher
	sealer   *plainSealer
	now      time.Time
}

const words = "tidal copper lamp seven"

var here = signin.Source{Peer: "192.0.2.7", Agent: "Firefox"}

func newWorld(t *testing.T, provider signin.Provider) *world {
	w := &world{t: t, sealer: &plainSealer{'1', '1'}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), hasher: password.NewHasher(password.Params{Memory: 64, Passes: 1, Lanes: 1}, 2),
		memory: &memory{records: map[string]identity.Record{}, accounts: map[string]identity.Account{}}}
	clock := func() time.Time { return w.now }
	w.accounts = identity.New(w.memory, clock)
	w.Service = signin.New(signin.Config{Records: w.memory, Accounts: w.accounts, Sealer: w.sealer, Hasher: w.hasher, Provider: provider, Title: "Slipway", Changed: func() {}, Now: clock})
	return w
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) code(seed string) string {
	w.t.Helper()
	c, err := totp.Code(seed, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// person makes an account that has enrolled; it gives the session and what it knows.
func (w *world) person(name string) (session, seed string, recovery []string) {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.accounts.Create(ctx, "owner", identity.Account{Name: name, Kind: slipway.Person}); err != nil {
		w.t.Fatal(err)
	}
	code, _, err := w.Invite(ctx, "owner", name, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	half, err := w.Enrol(ctx, here, code, words)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := w.Factor(ctx, half)
	if err != nil {
		w.t.Fatal(err)
	}
	session, recovery, err = w.Confirm(ctx, here, half, w.code(f.Seed))
	if err != nil {
		w.t.Fatal(err)
	}
	w.pass(time.Minute) // its code was used
	return session, f.Seed, recovery
}

func (w *world) wantCode(what string, err error, code string) {
	w.t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		w.t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// in signs a person in.
func (w *world) in(name, seed string) string {
	w.t.Helper()
	half, err := w.Password(w.t.Context(), here, name, words)
	if err != nil {
		w.t.Fatal(err)
	}
	w.pass(time.Minute)
	full, err := w.Second(w.t.Context(), here, half, w.code(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	return full
}
