// Package dossiertest is the conformance suite of dossier.Store and dossier.KeyStore.
package dossiertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Backend is a store, the models of the same database, and the record of events.
type Backend struct {
	Store  dossier.Store
	Keys   dossier.KeyStore
	Models registry.Store
	Events eventtest.Reader
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// Run tests a store; open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	t.Run("says what an alias was at any time", func(t *testing.T) { testSpans(t, open(t)) })
	t.Run("believes the order of moves and not the clock", func(t *testing.T) { testClock(t, open(t)) })
	t.Run("keeps signatures, and one with its version", func(t *testing.T) { testSignatures(t, open(t)) })
	t.Run("keeps every text of a card", func(t *testing.T) { testCards(t, open(t)) })
	t.Run("has one key that signs", func(t *testing.T) { testKeys(t, open(t)) })
	t.Run("dossiers follow their model", func(t *testing.T) { testRename(t, open(t)) })
}

func version(t *testing.T, b Backend, model string, n int) registry.Version {
	t.Helper()
	files := []registry.File{{Path: "MLmodel", Digest: slipway.DigestOf([]byte{byte(n)}), Size: 1}}
	v, _, err := b.Models.AddVersion(t.Context(), registry.Version{Model: model, Team: "risk", Digest: registry.DigestOf(files), Files: files, Created: start, By: "cyd"}, eventtest.At(start, "cyd"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func move(t *testing.T, b Backend, model, alias string, to int, at time.Time) {
	t.Helper()
	if err := b.Models.SetAlias(t.Context(), registry.AliasChange{Model: model, Alias: alias, To: to, By: "ada", Reason: fmt.Sprint("to ", to), Time: at}, eventtest.At(at, "ada")); err != nil {
		t.Fatal(err)
	}
}

func day(n int) time.Time { return start.AddDate(0, 0, n) }

func testSpans(t *testing.T, b Backend) {
	var digests []slipway.Digest
	for n := range 3 {
		digests = append(digests, version(t, b, "fraud", n+1).Digest)
	}
	version(t, b, "churn", 1)
	move(t, b, "fraud", "production", 1, day(0)) // 1
	move(t, b, "fraud", "canary", 3, day(1))     // 2
	move(t, b, "churn", "production", 1, day(1))
	move(t, b, "fraud", "production", 2, day(2)) // 3
	move(t, b, "fraud", "production", 3, day(4)) // 4
	span := func(seq int64, v int, from, to time.Time) dossier.Span {
		return dossier.Span{Seq: seq, Alias: "production", Version: v, Digest: digests[v-1], From: from, To: to, By: "ada", Reason: fmt.Sprint("to ", v)}
	}
	all := []dossier.Span{span(4, 3, day(4), time.Time{}), span(3, 2, day(2), day(4)), span(1, 1, day(0), day(2))}
	instant := func(at time.Time) (from, until time.Time) { return at, at.Add(time.Microsecond) }
	for _, c := range []struct {
		name        string
		from, until time.Time
		before      int64
		limit       int
		want        []dossier.Span
	}{
		{"all", time.Time{}, time.Time{}, 0, 10, all},
		{"a page", time.Time{}, time.Time{}, 0, 2, all[:2]},
		{"the next page", time.Time{}, time.Time{}, 3, 2, all[2:]},
		{"a day with one", day(3), day(3).Add(time.Hour), 0, 10, all[1:2]},
		{"a day with two", day(2).Add(-time.Hour), day(2).Add(time.Hour), 0, 10, all[1:]},
		{"until a move, which is not in it", day(1), day(2), 0, 10, all[2:]},
		{"before the first", day(-2), day(-1), 0, 10, nil},
		{"now", day(100), day(101), 0, 10, all[:1]},
	} {
		got, err := b.Store.Spans(t.Context(), dossier.SpanQuery{Model: "fraud", Alias: "production", From: c.from, Until: c.until, Before: c.before, Limit: c.limit})
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
	}
	for n, want := range []int{1, 1, 2, 2, 3} {
		from, until := instant(day(n))
		got, err := b.Store.Spans(t.Context(), dossier.SpanQuery{Model: "fraud", Alias: "production", From: from, Until: until, Limit: 5})
		if err != nil || len(got) != 1 || got[0].Version != want {
			t.Errorf("day %d: %v %v", n, got, err)
		}
	}
}

func testClock(t *testing.T, b Backend) {
	for n := range 3 {
		version(t, b, "fraud", n+1)
	}
	move(t, b, "fraud", "production", 1, day(1))
	move(t, b, "fraud", "production", 2, day(3))
	move(t, b, "fraud", "production", 3, day(2)) // the clock was set back
	got, err := b.Store.Spans(t.Context(), dossier.SpanQuery{Model: "fraud", Alias: "production", From: day(4), Until: day(5), Limit: 5})
	if err != nil || len(got) != 1 || got[0].Version != 3 {
		t.Error(got, err)
	}
}

func testSignatures(t *testing.T, b Backend) {
	ctx := t.Context()
	files := []registry.File{{Path: "MLmodel", Digest: slipway.DigestOf([]byte("x")), Size: 1}}
	v := registry.Version{Model: "fraud", Team: "risk", Digest: registry.DigestOf(files), Files: files, Created: start, By: "cyd"}
	first := dossier.Signature{Model: "fraud", Key: "k1", Bundle: []byte(`{"a":1}`), Created: start, By: "cyd"}
	signed := b.Store.Signed(ctx, first, v.Digest, eventtest.At(start, "signed"))
	for range 2 { // the second time there is nothing to add, and nothing is signed
		if out, _, err := b.Models.AddVersion(signed, v, eventtest.At(start, "added")); err != nil || out.Number != 1 {
			t.Fatal(out, err)
		}
	}
	first.Number = 1
	second := dossier.Signature{Model: "fraud", Number: 1, Key: "k2", Bundle: []byte(`{"a":2}`), Created: start.Add(time.Hour), By: "ada"}
	if err := b.Store.Sign(ctx, second, eventtest.At(start, "signed")); err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.SignaturesOf(ctx, "fraud", 1)
	if diff := cmp.Diff([]dossier.Signature{second, first}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := b.Store.SignaturesOf(ctx, "fraud", 2); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if n := len(eventtest.All(t, b.Events)); n != 3 {
		t.Errorf("%d events", n)
	}
}

func testCards(t *testing.T, b Backend) {
	ctx := t.Context()
	var want []dossier.Card
	for n := 1; n <= 3; n++ {
		c := dossier.Card{Model: "fraud", Number: 2, Text: fmt.Sprintf("# Karte %d\n", n), Created: start.Add(time.Duration(n) * time.Minute), By: "ada", Reason: "übersichtlicher"}
		got, err := b.Store.Describe(ctx, c, eventtest.At(start, "ada"))
		if c.Seq = n; err != nil || got.Seq != n {
			t.Fatal(got, err)
		}
		want = append([]dossier.Card{c}, want...)
	}
	got, err := b.Store.CardsOf(ctx, "fraud", 2, 10)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := b.Store.CardsOf(ctx, "fraud", 2, 1); err != nil || len(got) != 1 || got[0].Seq != 3 {
		t.Error(got, err)
	}
	if got, err := b.Store.CardsOf(ctx, "fraud", 1, 1); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func testRename(t *testing.T, b Backend) {
	ctx := t.Context()
	version(t, b, "fraud", 1)
	for _, model := range []string{"fraud", "scams"} { // there was a model scams once
		s := dossier.Signature{Model: model, Number: 1, Key: model, Bundle: []byte("{}"), Created: start, By: "cyd"}
		if err := b.Store.Sign(ctx, s, eventtest.At(start, "cyd")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.Describe(ctx, dossier.Card{Model: model, Number: 1, Text: model, Created: start, By: "ada"}, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Models.RenameModel(b.Store.Renamed(ctx, "fraud", "scams"), "fraud", "scams", start, eventtest.At(start, "ada")); err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.SignaturesOf(ctx, "scams", 1)
	if err != nil || len(got) != 1 || got[0].Key != "fraud" {
		t.Error(got, err)
	}
	cards, err := b.Store.CardsOf(ctx, "scams", 1, 5)
	if err != nil || len(cards) != 1 || cards[0].Text != "fraud" {
		t.Error(cards, err)
	}
}

func testKeys(t *testing.T, b Backend) {
	ctx := t.Context()
	first := dossier.Key{ID: "k1", Public: []byte("PEM"), Sealed: []byte{0, 1, 2}, Created: start}
	second := dossier.Key{ID: "k2", Public: []byte("PEM 2"), Sealed: []byte{3}, Created: start.Add(time.Hour)}
	for _, k := range []dossier.Key{first, second} {
		if err := b.Keys.AddSigningKey(ctx, k, eventtest.At(start, "key")); err != nil {
			t.Fatal(err)
		}
	}
	for _, was := range [][]byte{{9}, {0, 1, 2}, {0, 1, 2}} {
		if err := b.Keys.ResealSigningKey(ctx, "k1", was, []byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	first.Retired, first.Sealed = second.Created, []byte{7}
	got, err := b.Keys.SigningKeys(ctx)
	if diff := cmp.Diff([]dossier.Key{second, first}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
