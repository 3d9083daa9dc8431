// Package keystest is the conformance suite of keys.Store and keys.ObjectStore.
package keystest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Store is what is tested.
type Store interface {
	keys.Store
	keys.ObjectStore
	keys.SecretStore
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// Run tests a store; open gives an empty one and the record of its events.
func Run(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	t.Run("lets one key of a space be active", func(t *testing.T) { testKeys(t, open) })
	t.Run("takes no key back to an earlier state", func(t *testing.T) { testStates(t, open) })
	t.Run("remembers what was sealed with a key", func(t *testing.T) { testUses(t, open) })
	t.Run("changes keys of objects all or none", func(t *testing.T) { testObjects(t, open) })
	t.Run("replaces a secret only as it was read", func(t *testing.T) { testSecrets(t, open) })
	t.Run("lets one of many that race win", func(t *testing.T) { testRace(t, open) })
}

func key(s keys.Space, version int) keys.Key {
	return keys.Key{Space: s, Version: version, State: keys.Active, Wrapper: "slipway-x", Wrapped: []byte{1, 0, 255}, Created: start, Changed: start}
}

func add(t *testing.T, s Store, k keys.Key) {
	t.Helper()
	if err := s.AddKey(t.Context(), k, eventtest.At(start, string(k.Space))); err != nil {
		t.Fatal(err)
	}
}

func testKeys(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, events := open(t)
	a1, a2, b1 := key("team/a", 1), key("team/a", 2), key("team/b", 1)
	a2.Created = start.Add(time.Second)
	a2.Changed = a2.Created
	for _, k := range []keys.Key{a1, b1, a2} {
		add(t, s, k)
	}
	wantCode(t, "the same version", s.AddKey(t.Context(), a2, eventtest.At(start, "a")), slipway.CodeConflict)
	a1.State, a1.Changed = keys.DecryptOnly, a2.Created
	for space, want := range map[keys.Space][]keys.Key{"": {a1, a2, b1}, "team/a": {a1, a2}, "team/c": nil} {
		got, err := s.Keys(t.Context(), space)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", space, err, diff)
		}
	}
	if n := len(eventtest.All(t, events)); n != 3 {
		t.Errorf("%d events", n)
	}
}

func testStates(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, events := open(t)
	k := key("team/a", 1)
	add(t, s, k)
	for _, state := range []keys.State{keys.DecryptOnly, keys.Leaving, keys.Condemned, keys.Destroyed, keys.Destroyed} {
		k.State, k.Wrapped, k.Changed = state, []byte{}, start.Add(time.Hour)
		if err := s.SetKeys(t.Context(), []keys.Key{k}, eventtest.At(start, "a")); err != nil {
			t.Fatal(err)
		}
	}
	want, err := s.Keys(t.Context(), "")
	if err != nil || len(want) != 1 || want[0].State != keys.Destroyed || len(want[0].Wrapped) != 0 {
		t.Fatalf("%v, %v", want, err)
	}
	other := key("team/b", 1)
	add(t, s, other)
	other.State, k.State = keys.Condemned, keys.Active
	wantCode(t, "back to active, beside another", s.SetKeys(t.Context(), []keys.Key{other, k}, eventtest.At(start, "a")), slipway.CodeConflict)
	if got, err := s.Keys(t.Context(), "team/b"); err != nil || got[0].State != keys.Active {
		t.Errorf("half of it is there: %v, %v", got, err)
	}
	wantCode(t, "one that is not there", s.SetKeys(t.Context(), []keys.Key{key("team/c", 1)}, eventtest.At(start, "a")), slipway.CodeNotFound)
	if n := len(eventtest.All(t, events)); n != 7 {
		t.Errorf("%d events", n)
	}
}

func testUses(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, _ := open(t)
	for _, kind := range []string{"secret", "object-key", "secret"} {
		if err := s.Use(t.Context(), "team/a", 1, kind); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range map[int][]string{1: {"object-key", "secret"}, 2: nil} {
		got, err := s.Uses(t.Context(), "team/a", version)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%d: %v %s", version, err, diff)
		}
	}
}

// sealed is what a version might have sealed.
func sealed(object string, s keys.Space, version byte) keys.ObjectKey {
	return keys.ObjectKey{Object: object, Space: s, Sealed: append([]byte{1, 0, 0, 0, version}, object...)}
}

func testObjects(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, _ := open(t)
	ctx := t.Context()
	change := func(what, code string, drop, add []keys.ObjectKey) {
		t.Helper()
		err := s.ChangeObjectKeys(ctx, drop, add)
		if code == "" && err != nil || code != "" && !errors.Is(err, &slipway.Error{Code: code}) {
			t.Errorf("%s: %v, want %q", what, err, code)
		}
	}
	x, y, z := sealed("x", "team/a", 1), sealed("y", "team/a", 1), sealed("z", "team/b", 1)
	change("without a data key", slipway.CodeConflict, nil, []keys.ObjectKey{x})
	add(t, s, key("team/a", 1))
	add(t, s, key("team/b", 1))
	change("the first", "", nil, []keys.ObjectKey{x, y, z})
	change("one that is there", slipway.CodeConflict, nil, []keys.ObjectKey{sealed("w", "team/a", 1), x})
	change("dropping what has changed", slipway.CodeConflict, []keys.ObjectKey{y, sealed("x", "team/a", 2)}, nil)
	add(t, s, key("team/a", 2))
	change("with a key that is not active", slipway.CodeConflict, nil, []keys.ObjectKey{sealed("w", "team/a", 1)})
	some, all, err := s.SpaceObjectKeys(ctx, "team/a", 2, 1)
	if diff := cmp.Diff([]keys.ObjectKey{x}, some); err != nil || diff != "" || all != 2 {
		t.Errorf("%d, %v %s", all, err, diff)
	}
	change("resealing one", "", []keys.ObjectKey{x}, []keys.ObjectKey{sealed("x", "team/a", 2)})
	some, all, err = s.SpaceObjectKeys(ctx, "team/a", 2, 9)
	if diff := cmp.Diff([]keys.ObjectKey{y}, some); err != nil || diff != "" || all != 1 {
		t.Errorf("%d, %v %s", all, err, diff)
	}
	many := make([]string, 450)
	for i := range many {
		many[i] = strings.Repeat("q", i+1)
	}
	got, err := s.ObjectKeys(ctx, append(many, "x", "z", "none")...)
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func testRace(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, _ := open(t)
	add(t, s, key("team/a", 1))
	var mu sync.Mutex
	var wg sync.WaitGroup
	won := 0
	for i := range byte(12) {
		wg.Go(func() {
			k := sealed("x", "team/a", 1)
			k.Sealed = append(k.Sealed, i)
			err := s.ChangeObjectKeys(context.WithoutCancel(t.Context()), nil, []keys.ObjectKey{k})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d have won", won)
	}
}
