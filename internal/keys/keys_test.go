package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
)

// clock is set by the test.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time        { return time.UnixMicro(1_790_000_000_000_000 + c.us.Load()) }
func (c *clock) pass(by time.Duration) { c.us.Add(by.Microseconds()) }

type fixture struct {
	*keys.Ring
	objects *keys.Objects
	service *service
	store   *memory
	clock   *clock
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{service: &service{keys: map[string]*subtle.AESGCM{}}, store: &memory{uses: map[string][]string{}}, clock: &clock{}}
	f.restart()
	return f
}

// restart forgets what is in memory.
func (f *fixture) restart() {
	f.Ring = keys.New(keys.Config{Store: f.store, Service: f.service, Now: f.clock.now, Log: slog.New(slog.DiscardHandler)})
	f.objects = keys.NewObjects(f.Ring, f.store)
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var risk, label = keys.Team("risk"), keys.Label{Object: "ada", Kind: "totp-seed", Version: 1}

func TestSpaces(t *testing.T) {
	for text, ok := range map[string]bool{"platform": true, "uploads": true, "team/risk": true, "team/risk/customers-eu": true,
		"": false, "team/": false, "team": false, "team/a/b/c": false, "team/A": false, "../x": false, "team/a_b": false, "other": false} {
		s, err := keys.ParseSpace(text)
		if (err == nil) != ok || ok && string(s) != text {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
	if risk.Class("eu").Owner() != "risk" || keys.Platform.Owner() != "" {
		t.Error("owners")
	}
}

// What was sealed opens as what it was, and as nothing else; nothing that was cut, altered
// or made up opens.
func TestEnvelope(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	space := rapid.SampledFrom([]keys.Space{keys.Platform, risk, risk.Class("eu"), keys.Team("ris")})
	part := rapid.SampledFrom([]string{"", "a", "ab", "b", "\x00", "a\x00", "team/risk"})
	labels := rapid.Custom(func(r *rapid.T) keys.Label {
		return keys.Label{Object: part.Draw(r, "object"), Kind: rapid.SampledFrom([]string{"", "a", "ab", "b", "team/risk"}).Draw(r, "kind"), Version: rapid.IntRange(0, 2).Draw(r, "version")}
	})
	rapid.Check(t, func(r *rapid.T) {
		s, l := space.Draw(r, "space"), labels.Draw(r, "label")
		plain := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "plain")
		sealed, err := f.Seal(ctx, s, l, plain)
		if err != nil {
			r.Fatal(err)
		}
		if got, err := f.Open(ctx, s, l, sealed); err != nil || !bytes.Equal(got, plain) {
			r.Fatalf("%x came back as %x, %v", plain, got, err)
		}
		if s2, l2 := space.Draw(r, "other space"), labels.Draw(r, "other label"); s2 != s || l2 != l {
			if got, err := f.Open(ctx, s2, l2, sealed); err == nil {
				r.Fatalf("%v of %v opened as %v of %v: %x", l, s, l2, s2, got)
			}
		}
		cut := rapid.IntRange(0, len(sealed)-1).Draw(r, "cut")
		flipped := bytes.Clone(sealed)
		flipped[cut] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		for what, bad := range map[string][]byte{"cut": sealed[:cut], "flipped": flipped, "longer": append(bytes.Clone(sealed), 0)} {
			if got, err := f.Open(ctx, s, l, bad); !errors.Is(err, &slipway.Error{Code: slipway.CodeSealed}) {
				r.Fatalf("%s at %d: %x, %v", what, cut, got, err)
			}
		}
	})
}

func TestTooLarge(t *testing.T) {
	_, err := open(t).Seal(t.Context(), risk, label, make([]byte, 1<<20+1))
	wantCode(t, "2 MiB", err, slipway.CodeTooLarge)
}

// While the key service is down, what is stored opens for some hours, and nothing is sealed.
func TestServiceDown(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	sealed := must(f.Seal(ctx, risk, label, []byte("seed")))(t)
	f.service.down.Store(true)
	if _, err := f.Seal(ctx, risk, label, []byte("x")); err != nil {
		t.Errorf("within %s the key is as good as new: %v", keys.Fresh, err)
	}
	f.clock.pass(keys.Fresh)
	_, err := f.Seal(ctx, risk, label, []byte("x"))
	wantCode(t, "sealing", err, slipway.CodeKeyService)
	if slipway.AsError(err).Kind != slipway.Unavailable || strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("%v", err)
	}
	_, err = f.Seal(ctx, keys.Team("new"), label, []byte("x"))
	wantCode(t, "a new space", err, slipway.CodeKeyService)
	if all := must(f.store.Keys(ctx, keys.Team("new")))(t); len(all) != 0 {
		t.Errorf("%v was recorded", all)
	}
	asked := f.service.unwraps.Load()
	for range 100 {
		if got, err := f.Open(ctx, risk, label, sealed); err != nil || string(got) != "seed" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if n := f.service.unwraps.Load() - asked; n > 1 {
		t.Errorf("a service that is down was asked %d times", n)
	}
	f.clock.pass(keys.Stale)
	_, err = f.Open(ctx, risk, label, sealed)
	wantCode(t, "after "+keys.Stale.String(), err, slipway.CodeKeyService)
	f.service.down.Store(false)
	if _, err := f.Seal(ctx, risk, label, []byte("x")); err != nil {
		t.Error(err)
	}
	f.clock.pass(-10 * keys.Stale) // the clock jumps back
	f.service.down.Store(true)
	_, err = f.Seal(ctx, risk, label, []byte("x"))
	wantCode(t, "sealing after the clock jumped back", err, slipway.CodeKeyService)
}

func TestCacheIsBounded(t *testing.T) {
	f := open(t)
	for i := range 3 {
		if _, err := f.Seal(t.Context(), keys.Team(fmt.Sprintf("t%d", i)), label, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.Cached(); n != 3 {
		t.Errorf("%d keys are in memory", n)
	}
	f.Fill(2 * keys.MaxCached)
	if n := f.Cached(); n > keys.MaxCached {
		t.Errorf("%d keys are in memory", n)
	}
}

// One of many that make the first key of a space wins, and what all have sealed opens.
func TestFirstKeyRace(t *testing.T) {
	f := open(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			l := keys.Label{Object: fmt.Sprint(i), Kind: "x"}
			sealed, err := f.Seal(t.Context(), risk, l, []byte{byte(i)})
			if err == nil {
				_, err = f.Open(t.Context(), risk, l, sealed)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all := must(f.store.Keys(t.Context(), risk))(t); len(all) != 1 {
		t.Errorf("%d keys", len(all))
	}
}
