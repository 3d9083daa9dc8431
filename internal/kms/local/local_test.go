package local_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/kms/local"
	keyservicetest "github.com/slipway-ml/slipway/internal/storetest/keyservice"
)

func options(t *testing.T) local.Options {
	t.Helper()
	dir := t.TempDir()
	return local.Options{Keyset: filepath.Join(dir, "keys", "keyset.sealed"), RootKey: filepath.Join(dir, "elsewhere", "root.key")}
}

func open(t *testing.T, o local.Options) *local.Service {
	t.Helper()
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestService(t *testing.T) {
	o := options(t)
	keyservicetest.Run(t, func(t *testing.T) keys.Service { return open(t, o) })
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	o := options(t)
	if err := open(t, o).Create(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	root := read(t, o.RootKey)
	for what, c := range map[string]struct {
		spoil func()
		o     func(o *local.Options)
		says  string
	}{
		"no root key": {func() { _ = os.Remove(o.RootKey) }, nil, "missing"},
		"another root key": {func() {
			write(t, o.RootKey, read(t, func() string { p := options(t); open(t, p); return p.RootKey }()))
		}, nil, "is not the one"},
		"a root key for all":    {func() { _ = os.Chmod(o.RootKey, 0o644) }, nil, "others"},
		"something else":        {func() { write(t, o.RootKey, []byte("-----BEGIN")) }, nil, "is no key file"},
		"something large":       {func() { write(t, o.RootKey, bytes.Repeat([]byte("x"), 5000)) }, nil, "too large"},
		"an unwanted phrase":    {func() {}, func(o *local.Options) { o.Passphrase = []byte("x") }, "not sealed by a passphrase"},
		"a directory":           {func() {}, func(o *local.Options) { o.RootKey = filepath.Dir(o.RootKey) }, "key file"},
		"a keyset that is cut":  {func() { write(t, o.Keyset, read(t, o.Keyset)[:20]) }, nil, "is not the one"},
		"a keyset that is lost": {func() { _ = os.Remove(o.Keyset) }, func(o *local.Options) { o.Existing = true }, "missing"},
	} {
		keyset := read(t, o.Keyset)
		c.spoil()
		with := o
		if c.o != nil {
			c.o(&with)
		}
		_, err := local.Open(with)
		wantCode(t, what, err, slipway.CodeKeyFile)
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", what, err, c.says)
		}
		_ = os.Remove(o.RootKey)
		write(t, o.RootKey, root)
		write(t, o.Keyset, keyset)
	}
	open(t, o)
}

func TestPassphrase(t *testing.T) {
	o := options(t)
	o.Passphrase = []byte("right")
	open(t, o)
	for _, wrong := range [][]byte{nil, []byte("wrong"), {}} {
		with := o
		with.Passphrase = wrong
		_, err := local.Open(with)
		wantCode(t, string(wrong), err, slipway.CodeKeyFile)
	}
	open(t, o)
}

// A copy of the keyset that was made before a key was destroyed is worthless with the root
// key that is left.
func TestOldKeyset(t *testing.T) {
	o := options(t)
	s := open(t, o)
	for _, n := range []string{"shredded", "stays"} {
		if err := s.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	before, root := read(t, o.Keyset), read(t, o.RootKey)
	if err := s.Destroy(t.Context(), "shredded"); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(root, read(t, o.RootKey)) {
		t.Fatal("the root key stayed")
	}
	now := read(t, o.Keyset)
	write(t, o.Keyset, before)
	_, err := local.Open(o)
	wantCode(t, "the old keyset", err, slipway.CodeKeyFile)
	wantCode(t, "a root key that changed behind its back", func() error { write(t, o.RootKey, root); return s.Check(t.Context()) }(), slipway.CodeKeyFile)
	write(t, o.Keyset, now)
	_, err = local.Open(o)
	wantCode(t, "the old root key", err, slipway.CodeKeyFile)
}

// Whatever moment a replacement of the root key was interrupted at, the next start opens.
func TestInterrupted(t *testing.T) {
	o := options(t)
	s := open(t, o)
	if err := s.Create(t.Context(), "stays"); err != nil {
		t.Fatal(err)
	}
	wrapped, err := s.Wrap(t.Context(), "stays", []byte("data key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	oldRoot, oldSet := read(t, o.RootKey), read(t, o.Keyset)
	if err := s.Destroy(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	newRoot, newSet := read(t, o.RootKey), read(t, o.Keyset)
	for what, at := range map[string][3][]byte{ // root key, next root key, keyset
		"before the keyset":         {oldRoot, newRoot, oldSet},
		"half of the next root key": {oldRoot, newRoot[:10], oldSet},
		"after the keyset":          {oldRoot, newRoot, newSet},
		"after the overwriting":     {bytes.Repeat([]byte("0"), len(oldRoot)), newRoot, newSet},
		"in the overwriting":        {append(bytes.Repeat([]byte("0"), 9), oldRoot[9:]...), newRoot, newSet},
		"at the end":                {newRoot, nil, newSet},
	} {
		write(t, o.RootKey, at[0])
		_ = os.Remove(o.RootKey + ".next")
		if at[1] != nil {
			write(t, o.RootKey+".next", at[1])
		}
		write(t, o.Keyset, at[2])
		for range 2 { // and the start after that
			s, err := local.Open(o)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				break
			}
			if got, err := s.Unwrap(t.Context(), "stays", wrapped, nil); err != nil || string(got) != "data key" {
				t.Errorf("%s: %q, %v", what, got, err)
			}
			if _, err := os.Stat(o.RootKey + ".next"); err == nil {
				t.Errorf("%s: the next root key was left", what)
			}
		}
	}
}

// Two processes that use one keyset, as a paused server and its successor may, lose nothing
// that the other has done.
func TestTwoProcesses(t *testing.T) {
	o := options(t)
	a := open(t, o)
	b := open(t, o)
	ctx := t.Context()
	wrap := func(s *local.Service, name string) []byte {
		t.Helper()
		wrapped, err := s.Wrap(ctx, name, []byte("data key"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	if err := errors.Join(a.Create(ctx, "of-a"), b.Create(ctx, "of-b"), b.Create(ctx, "gone")); err != nil {
		t.Fatal(err)
	}
	ofA, ofB, gone := wrap(a, "of-a"), wrap(b, "of-b"), wrap(a, "gone")
	if err := errors.Join(b.Destroy(ctx, "gone"), a.Create(ctx, "later")); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*local.Service{a, b, open(t, o)} {
		for name, wrapped := range map[string][]byte{"of-a": ofA, "of-b": ofB} {
			if got, err := s.Unwrap(ctx, name, wrapped, nil); err != nil || string(got) != "data key" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
	for _, s := range []*local.Service{a, b, open(t, o)} {
		_, err := s.Unwrap(ctx, "gone", gone, nil)
		wantCode(t, "one that was destroyed", err, slipway.CodeShredded)
	}
}

func FuzzRootKey(f *testing.F) {
	o := local.Options{Keyset: filepath.Join(f.TempDir(), "keyset"), RootKey: filepath.Join(f.TempDir(), "root")}
	if _, err := local.Open(o); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(o.RootKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"sealed":"AAAA","salt":"AAAA","passes":1,"kib":1}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := local.ParseRoot("root.key", text, nil)
		if (err == nil) != (len(root) == 32) {
			t.Errorf("%d bytes, %v", len(root), err)
		}
	})
}
