package password_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
)

var quick = password.Params{Memory: 64, Passes: 1, Lanes: 1}

func TestVerify(t *testing.T) {
	h := password.NewHasher(quick, 2)
	ctx := t.Context()
	hash, err := h.Hash(ctx, "four words of mine")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatal(hash, err)
	}
	again, err := h.Hash(ctx, "four words of mine")
	if err != nil || again == hash {
		t.Error("two hashes have one salt")
	}
	composed, err := h.Hash(ctx, "four words of caf\u00e9")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text, hash string
		want       bool
	}{
		"right":                      {"four words of mine", hash, true},
		"wrong":                      {"four words of yours", hash, false},
		"empty":                      {"", hash, false},
		"typed on another keyboard":  {"four words of cafe\u0301", composed, true},
		"of nobody":                  {"four words of mine", "", false},
		"what the dummy is made for": {strings.Repeat("\x00", 32), "", false},
	} {
		before := h.Work()
		got, err := h.Verify(ctx, c.text, c.hash)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if n := h.Work() - before; n != 1 {
			t.Errorf("%s: %d hashes were computed: the time tells who has an account", name, n)
		}
	}
}

func TestVerifyRefusesDamage(t *testing.T) {
	h := password.NewHasher(quick, 1)
	hash, err := h.Hash(t.Context(), "four words of mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"x", "$argon2i" + hash[9:], strings.Replace(hash, "m=64", "m=99999999", 1), strings.Replace(hash, "t=1", "t=0", 1),
		strings.Replace(hash, "v=19", "v=16", 1), hash[:len(hash)-4], hash + "$"} {
		if ok, err := h.Verify(t.Context(), "four words of mine", bad); ok || err == nil {
			t.Errorf("%s: %v, %v", bad, ok, err)
		}
	}
}

// TestBounded: no more hashes at a time than there are slots; who waits too long is told.
func TestBounded(t *testing.T) {
	h := password.NewHasher(password.Params{Memory: 8 << 10, Passes: 2, Lanes: 1}, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := h.Hash(context.Background(), "four words of mine"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // a slot is free and the context is over: either may be seen first
		if _, err := h.Hash(gone, "four words of mine"); err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeUnavailable}) {
			t.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"tidal copper lamp seven":  "",
		"short":                    "too short",
		"elevenchars":              "too short",
		"Password1234!":            "tries first",
		"qwertyuiop123":            "tries first",
		"aaaaaaaaaaaaaa":           "tries first",
		"123456789012":             "tries first",
		"adalovelace1":             "account's name",
		"my adalovelace password":  "account's name",
		strings.Repeat("ab ", 50):  "too long",
		"caf\xff caf\xff caf\xff ": "too long",
	} {
		err := password.Check(text, "adalovelace")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !errors.Is(err, &slipway.Error{Code: slipway.CodePassword})) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("tidal copper lamp seven", "ada")
	f.Fuzz(func(t *testing.T, text, account string) {
		if err := password.Check(text, account); err != nil && len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("a password is in a message: %v", err)
		}
	})
}

// BenchmarkVerify is what one sign-in costs.
func BenchmarkVerify(b *testing.B) {
	h := password.NewHasher(password.Usual, 2)
	for b.Loop() {
		if ok, err := h.Verify(b.Context(), "four words of mine", ""); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
