// Package registrytest is the conformance suite of registry.Store.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Open gives an empty store and the record of its events.
type Open func(t *testing.T) (registry.Store, eventtest.Reader)

// Run tests a store of models, versions and aliases.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(fixture)
	}{
		{"an empty store has nothing", testEmpty},
		{"a version comes back as it was added", testVersion},
		{"the same digest is the same version", testSame},
		{"models do not know one another", testModels},
		{"the largest version comes back", testLarge},
		{"versions come in pages", testVersionPages},
		{"models come in pages", testModelPages},
		{"an alias moves and remembers", testAlias},
		{"an alias needs its version", testAliasOfNothing},
		{"an event that cannot be recorded stops its change", testAtomic},
		{"text that cannot be stored is refused", testText},
		{"a call that was given up changes nothing", testCancelled},
		{"one digest has one number under concurrent calls", testSameConcurrently},
		{"numbers have no gaps under concurrent calls of which some fail", testNumbersConcurrently},
		{"the history of an alias is a chain under concurrent calls", testAliasConcurrently},
		{"agrees with a model", testModel},
		{"a model is made, described and tagged", testAddModel},
		{"a version is appended, described and tagged", testAppend},
		{"a digest may be there twice, and is found as its newest", testTwice},
		{"stages have a newest version each", testStages},
		{"a deleted version is nowhere, and its number is not given again", testDeleteVersion},
		{"a deleted model leaves its numbers and its history", testDeleteModel},
		{"a renamed model takes all with it", testRename},
		{"an alias is removed", testRemoveAlias},
		{"models are found", testFindModels},
		{"versions are found", testFindVersions},
		{"a search goes on where a page ended", testPages},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, events := open(t)
			c.test(fixture{t, store, events})
		})
	}
}

type fixture struct {
	*testing.T
	store  registry.Store
	events eventtest.Reader
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

// version is one that was not added yet.
func version(model, content string) registry.Version {
	d := slipway.DigestOf([]byte(content))
	files := []registry.File{{Path: "MLmodel", Digest: d, Size: 1 << 40}, {Path: "bin/ä serve", Digest: d, Executable: true}}
	return registry.Version{Model: model, Digest: registry.DigestOf(files), Files: files, Source: "git ü " + content, Created: start, By: "ada", Updated: start, Stage: registry.StageNone}
}

// line is a model with as many versions, the first of version's.
func line(name string, latest int) registry.Model {
	return registry.Model{Name: name, Latest: latest, Created: start, Updated: start, By: "ada"}
}

func change(model, alias string, to int) registry.AliasChange {
	return registry.AliasChange{Model: model, Alias: alias, To: to, By: "ada", Reason: "it is <better>", Time: start}
}

func (f fixture) add(v registry.Version) (registry.Version, bool) {
	f.Helper()
	out, added, err := f.store.AddVersion(f.Context(), v, eventtest.At(start, v.Model))
	if err != nil {
		f.Fatal(err)
	}
	return out, added
}

func (f fixture) set(c registry.AliasChange) {
	f.Helper()
	if err := f.store.SetAlias(f.Context(), c, eventtest.At(c.Time, c.Model+"@"+c.Alias)); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) same(what string, want, got any, err error) {
	f.Helper()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		f.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
}

func (f fixture) refused(what string, err error, code string) {
	f.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		f.Errorf("%s: %v, want %s", what, err, code)
	}
}

// recorded counts the events.
func (f fixture) recorded() int {
	f.Helper()
	return len(eventtest.All(f.T, f.events))
}

func testEmpty(f fixture) {
	for _, number := range []int{0, 1} {
		_, err := f.store.Version(f.Context(), "fraud", number)
		f.refused(fmt.Sprint("version ", number), err, slipway.CodeNotFound)
	}
	_, err := f.store.Alias(f.Context(), "fraud", "champion")
	f.refused("an alias", err, slipway.CodeNotFound)
	models, err := f.store.Models(f.Context(), "", 10)
	f.same("models", 0, len(models), err)
	versions, err := f.store.Versions(f.Context(), "fraud", 0, 10)
	f.same("versions", 0, len(versions), err)
	history, err := f.store.AliasHistory(f.Context(), "fraud", 10)
	f.same("history", 0, len(history), err)
}

func testVersion(f fixture) {
	for i, content := range []string{"a", "b"} {
		want := version("fraud", content)
		ev := eventtest.At(start, "fraud")
		detail := maps.Clone(ev.Detail)
		got, added, err := f.store.AddVersion(f.Context(), want, ev)
		want.Number = i + 1
		f.same("added", want, got, err)
		f.same("is new", true, added, nil)
		f.same("the caller's event", detail, ev.Detail, nil)
		detail["number"] = fmt.Sprint(want.Number)
		events := eventtest.All(f.T, f.events)
		f.same("the event", detail, events[len(events)-1].Detail, nil)
		for _, number := range []int{want.Number, 0} {
			got, err = f.store.Version(f.Context(), "fraud", number)
			f.same(fmt.Sprint("version ", number), want, got, err)
		}
	}
	_, err := f.store.Version(f.Context(), "fraud", 3)
	f.refused("a number beyond the newest", err, slipway.CodeNotFound)
}

func testSame(f fixture) {
	first, _ := f.add(version("fraud", "a"))
	f.add(version("fraud", "b"))
	again := version("fraud", "a")
	again.Source, again.By, again.Created = "elsewhere", "bob", start.Add(time.Hour)
	got, added := f.add(again)
	f.same("the same files", first, got, nil)
	f.same("are new", false, added, nil)
	f.same("events", 2, f.recorded(), nil)
	newest, err := f.store.Version(f.Context(), "fraud", 0)
	f.same("the newest", 2, newest.Number, err)
}

func testModels(f fixture) {
	f.add(version("fraud", "a"))
	f.add(version("fraud", "b"))
	got, added := f.add(version("claims", "b"))
	f.same("the first of another model", []any{1, true}, []any{got.Number, added}, nil)
	f.set(change("fraud", "champion", 2))
	_, err := f.store.Alias(f.Context(), "claims", "champion")
	f.refused("another model's alias", err, slipway.CodeNotFound)
	history, err := f.store.AliasHistory(f.Context(), "claims", 10)
	f.same("another model's history", 0, len(history), err)
	_, err = f.store.Version(f.Context(), "claims", 2)
	f.refused("another model's number", err, slipway.CodeNotFound)
}

func testLarge(f fixture) {
	want := version("fraud", "a")
	for i := range 10_000 {
		want.Files = append(want.Files, registry.File{Path: fmt.Sprintf("%s/%05d", strings.Repeat("d", 100), i), Digest: slipway.DigestOf([]byte{byte(i)}), Size: int64(i)})
	}
	want.Number = 1
	f.add(want)
	got, err := f.store.Version(f.Context(), "fraud", 1)
	f.same("10000 files", want, got, err)
}

func testVersionPages(f fixture) {
	for i := range 7 {
		f.add(version("fraud", fmt.Sprint(i)))
		f.add(version("claims", fmt.Sprint(i)))
	}
	for _, c := range []struct {
		before, limit int
		want          []int
	}{
		{0, 3, []int{7, 6, 5}}, {5, 3, []int{4, 3, 2}}, {2, 3, []int{1}}, {1, 3, nil}, {100, 1, []int{7}},
	} {
		page, err := f.store.Versions(f.Context(), "fraud", c.before, c.limit)
		var got []int
		for _, v := range page {
			got = append(got, v.Number)
		}
		f.same(fmt.Sprintf("%d before %d", c.limit, c.before), c.want, got, err)
	}
	want := version("fraud", "6")
	want.Number, want.Files = 7, nil
	page, err := f.store.Versions(f.Context(), "fraud", 0, 1)
	f.same("an entry, without files", []registry.Version{want}, page, err)
}

func testModelPages(f fixture) {
	for i, m := range []string{"m-b", "m-a", "m2", "m-a", "m"} {
		f.add(version(m, fmt.Sprint(i)))
	}
	all := []registry.Model{line("m", 1), line("m-a", 2), line("m-b", 1), line("m2", 1)}
	for _, c := range []struct {
		after string
		limit int
		want  []registry.Model
	}{
		{"", 10, all}, {"", 2, all[:2]}, {"m-a", 2, all[2:]}, {"m-aa", 1, all[2:3]}, {"m2", 10, nil},
	} {
		got, err := f.store.Models(f.Context(), c.after, c.limit)
		f.same(fmt.Sprintf("%d after %q", c.limit, c.after), c.want, got, err)
	}
}

func testAlias(f fixture) {
	f.add(version("fraud", "a"))
	f.add(version("fraud", "b"))
	var want []registry.AliasChange // the newest first
	for i, move := range []struct {
		alias    string
		from, to int
	}{{"champion", 0, 1}, {"challenger", 0, 2}, {"champion", 1, 2}, {"champion", 2, 2}, {"champion", 2, 1}} {
		c := change("fraud", move.alias, move.to)
		c.Time = start.Add(-time.Duration(i) * time.Hour) // the clock jumps back
		c.From = 99                                       // the store knows better
		f.set(c)
		c.From = move.from
		want = append([]registry.AliasChange{c}, want...)
		got, err := f.store.Alias(f.Context(), "fraud", move.alias)
		f.same(move.alias, move.to, got, err)
	}
	for _, limit := range []int{10, 2} {
		got, err := f.store.AliasHistory(f.Context(), "fraud", limit)
		f.same("history", want[:min(limit, len(want))], got, err)
	}
	f.same("events", 2+len(want), f.recorded(), nil)
}

func testAliasOfNothing(f fixture) {
	f.add(version("fraud", "a"))
	f.add(version("claims", "a"))
	f.add(version("claims", "b"))
	for _, c := range []registry.AliasChange{change("fraud", "champion", 2), change("none", "champion", 1)} {
		err := f.store.SetAlias(f.Context(), c, eventtest.At(start, "x"))
		if slipway.AsError(err).Kind != slipway.Conflict {
			f.Errorf("version %d of %s: %v, want a conflict", c.To, c.Model, err)
		}
		_, err = f.store.Alias(f.Context(), c.Model, c.Alias)
		f.refused("the alias", err, slipway.CodeNotFound)
	}
	history, err := f.store.AliasHistory(f.Context(), "fraud", 10)
	f.same("history", 0, len(history), err)
	f.same("events", 3, f.recorded(), nil)
}

func testAtomic(f fixture) {
	f.add(version("fraud", "a"))
	f.add(version("fraud", "b"))
	f.set(change("fraud", "champion", 1))
	twice := eventtest.All(f.T, f.events)[0].Event
	_, _, err := f.store.AddVersion(f.Context(), version("fraud", "c"), twice)
	f.refused("a version whose event is there already", err, slipway.CodeConflict)
	_, _, err = f.store.AddVersion(f.Context(), version("claims", "c"), twice)
	f.refused("the first of a model", err, slipway.CodeConflict)
	f.refused("an alias", f.store.SetAlias(f.Context(), change("fraud", "champion", 2), twice), slipway.CodeConflict)

	models, err := f.store.Models(f.Context(), "", 10)
	f.same("models", []registry.Model{line("fraud", 2)}, models, err)
	n, err := f.store.Alias(f.Context(), "fraud", "champion")
	f.same("the alias", 1, n, err)
	history, err := f.store.AliasHistory(f.Context(), "fraud", 10)
	f.same("its history", 1, len(history), err)
	got, added := f.add(version("fraud", "c"))
	f.same("the next number", []any{3, true}, []any{got.Number, added}, nil)
}

func testText(f fixture) {
	f.add(version("fraud", "a"))
	for _, text := range []string{"a\x00b", "a\xffb"} {
		v := version("fraud", "b")
		v.Source = text
		_, _, err := f.store.AddVersion(f.Context(), v, eventtest.At(start, "fraud"))
		c := change("fraud", "champion", 1)
		c.Reason = text
		for what, err := range map[string]error{"source": err, "reason": f.store.SetAlias(f.Context(), c, eventtest.At(start, "fraud"))} {
			if slipway.AsError(err).Kind != slipway.Invalid {
				f.Errorf("a %s %q: %v, want Invalid", what, text, err)
			}
		}
	}
	f.same("events", 1, f.recorded(), nil)
}

func testCancelled(f fixture) {
	f.add(version("fraud", "a"))
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	_, _, add := f.store.AddVersion(ctx, version("fraud", "b"), eventtest.At(start, "fraud"))
	_, get := f.store.Version(ctx, "fraud", 1)
	_, alias := f.store.Alias(ctx, "fraud", "champion")
	_, models := f.store.Models(ctx, "", 1)
	_, versions := f.store.Versions(ctx, "fraud", 0, 1)
	_, history := f.store.AliasHistory(ctx, "fraud", 1)
	for what, err := range map[string]error{"add": add, "get": get, "alias": alias, "models": models, "versions": versions, "history": history,
		"set": f.store.SetAlias(ctx, change("fraud", "champion", 1), eventtest.At(start, "fraud"))} {
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%s: %v, want to be cancelled", what, err)
		}
	}
	newest, err := f.store.Version(f.Context(), "fraud", 0)
	f.same("the newest", 1, newest.Number, err)
	f.same("events", 1, f.recorded(), nil)
}
