package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// Service is the use cases around accounts. Who may call them is decided before.
type Service struct {
	Store
	now func() time.Time

	mu sync.Mutex // one change of accounts at a time: what a change depends on stays

	usedMu sync.Mutex
	used   map[string]time.Time // since the last Flush
}

// New makes a Service.
func New(store Store, now func() time.Time) *Service {
	return &Service{Store: store, now: now, used: map[string]time.Time{}}
}

// reserved are the names by which events call those who are no accounts.
var reserved = []string{"system", "server", "gateway", "judge", "unknown", "anonymous"}

// Create adds an account without roles. It answers Conflict if there is one of that name.
func (s *Service) Create(ctx context.Context, by string, a Account) (Account, error) {
	if _, err := slipway.ParseName(a.Name); err != nil {
		return Account{}, err
	}
	switch {
	case slices.Contains(reserved, a.Name):
		return Account{}, invalid("name", "choose another", "is what records call the platform itself")
	case a.Kind != slipway.Person && a.Kind != slipway.Service:
		return Account{}, invalid("kind", "choose "+slipway.Person+" or "+slipway.Service, "is not one that there is")
	case a.Kind == slipway.Person && a.Team != "":
		return Account{}, invalid("team", "leave it out, and give the person a role in the team", "is too much: only a service belongs to a team")
	case a.Kind == slipway.Service:
		if _, err := slipway.ParseName(a.Team); err != nil {
			return Account{}, invalid("team", "name the team that the service belongs to", "is no name of a team")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, err := s.Account(ctx, a.Name); {
	case err == nil:
		return Account{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "choose another name", "there is an account %s already", a.Name)
	case !missing(err):
		return Account{}, err
	}
	a = Account{Name: a.Name, Kind: a.Kind, Team: a.Team, Created: s.now(), By: by}
	return a, s.save(ctx, by, a, "account.created", map[string]string{"kind": a.Kind, "team": a.Team})
}

// Grant gives an account a role. The same role of the same team is replaced.
func (s *Service) Grant(ctx context.Context, by, name string, r slipway.Role, reason string) (Account, error) {
	if err := r.Check(); err != nil {
		return Account{}, err
	}
	return s.change(ctx, by, name, "account.granted", detail(r, reason), func(a *Account) error {
		if a.Kind == slipway.Service && r.Team != a.Team {
			return invalid("role", "give it a role of its team "+a.Team, "is not one of its team: a service acts for that alone")
		}
		a.Roles = append(slices.DeleteFunc(a.Roles, same(r)), r)
		return nil
	})
}

// Withdraw takes a role away. It answers Conflict when nobody would be left who may do
// everything.
func (s *Service) Withdraw(ctx context.Context, by, name string, r slipway.Role, reason string) (Account, error) {
	return s.change(ctx, by, name, "account.withdrawn", detail(r, reason), func(a *Account) error {
		if !slices.ContainsFunc(a.Roles, same(r)) {
			return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform accounts show "+name, "%s has no such role", name)
		}
		a.Roles = slices.DeleteFunc(a.Roles, same(r))
		return nil
	})
}

// Clear sets the highest classification of data that an account may see.
func (s *Service) Clear(ctx context.Context, by, name, clearance, reason string) (Account, error) {
	if !slices.Contains(slipway.Classifications, clearance) {
		return Account{}, invalid("clearance", "choose one of "+strings.Join(slipway.Classifications, ", "), "is not one that there is")
	}
	return s.change(ctx, by, name, "account.cleared", map[string]string{"clearance": clearance, "reason": reason}, func(a *Account) error {
		a.Clearance = clearance
		return nil
	})
}

// Disable ends an account and all its tokens.
func (s *Service) Disable(ctx context.Context, by, name, reason string) (Account, error) {
	return s.change(ctx, by, name, "account.disabled", map[string]string{"reason": reason}, func(a *Account) error {
		if a.Disabled.IsZero() {
			a.Disabled = s.now()
		}
		return nil
	})
}

// change makes a change of one account, unless the last owner is lost by it.
func (s *Service) change(ctx context.Context, by, name, action string, detail map[string]string, alter func(*Account) error) (Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.Accounts(ctx)
	if err != nil {
		return Account{}, err
	}
	i := slices.IndexFunc(all, func(a Account) bool { return a.Name == name })
	if i < 0 {
		return Account{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform accounts list", "there is no account %.64q", name)
	}
	before := slices.ContainsFunc(all, func(a Account) bool { return a.owner() })
	if err := alter(&all[i]); err != nil {
		return Account{}, err
	}
	if before && !slices.ContainsFunc(all, func(a Account) bool { return a.owner() }) {
		return Account{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "make another account an owner first: platform accounts grant NAME owner", "%s is the last owner", name)
	}
	return all[i], s.save(ctx, by, all[i], action, detail)
}

func (s *Service) save(ctx context.Context, by string, a Account, action string, detail map[string]string) error {
	return s.SaveAccount(ctx, a, s.event(by, action, a.Name, detail))
}

func (s *Service) event(by, action, subject string, detail map[string]string) slipway.Event {
	now := s.now()
	for k, v := range detail {
		if v == "" {
			delete(detail, k)
		}
	}
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: by, Action: action, Subject: subject, Detail: detail}
}

func detail(r slipway.Role, reason string) map[string]string {
	d := map[string]string{"role": r.Name, "team": r.Team, "reason": reason}
	if !r.Until.IsZero() {
		d["until"] = r.Until.UTC().Format(time.RFC3339)
	}
	return d
}

// same finds a role by what it is and where, whenever it ends.
func same(r slipway.Role) func(slipway.Role) bool {
	return func(other slipway.Role) bool { return other.Name == r.Name && other.Team == r.Team }
}

func missing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

func invalid(field, next, message string) error {
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: field, Message: message, Next: next}
}

// NewText makes the text of a token: 256 bits from the system's source.
func NewText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	return "slip_" + base64.RawURLEncoding.EncodeToString(b)
}

// HashText is what is kept of the text of a token.
func HashText(text string) string { return slipway.DigestOf([]byte(text)).Hex() }
