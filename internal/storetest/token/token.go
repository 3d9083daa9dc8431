// Package tokentest is the conformance suite of the store of tokens.
package tokentest

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
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/token"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Store keeps tokens, as token.Store does.
type Store interface {
	Add(ctx context.Context, t token.Token, ev slipway.Event) error
	ByHash(ctx context.Context, hash string) (token.Token, error)
	List(ctx context.Context) ([]token.Token, error)
	Revoke(ctx context.Context, hash string, ev slipway.Event) error
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func sample(digit string, created time.Time) token.Token {
	return token.Token{Hash: strings.Repeat(digit, 64), Principal: "ada", Scope: "owner", Created: created}
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// Run tests a store of tokens; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	t.Run("gives back what was added, in that order", func(t *testing.T) { testOrder(t, open) })
	t.Run("adds a hash once, and its event with it", func(t *testing.T) { testOnce(t, open) })
	t.Run("revokes once", func(t *testing.T) { testRevoke(t, open) })
}

func testOrder(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	a, b := sample("b", start), sample("a", start.Add(-24*time.Hour)) // the clock jumped back
	b.Scope, b.Expires = "caller", start.Add(time.Hour)
	if list, err := s.List(ctx); err != nil || len(list) != 0 {
		t.Fatalf("an empty store lists %v, %v", list, err)
	}
	for _, tok := range []token.Token{a, b} {
		if err := s.Add(ctx, tok, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]token.Token{a, b}, list); diff != "" {
		t.Error(diff)
	}
	got, err := s.ByHash(ctx, b.Hash)
	if diff := cmp.Diff(b, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = s.ByHash(ctx, strings.Repeat("c", 64))
	wantCode(t, "an unknown hash", err, slipway.CodeNotFound)
}

func testOnce(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, events := open(t)
	var added atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			err := s.Add(t.Context(), sample("a", start), eventtest.At(start, "ada"))
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
	if err := s.Add(t.Context(), sample("b", start), recorded[0].Event); err == nil {
		t.Error("an event was recorded twice")
	}
	_, err := s.ByHash(t.Context(), strings.Repeat("b", 64))
	wantCode(t, "a token whose event could not be recorded", err, slipway.CodeNotFound)
}

func testRevoke(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	created, revoked := eventtest.At(start, "ada"), eventtest.At(start.Add(time.Minute), "ada")
	want := sample("a", start)
	want.Revoked = revoked.Time
	if err := s.Add(ctx, sample("a", start), created); err != nil {
		t.Fatal(err)
	}
	for _, ev := range []slipway.Event{revoked, eventtest.At(start.Add(time.Hour), "ada")} {
		if err := s.Revoke(ctx, want.Hash, ev); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ByHash(ctx, want.Hash)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	wantCode(t, "revoking an unknown hash", s.Revoke(ctx, strings.Repeat("c", 64), eventtest.At(start, "eve")), slipway.CodeNotFound)
	if diff := cmp.Diff([]event.Event{{Seq: 1, Event: created}, {Seq: 2, Event: revoked}}, eventtest.All(t, events)); diff != "" {
		t.Error(diff)
	}
}
