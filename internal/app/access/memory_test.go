package access_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// memory is an identity.Store of one test; the real ones pass the suite of storetest.
type memory struct {
	mu       sync.Mutex
	accounts map[string]identity.Account
	tokens   []identity.Token
}

func (m *memory) Accounts(context.Context) ([]identity.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Collect(maps.Values(m.accounts))
	slices.SortFunc(all, func(a, b identity.Account) int { return strings.Compare(a.Name, b.Name) })
	for i := range all {
		all[i].Roles = slices.Clone(all[i].Roles)
	}
	return all, nil
}

func (m *memory) Account(_ context.Context, name string) (identity.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.accounts[name]; ok {
		return a, nil
	}
	return identity.Account{}, errNone
}

func (m *memory) SaveAccount(_ context.Context, a identity.Account, _ slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts[a.Name] = a
	return nil
}

func (m *memory) AddToken(_ context.Context, t identity.Token, replaces string, until time.Time, _ slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.tokens {
		if o := &m.tokens[i]; o.ID == replaces && (o.Expires.IsZero() || o.Expires.After(until)) {
			o.Expires = until
		}
	}
	m.tokens = append(m.tokens, t)
	return nil
}

func (m *memory) RevokeToken(_ context.Context, id string, ev slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.tokens {
		if m.tokens[i].ID == id {
			m.tokens[i].Revoked = ev.Time
		}
	}
	return nil
}

func (m *memory) TokenByHash(_ context.Context, hash string) (identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.tokens, func(t identity.Token) bool { return t.Hash == hash }); i >= 0 {
		return m.tokens[i], nil
	}
	return identity.Token{}, errNone
}

func (m *memory) Tokens(context.Context) ([]identity.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tokens), nil
}

func (*memory) UseTokens(context.Context, map[string]time.Time) error { return nil }
