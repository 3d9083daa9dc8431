package refusal_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway/internal/gateway/refusal"
	"github.com/slipway-ml/slipway/internal/route"
)

func open(path string) *refusal.Log {
	return refusal.Open(path, time.Now, slog.New(slog.DiscardHandler))
}

var shop = refusal.Who{What: route.Denied, Principal: "shop", Token: "tok_1", Source: "192.0.2.1", Endpoint: "fraud"}

// TestOncePerMinute: the first attempt is kept at once, those after it as a number, and each
// until the server has it, beyond the process.
func TestOncePerMinute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "refusals.json")
	synctest.Test(t, func(t *testing.T) {
		l := open(path)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		for range 100 {
			l.Note(shop)
		}
		first := l.After(0)
		if len(first) != 1 || first[0].Again != 0 || first[0].Principal != "shop" || first[0].Token != "tok_1" || first[0].Endpoint != "fraud" {
			t.Fatalf("%+v", first)
		}
		time.Sleep(2 * time.Minute)
		all := l.After(0)
		if len(all) != 2 || all[1].Again != 99 || all[1].Seq <= all[0].Seq {
			t.Fatalf("%+v", all)
		}
		if rest := l.After(all[0].Seq); len(rest) != 1 || rest[0] != all[1] {
			t.Errorf("%+v", rest)
		}
		l.Note(shop)
		cancel()
		<-done
		next := open(path)
		kept := next.After(0)
		if len(kept) != 2 || kept[0] != all[1] || kept[1].Seq <= all[1].Seq {
			t.Errorf("the next process has %+v", kept)
		}
		next.Note(shop)
		if more := next.After(kept[1].Seq); len(more) != 1 {
			t.Errorf("a number was given twice: %+v", more)
		}
	})
}

// TestFloodIsBounded: however many come, and however long the server is away.
func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(filepath.Join(t.TempDir(), "refusals.json"))
		total := 0
		for m := range 60 {
			for i := range 2000 {
				l.Note(refusal.Who{What: route.Unauthenticated, Source: fmt.Sprintf("192.0.2.%d-%d", i, m)})
				total++
			}
			time.Sleep(time.Minute)
		}
		kept := l.After(0)
		if len(kept) > 5000 || len(kept) < 1000 {
			t.Errorf("%d entries are kept of %d attempts", len(kept), total)
		}
		l.After(kept[len(kept)-1].Seq)
		l.Note(shop)
		if last := l.After(0); len(last) == 0 || last[0].Lost == 0 {
			t.Errorf("that some were lost is not said: %+v", last)
		}
	})
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "refusals.json")
	if err := os.WriteFile(path, []byte(`[{"seq":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if l := open(path); len(l.After(0)) != 0 {
		t.Error("something was read")
	}
}

func TestSource(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64", "[::1]:80": "::1",
		"[::ffff:192.0.2.7]:1": "192.0.2.7", "[fe80::1%eth0]:1": "fe80::/64", "": "", "@": "", "a\nb:1": "",
	} {
		if got := refusal.Source(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}
