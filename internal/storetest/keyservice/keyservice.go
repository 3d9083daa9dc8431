// Package keyservicetest is the conformance suite of keys.Service.
package keyservicetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
)

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v (%v), want %s", what, err, errors.Unwrap(err), code)
	}
}

// Run tests a key service; open gives one, and each further call of it the same one as
// another process would find it.
func Run(t *testing.T, open func(t *testing.T) keys.Service) {
	names := 0
	name := func() string { names++; return fmt.Sprintf("slipway-team_risk-%d-abcdef", names) }
	t.Run("unwraps what it wrapped, after a restart too", func(t *testing.T) { testWrap(t, open, name()) })
	t.Run("refuses another label, another key and other bytes", func(t *testing.T) { testRefuse(t, open, name(), name()) })
	t.Run("destroys keys for good, and no others", func(t *testing.T) { testDestroy(t, open, name(), name(), name()) })
	t.Run("serves many at once", func(t *testing.T) { testConcurrently(t, open, name) })
}

func create(t *testing.T, s keys.Service, name string) {
	t.Helper()
	if err := s.Create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func wrap(t *testing.T, s keys.Service, name string, plain, label []byte) []byte {
	t.Helper()
	wrapped, err := s.Wrap(t.Context(), name, plain, label)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, plain) {
		t.Fatal("wrapped bytes hold the key")
	}
	return wrapped
}

var plain, label = bytes.Repeat([]byte{0, 0xff, 7, 13}, 8), []byte("risk\x00\xff1")

func testWrap(t *testing.T, open func(t *testing.T) keys.Service, name string) {
	s := open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, s, name)
	wrapped := wrap(t, s, name, plain, label)
	create(t, s, name) // again: it stays
	again := open(t)
	for _, s := range []keys.Service{s, again} {
		if got, err := s.Unwrap(t.Context(), name, wrapped, label); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapped %x, %v", got, err)
		}
	}
	if bytes.Equal(wrapped, wrap(t, s, name, plain, label)) {
		t.Error("the same bytes are wrapped alike")
	}
}

func testRefuse(t *testing.T, open func(t *testing.T) keys.Service, name, other string) {
	s := open(t)
	create(t, s, name)
	create(t, s, other)
	wrapped := wrap(t, s, name, plain, label)
	for what, err := range map[string]func() error{
		"another label": func() error {
			_, err := s.Unwrap(t.Context(), name, wrapped, append([]byte("x"), label...))
			return err
		},
		"no label":    func() error { _, err := s.Unwrap(t.Context(), name, wrapped, nil); return err },
		"another key": func() error { _, err := s.Unwrap(t.Context(), other, wrapped, label); return err },
		"cut":         func() error { _, err := s.Unwrap(t.Context(), name, wrapped[:len(wrapped)-1], label); return err },
		"nothing":     func() error { _, err := s.Unwrap(t.Context(), name, nil, label); return err },
	} {
		wantCode(t, what, err(), slipway.CodeSealed)
	}
	for i := range wrapped {
		flipped := bytes.Clone(wrapped)
		flipped[i] ^= 1
		if got, err := s.Unwrap(t.Context(), name, flipped, label); err == nil && !bytes.Equal(got, plain) {
			t.Errorf("byte %d was flipped, and something else came", i)
		}
	}
	_, err := s.Unwrap(t.Context(), "slipway-never-was", wrapped, label)
	if err == nil {
		t.Error("a key that never was unwraps")
	}
}

func testDestroy(t *testing.T, open func(t *testing.T) keys.Service, one, two, stays string) {
	s := open(t)
	wrapped := map[string][]byte{}
	for _, n := range []string{one, two, stays} {
		create(t, s, n)
		wrapped[n] = wrap(t, s, n, plain, label)
	}
	for range 2 { // again: nothing happens
		if err := s.Destroy(t.Context(), one, two, "slipway-team_risk-0-neverthere"); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []keys.Service{s, open(t)} {
		for _, n := range []string{one, two} {
			_, err := s.Unwrap(t.Context(), n, wrapped[n], label)
			wantCode(t, "unwrap with "+n, err, slipway.CodeShredded)
			_, err = s.Wrap(t.Context(), n, plain, label)
			wantCode(t, "wrap with "+n, err, slipway.CodeShredded)
		}
		if got, err := s.Unwrap(t.Context(), stays, wrapped[stays], label); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("another key was destroyed too: %v", err)
		}
	}
}

func testConcurrently(t *testing.T, open func(t *testing.T) keys.Service, name func() string) {
	s := open(t)
	shared := name()
	create(t, s, shared)
	var wg sync.WaitGroup
	for range 8 {
		own := name()
		wg.Go(func() {
			for _, n := range []string{own, shared} {
				err := s.Create(t.Context(), n)
				var wrapped, got []byte
				if err == nil {
					wrapped, err = s.Wrap(t.Context(), n, plain, label)
				}
				if err == nil {
					got, err = s.Unwrap(t.Context(), n, wrapped, label)
				}
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s: %v", n, err)
				}
			}
			if err := s.Destroy(t.Context(), own); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
