// Package identitytest is the conformance suite of identity.Store.
package identitytest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func sample(digit string, created time.Time) identity.Token {
	return identity.Token{ID: "tok_" + digit, Hash: strings.Repeat(digit, 64), Account: "ada", Note: "for a test", By: "bob", With: "tok_9", Created: created, MFA: created,
		Limit: slipway.Limit{Endpoints: []string{"fraud"}}}
}

// add records a token that replaces none.
func add(ctx context.Context, s identity.Store, t identity.Token, ev slipway.Event) error {
	return s.AddToken(ctx, t, "", time.Time{}, ev)
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// Run tests a store of tokens; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	t.Run("gives back what was added, in that order", func(t *testing.T) { testOrder(t, open) })
	t.Run("adds a hash once, and its event with it", func(t *testing.T) { testOnce(t, open) })
	t.Run("revokes once", func(t *testing.T) { testRevoke(t, open) })
	t.Run("lets a token that is replaced end later, never longer", func(t *testing.T) { testReplace(t, open) })
	t.Run("remembers the last use", func(t *testing.T) { testUse(t, open) })
	t.Run("keeps accounts", func(t *testing.T) { testAccounts(t, open) })
}

func testOrder(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := sample("b", start), sample("a", start.Add(-24*time.Hour)) // the clock jumped back
	b.Limit, b.Expires = slipway.Limit{}, start.Add(time.Hour)
	if list, err := s.Tokens(ctx); err != nil || len(list) != 0 {
		t.Fatalf("an empty store lists %v, %v", list, err)
	}
	for _, tok := range []identity.Token{a, b} {
		if err := add(ctx, s, tok, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Tokens(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]identity.Token{a, b}, list); diff != "" {
		t.Error(diff)
	}
	got, err := s.TokenByHash(ctx, b.Hash)
	if diff := cmp.Diff(b, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = s.TokenByHash(ctx, strings.Repeat("c", 64))
	wantCode(t, "an unknown hash", err, slipway.CodeNotFound)
}

func testOnce(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, events := open(t)
	var added atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			err := add(t.Context(), s, sample("a", start), eventtest.At(start, "ada"))
			if err == nil {
				added.Add(1)
				return
			}
			wantCode(t, "the same hash", err, slipway.CodeConflict)
		})
	}
	wg.Wait()
	recorded := eventtest.All(t, events)
	if added.Load() != 1 || len(recorded) != 1 {
		t.Fatalf("added %d times with %d events, want once", added.Load(), len(recorded))
	}
	if err := add(t.Context(), s, sample("b", start), recorded[0].Event); err == nil {
		t.Error("an event was recorded twice")
	}
	_, err := s.TokenByHash(t.Context(), strings.Repeat("b", 64))
	wantCode(t, "a token whose event could not be recorded", err, slipway.CodeNotFound)
}

func testRevoke(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	created, revoked := eventtest.At(start, "ada"), eventtest.At(start.Add(time.Minute), "ada")
	want := sample("a", start)
	want.Revoked = revoked.Time
	if err := add(ctx, s, sample("a", start), created); err != nil {
		t.Fatal(err)
	}
	for _, ev := range []slipway.Event{revoked, eventtest.At(start.Add(time.Hour), "ada")} {
		if err := s.RevokeToken(ctx, want.ID, ev); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.TokenByHash(ctx, want.Hash)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	wantCode(t, "revoking an unknown id", s.RevokeToken(ctx, "tok_c", eventtest.At(start, "eve")), slipway.CodeNotFound)
	if diff := cmp.Diff([]event.Event{{Seq: 1, Event: created}, {Seq: 2, Event: revoked}}, eventtest.All(t, events)); diff != "" {
		t.Error(diff)
	}
}

func testReplace(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	for i, tt := range []struct{ had, until, want time.Time }{
		{time.Time{}, start.Add(time.Hour), start.Add(time.Hour)},
		{start.Add(2 * time.Hour), start.Add(time.Hour), start.Add(time.Hour)},
		{start.Add(time.Minute), start.Add(time.Hour), start.Add(time.Minute)},
	} {
		old, next := sample(string(rune('a'+2*i)), start), sample(string(rune('b'+2*i)), start)
		old.Expires = tt.had
		if err := add(ctx, s, old, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
		if err := s.AddToken(ctx, next, old.ID, tt.until, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
		got, err := s.TokenByHash(ctx, old.Hash)
		if err != nil || !got.Expires.Equal(tt.want) {
			t.Errorf("%v replaced until %v ends %v, %v, want %v", tt.had, tt.until, got.Expires, err, tt.want)
		}
	}
}

func testUse(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	if err := add(ctx, s, sample("a", start), eventtest.At(start, "ada")); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{start.Add(time.Hour), start} {
		if err := s.UseTokens(ctx, map[string]time.Time{"tok_a": at, "tok_unknown": at}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.TokenByHash(ctx, strings.Repeat("a", 64))
	if err != nil || !got.Used.Equal(start.Add(time.Hour)) {
		t.Errorf("last used %v, %v", got.Used, err)
	}
	if n := len(eventtest.All(t, events)); n != 1 {
		t.Errorf("%d events, want that of the token alone", n)
	}
}

func testAccounts(t *testing.T, open func(t *testing.T) (identity.Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	ada := identity.Account{Name: "ada", Kind: slipway.Person, Clearance: "restricted", Created: start, By: "owner",
		Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "risk"}, {Name: slipway.RoleAuditor, Until: start.Add(time.Hour)}}}
	bot := identity.Account{Name: "bot", Kind: slipway.Service, Team: "risk", Created: start, By: "ada"}
	_, err := s.Account(ctx, "ada")
	wantCode(t, "an unknown account", err, slipway.CodeNotFound)
	for _, a := range []identity.Account{bot, {Name: "ada", Kind: slipway.Person, Created: start}, ada} {
		if err := s.SaveAccount(ctx, a, eventtest.At(start, "owner")); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Accounts(ctx)
	if diff := cmp.Diff([]identity.Account{ada, bot}, list); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	got, err := s.Account(ctx, "ada")
	if diff := cmp.Diff(ada, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	recorded := eventtest.All(t, events)
	if len(recorded) != 3 {
		t.Errorf("%d events of 3 changes", len(recorded))
	}
	if err := s.SaveAccount(ctx, bot, recorded[0].Event); err == nil {
		t.Error("an event was recorded twice")
	}
}
