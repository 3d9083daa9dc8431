// Package identity knows who there is: people and services, the roles that they have, and
// the tokens that stand for them.
package identity

import (
	"context"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
)

// Account is a person or a service. Times are kept to the microsecond, in UTC.
type Account struct {
	Name      string         `json:"name"`
	Kind      string         `json:"kind"`           // slipway.Person or slipway.Service
	Team      string         `json:"team,omitempty"` // that a service belongs to
	Roles     []slipway.Role `json:"roles,omitempty"`
	Clearance string         `json:"clearance,omitempty"`
	Created   time.Time      `json:"created"`
	By        string         `json:"by"`
	Disabled  time.Time      `json:"disabled,omitzero"`

	// Given are those of its roles that it has by its groups at an identity provider.
	Given []slipway.Role `json:"given,omitempty"`
	// Emergency is a wish to break glass that waits for a second person.
	Emergency *Emergency `json:"emergency,omitempty"`
}

// owner says whether it has the role owner, without an end: whoever has it for a time is
// not the last one who may do everything.
func (a *Account) owner() bool {
	return a.Disabled.IsZero() && slices.ContainsFunc(a.Roles, func(r slipway.Role) bool { return r.Name == slipway.RoleOwner && r.Until.IsZero() })
}

// Token is what is known of a token, which is not the token itself.
type Token struct {
	ID      string
	Hash    string // hexadecimal SHA-256 of its text
	Account string
	Note    string // what it is for
	Limit   slipway.Limit
	By      string // who issued it
	With    string // the token, or session, with which he did; empty if that is not known
	Created time.Time
	Expires time.Time // zero: never, which only the owner's token of this home does
	Revoked time.Time
	Used    time.Time // last, to the minute or so
	MFA     time.Time // when whoever asked for it showed a second factor; zero: not at all
}

// Usable says whether a token is good at a time.
func (t *Token) Usable(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// State says why a token is not good.
func (t *Token) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "a revoked token"
	case !t.Usable(now):
		return "an expired token"
	}
	return "a token, the account being disabled,"
}

// Store keeps accounts and tokens. It is safe for concurrent use; what is acknowledged is
// durable, together with its event.
type Store interface {
	// Accounts gives every account by name.
	Accounts(ctx context.Context) ([]Account, error)
	// Account finds one; NotFound if there is none.
	Account(ctx context.Context, name string) (Account, error)
	// SaveAccount adds or replaces an account.
	SaveAccount(ctx context.Context, a Account, ev slipway.Event) error
	Tokens
}

// Tokens keeps tokens.
type Tokens interface {
	// AddToken records a token, and lets the one that it replaces, if any, end at until
	// unless it ends before. Conflict if its hash or id is known.
	AddToken(ctx context.Context, t Token, replaces string, until time.Time, ev slipway.Event) error
	// RevokeToken ends a token at the time of the event; NotFound if there is none. One that
	// was revoked before keeps its time, and the event is not recorded.
	RevokeToken(ctx context.Context, id string, ev slipway.Event) error
	TokenByHash(ctx context.Context, hash string) (Token, error)
	// Tokens gives every token in the order in which they were added.
	Tokens(ctx context.Context) ([]Token, error)
	// UseTokens records when tokens, by id, were last used.
	UseTokens(ctx context.Context, used map[string]time.Time) error
}
