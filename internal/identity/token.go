package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
)

// How long a token may be good: hours for whoever changes something, and months for a
// service that only calls endpoints.
const (
	maxChanging = 24 * time.Hour
	maxCalling  = 90 * 24 * time.Hour

	defaultChanging = 8 * time.Hour
	defaultCalling  = 30 * 24 * time.Hour
	maxOverlap      = 7 * 24 * time.Hour
)

// lifetimes are the longest and the usual one of an account's tokens.
func (a *Account) lifetimes() (longest, usual time.Duration) {
	changes := a.Kind != slipway.Service || slices.ContainsFunc(a.Roles, func(r slipway.Role) bool { return r.Name != slipway.RoleCaller })
	if changes {
		return maxChanging, defaultChanging
	}
	return maxCalling, defaultCalling
}

// Usual is how long a token of an account lasts unless more or less is wished for.
func (s *Service) Usual(ctx context.Context, account string) (time.Duration, error) {
	a, err := s.Account(ctx, account)
	_, usual := a.lifetimes()
	return usual, err
}

// Wish is what a token shall be.
type Wish struct {
	Account  string
	Lifetime time.Duration // 0: the usual one
	Limit    slipway.Limit
	Note     string
	MFA      time.Time
	With     string // the token of whoever wishes it
}

// maxLimits bounds the names of one list of a limit.
const maxLimits = 100

// check refuses limits that could never be met, and notes that would break a line.
func (w *Wish) check() error {
	if len(w.Limit.Actions)+len(w.Limit.Teams)+len(w.Limit.Endpoints) > maxLimits {
		return invalid("limit", fmt.Sprintf("give at most %d", maxLimits), "has too many names")
	}
	for _, team := range w.Limit.Teams {
		if _, err := slipway.ParseName(team); err != nil {
			return invalid("limit.teams", slipway.AsError(err).Next, "has a name that no team can have")
		}
	}
	for _, key := range w.Limit.Endpoints {
		if _, _, err := slipway.ParseEndpoint(key); err != nil {
			return invalid("limit.endpoints", slipway.AsError(err).Next, "has a name that no endpoint can have")
		}
	}
	if w.Note != slipway.OneLine(w.Note, len(w.Note)) {
		return invalid("note", "leave them out", "has control characters")
	}
	return nil
}

// Issue makes a token. Its text is given once and kept nowhere.
func (s *Service) Issue(ctx context.Context, by string, w Wish) (text string, t Token, err error) {
	a, err := s.active(ctx, w.Account)
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return "", Token{}, err
	}
	return s.issue(ctx, by, a, w, "", time.Time{})
}

// Rotate makes a token like another, which stays good for the overlap, so that nobody who
// uses it is locked out while it is replaced.
func (s *Service) Rotate(ctx context.Context, by, with, id string, overlap time.Duration) (text string, t Token, err error) {
	old, err := s.Token(ctx, id)
	if err != nil {
		return "", Token{}, err
	}
	now := s.now()
	if !old.Usable(now) {
		return "", Token{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "issue a new one: platform tokens create "+old.Account, "the token %s has ended", id)
	}
	if overlap < 0 || overlap > maxOverlap {
		return "", Token{}, invalid("overlap", "give at most "+maxOverlap.String(), "is longer than that")
	}
	a, err := s.active(ctx, old.Account)
	if err != nil {
		return "", Token{}, err
	}
	w := Wish{Account: old.Account, Limit: old.Limit, Note: old.Note, With: with}
	if !old.Expires.IsZero() {
		w.Lifetime = old.Expires.Sub(old.Created)
	}
	return s.issue(ctx, by, a, w, id, now.Add(overlap))
}

func (s *Service) issue(ctx context.Context, by string, a Account, w Wish, replaces string, until time.Time) (string, Token, error) {
	longest, usual := a.lifetimes()
	if w.Lifetime == 0 {
		w.Lifetime = usual
	}
	if w.Lifetime < time.Minute || w.Lifetime > longest {
		return "", Token{}, invalid("lifetime", fmt.Sprintf("give between 1m and %v", longest), "is not what a token of "+a.Name+" may have")
	}
	now, text := s.now(), NewText()
	t := Token{ID: slipway.NewID("tok", now), Hash: HashText(text), Account: a.Name, Note: w.Note, Limit: w.Limit, By: by, With: w.With, Created: now, Expires: now.Add(w.Lifetime), MFA: w.MFA}
	detail := map[string]string{"token": t.ID, "expires": t.Expires.UTC().Format(time.RFC3339), "replaces": replaces, "with": w.With, "note": w.Note,
		"actions": fmt.Sprintf("%.500s", joined(w.Limit.Actions)), "teams": joined(w.Limit.Teams), "endpoints": joined(w.Limit.Endpoints)}
	if err := s.AddToken(ctx, t, replaces, until, s.event(by, "token.issued", a.Name, detail)); err != nil {
		return "", Token{}, err
	}
	return text, t, nil
}

func joined(words []string) string {
	out := ""
	for i, w := range words {
		if i > 0 {
			out += " "
		}
		out += w
	}
	return out
}

// Revoke ends a token at once.
func (s *Service) Revoke(ctx context.Context, by, id, reason string) error {
	t, err := s.Token(ctx, id)
	if err != nil {
		return err
	}
	return s.RevokeToken(ctx, id, s.event(by, "token.revoked", t.Account, map[string]string{"token": id, "reason": reason}))
}

// Made are the tokens that are good still and were made with a token, or with one of those.
func (s *Service) Made(ctx context.Context, id string) ([]Token, error) {
	all, err := s.Tokens(ctx)
	var out []Token
	from := map[string]bool{id: true}
	slices.SortFunc(all, func(a, b Token) int { return a.Created.Compare(b.Created) })
	for _, t := range all {
		if t.With == "" || !from[t.With] {
			continue
		}
		from[t.ID] = true
		if t.Usable(s.now()) {
			out = append(out, t)
		}
	}
	return out, err
}

// Token finds a token by its id.
func (s *Service) Token(ctx context.Context, id string) (Token, error) {
	all, err := s.Tokens(ctx)
	if err != nil {
		return Token{}, err
	}
	i := slices.IndexFunc(all, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return Token{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform tokens list", "there is no token %.64q", id)
	}
	return all[i], nil
}

// ByText finds a token by its text, whether it is good or not.
func (s *Service) ByText(ctx context.Context, text string) (Token, error) {
	return s.TokenByHash(ctx, HashText(text))
}

// active finds an account that is not disabled.
func (s *Service) active(ctx context.Context, name string) (Account, error) {
	a, err := s.Account(ctx, name)
	if err == nil && !a.Disabled.IsZero() {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform accounts show "+name, "the account %s is disabled", name)
	}
	return a, err
}

// Authenticate gives the principal that a token stands for. It answers Unauthorized, and
// does not say why, for one that is unknown, revoked, expired or of a disabled account.
func (s *Service) Authenticate(ctx context.Context, text string) (slipway.Principal, error) {
	t, err := s.TokenByHash(ctx, HashText(text))
	a, found := s.Account(ctx, t.Account) // for a token that is unknown, too: it takes as long
	if err == nil {
		err = found
	}
	now := s.now()
	switch {
	case err != nil && !missing(err):
		return slipway.Principal{}, err
	case err != nil || !t.Usable(now) || !a.Disabled.IsZero():
		return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
	}
	s.Use(t.ID, now)
	return a.Principal(t), nil
}

// Principal is the account as a token stands for it.
func (a *Account) Principal(t Token) slipway.Principal {
	return slipway.Principal{ID: a.Name, Kind: a.Kind, Roles: a.Roles, Clearance: a.Clearance, Limit: t.Limit, Token: t.ID, MFA: t.MFA, Home: t.Expires.IsZero()}
}

// Use remembers when a token was last used; Flush writes it down.
func (s *Service) Use(id string, at time.Time) {
	s.usedMu.Lock()
	defer s.usedMu.Unlock()
	if s.used[id].Before(at) {
		s.used[id] = at
	}
}

// Flush records the last uses of tokens. What cannot be recorded is kept for the next time.
func (s *Service) Flush(ctx context.Context) error {
	s.usedMu.Lock()
	used := s.used
	s.used = map[string]time.Time{}
	s.usedMu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := s.UseTokens(ctx, used)
	if err != nil {
		for id, at := range maps.All(used) {
			s.Use(id, at)
		}
	}
	return err
}
