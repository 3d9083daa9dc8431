package registrytest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

func testSameConcurrently(f fixture) {
	const contents, callers = 6, 8
	var mu sync.Mutex
	numbers, added := map[string]int{}, map[string]int{}
	var wg sync.WaitGroup
	for i := range contents * callers {
		wg.Go(func() {
			content := fmt.Sprint(i % contents)
			v, first, err := f.store.AddVersion(f.Context(), version("fraud", content), eventtest.At(start, "fraud"))
			mu.Lock()
			defer mu.Unlock()
			if known := numbers[content]; err != nil || known != 0 && known != v.Number {
				f.Errorf("%s is version %d and %d, %v", content, known, v.Number, err)
			}
			numbers[content] = v.Number
			if first {
				added[content]++
			}
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for content, number := range numbers {
		seen[number] = number >= 1 && number <= contents
		if added[content] != 1 {
			f.Errorf("%s was new %d times", content, added[content])
		}
	}
	f.same("numbers", map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true}, seen, nil)
	f.same("events", contents, f.recorded(), nil)
}

func testNumbersConcurrently(f fixture) {
	const callers = 32
	taken := eventtest.At(start, "fraud")
	if _, _, err := f.store.AddVersion(f.Context(), version("fraud", "first"), taken); err != nil {
		f.Fatal(err)
	}
	var mu sync.Mutex
	numbers := []int{1}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			ev := eventtest.At(start, "fraud")
			if i%4 == 0 {
				ev = taken // it cannot be recorded twice
			}
			v, added, err := f.store.AddVersion(f.Context(), version("fraud", fmt.Sprint(i)), ev)
			if (err != nil) != (i%4 == 0) || added != (err == nil) {
				f.Errorf("caller %d: added %v, %v", i, added, err)
			}
			if err == nil {
				mu.Lock()
				numbers = append(numbers, v.Number)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			f.Fatalf("numbers %v have a gap", numbers)
		}
	}
	models, err := f.store.Models(f.Context(), "", 1)
	f.same("the newest", []registry.Model{line("fraud", len(numbers))}, models, err)
	f.same("events", len(numbers), f.recorded(), nil)
}

func testAliasConcurrently(f fixture) {
	const callers = 24
	for i := range 4 {
		f.add(version("fraud", fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			c := change("fraud", "champion", i%4+1)
			if err := f.store.SetAlias(f.Context(), c, eventtest.At(start, "fraud@champion")); err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	history, err := f.store.AliasHistory(f.Context(), "fraud", 100)
	f.same("moves", callers, len(history), err)
	now, err := f.store.Alias(f.Context(), "fraud", "champion")
	for _, c := range history {
		if err != nil || c.To != now {
			f.Fatalf("the alias went to %d, and on from %d, %v", c.To, now, err)
		}
		now = c.From
	}
	f.same("before the first move", 0, now, nil)
}

// testModel does random things to the store and to plain maps.
func testModel(f fixture) {
	run := 0
	rapid.Check(f, func(r *rapid.T) {
		run++ // each run has a model of its own
		name := fmt.Sprintf("m%d", run)
		var digests []slipway.Digest // by number
		aliases := map[string]int{}
		var history []registry.AliasChange
		for range rapid.IntRange(1, 10).Draw(r, "steps") {
			if rapid.Bool().Draw(r, "add") {
				v := version(name, rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "content"))
				got, added, err := f.store.AddVersion(f.Context(), v, eventtest.At(start, name))
				at := slices.Index(digests, v.Digest) + 1
				if isNew := at == 0; isNew {
					digests = append(digests, v.Digest)
					at = len(digests)
				} else if added {
					r.Fatalf("version %d was added again", at)
				}
				if err != nil || got.Number != at {
					r.Fatalf("added as %d, %v, want %d", got.Number, err, at)
				}
				continue
			}
			c := change(name, rapid.SampledFrom([]string{"x", "y"}).Draw(r, "alias"), rapid.IntRange(1, 4).Draw(r, "to"))
			err := f.store.SetAlias(f.Context(), c, eventtest.At(start, name))
			if (err == nil) != (c.To <= len(digests)) {
				r.Fatalf("alias of version %d of %d: %v", c.To, len(digests), err)
			}
			if err == nil {
				c.From, aliases[c.Alias] = aliases[c.Alias], c.To
				history = append([]registry.AliasChange{c}, history...)
			}
		}
		for _, alias := range []string{"x", "y"} {
			n, err := f.store.Alias(f.Context(), name, alias)
			if missing := errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}); n != aliases[alias] || missing != (n == 0) {
				r.Fatalf("%s is %d, %v, want %d", alias, n, err, aliases[alias])
			}
		}
		got, err := f.store.AliasHistory(f.Context(), name, 100)
		f.same("history", history, got, err)
	})
}
