package rollouttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// everything is a change with all its parts, about things that no other change is about.
func everything(name string, veto uint64) rollout.Change {
	return rollout.Change{Deployments: []*rollout.Deployment{dep("dep_"+name, name, rollout.Running)},
		Endpoints: []*rollout.Endpoint{{Key: name, State: route.Pending}},
		Refuse:    &rollout.Refusal{Endpoint: name, Digest: digest, Reason: "worse", Time: start},
		Veto:      &rollout.VetoKey{Gateway: "gw-" + name, Seq: veto}}
}

// parts tells which parts of such a change are there.
func (f fixture) parts(name string) (found []string) {
	f.Helper()
	ctx := f.Context()
	if _, err := f.Store.Deployment(ctx, "dep_"+name); err == nil {
		found = append(found, "deployment")
	}
	if _, err := f.Store.Endpoint(ctx, name); err == nil {
		found = append(found, "endpoint")
	}
	if r, err := f.Ledger.Refusal(ctx, name, digest); err != nil || r != nil {
		found = append(found, "refusal")
	}
	if n, err := f.Ledger.LastVeto(ctx, "gw-"+name); err != nil || n != 0 {
		found = append(found, "veto")
	}
	return found
}

var allParts = []string{"deployment", "endpoint", "refusal", "veto"}

func testWhole(f fixture) {
	ctx := f.Context()
	known := ev("known")
	f.commit(everything("a", 1), known)
	f.same("a whole change", allParts, f.parts("a"))

	err := f.Store.Commit(ctx, everything("b", 1), ev("b"), known)
	f.refused("a change whose second event is there already", err, slipway.CodeConflict)
	f.same("of it", []string(nil), f.parts("b"))

	c := everything("c", 1)
	c.Deployments = append(c.Deployments, dep("dep_again", "a", rollout.Running))
	f.refused("a change whose second deployment is refused", f.Store.Commit(ctx, c, ev("c")), slipway.CodeInProgress)
	f.same("of it", []string(nil), f.parts("c"))

	d := everything("d", 1)
	d.Refuse.Endpoint = "not\xffutf-8"
	if err := f.Store.Commit(ctx, d, ev("d")); slipway.AsError(err).Kind != slipway.Invalid {
		f.Errorf("a change with text that cannot be stored: %v, want Invalid", err)
	}
	f.same("of it", []string(nil), f.parts("d"))
	f.same("events", []string{"known"}, f.subjects())
}

func testCancelled(f fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	for range 20 {
		if err := f.Store.Commit(ctx, everything("a", 1), ev("a")); !errors.Is(err, context.Canceled) {
			f.Fatalf("answered %v, want that it was cancelled", err)
		}
	}
	f.same("of it", []string(nil), f.parts("a"))
	f.same("events", []string(nil), f.subjects())
}

func testRunning(f fixture) {
	ctx := f.Context()
	first := dep("dep_1", "fraud", rollout.Running)
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{first, dep("dep_2", "claims", rollout.Running)}})
	second := rollout.Change{Deployments: []*rollout.Deployment{dep("dep_3", "fraud", rollout.Running)}}
	f.refused("a second one", f.Store.Commit(ctx, second, ev("dep_3")), slipway.CodeInProgress)
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{first}}) // itself again
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{dep("dep_4", "fraud", rollout.Succeeded)}})

	first.Status = rollout.Aborted
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{first}})
	f.commit(second, ev("dep_3"))
	first.Status = rollout.Running
	f.refused("coming back", f.Store.Commit(ctx, rollout.Change{Deployments: []*rollout.Deployment{first}}), slipway.CodeInProgress)
	f.same("events", []string{"dep_3"}, f.subjects())
}

func testRunningConcurrently(f fixture) {
	const endpoints, callers = 4, 8
	var mu sync.Mutex
	won := map[string]string{}
	var wg sync.WaitGroup
	for e := range endpoints {
		for i := range callers {
			wg.Go(func() {
				d := dep(fmt.Sprintf("dep_%d_%d", e, i), fmt.Sprintf("e%d", e), rollout.Running)
				err := f.Store.Commit(f.Context(), rollout.Change{Deployments: []*rollout.Deployment{d}}, ev(d.ID))
				if err != nil {
					f.refused(d.ID, err, slipway.CodeInProgress)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if before := won[d.Endpoint]; before != "" {
					f.Errorf("%s and %s both drive %s", before, d.ID, d.Endpoint)
				}
				won[d.Endpoint] = d.ID
			})
		}
	}
	wg.Wait()
	list, err := f.Store.Deployments(f.Context(), "", 0, 100)
	if err != nil {
		f.Fatal(err)
	}
	if len(won) != endpoints || len(list) != endpoints || len(f.subjects()) != endpoints {
		f.Fatalf("%d won, %d deployments, %d events, want %d", len(won), len(list), len(f.subjects()), endpoints)
	}
	for i, d := range list {
		if d.Number != endpoints-i || won[d.Endpoint] != d.ID {
			f.Errorf("%s has number %d, want %d; %s won", d.ID, d.Number, endpoints-i, won[d.Endpoint])
		}
	}
}

func testVeto(f fixture) {
	ctx := f.Context()
	f.commit(everything("a", 5), ev("first"))
	repeat := everything("b", 5)
	repeat.Veto.Gateway, repeat.Deployments[0].Number = "gw-a", 7
	repeat.Forgive = &rollout.Refusal{Endpoint: "a", Digest: digest}
	f.commit(repeat, ev("second")) // known: it is not an error, and nothing is made again
	f.same("of the known veto's change", []string(nil), f.parts("b"))
	f.same("what it would have undone", allParts, f.parts("a"))
	if n := repeat.Deployments[0].Number; n != 7 {
		f.Errorf("number %d was written back though nothing was committed", n)
	}
	f.commit(everything("c", 5), ev("another gateway's"))
	f.same("of another gateway's veto", allParts, f.parts("c"))
	f.commit(rollout.Change{Veto: &rollout.VetoKey{Gateway: "gw-a", Seq: 3}}, ev("an older one"))
	for gateway, want := range map[string]uint64{"gw-a": 5, "gw-c": 5, "gw-b": 0} {
		if n, err := f.Ledger.LastVeto(ctx, gateway); n != want || err != nil {
			f.Errorf("last veto of %s: %d, %v, want %d", gateway, n, err, want)
		}
	}
	f.same("events", []string{"first", "another gateway's", "an older one"}, f.subjects())
}

func testVetoConcurrently(f fixture) {
	var effects atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			d := dep(fmt.Sprintf("dep_%d", i), "fraud", rollout.Succeeded)
			err := f.Store.Commit(f.Context(), rollout.Change{Veto: &rollout.VetoKey{Gateway: "gw", Seq: 1}, Deployments: []*rollout.Deployment{d}}, ev("veto"))
			if err != nil {
				f.Errorf("reconciling: %v", err)
			}
			if d.Number != 0 {
				effects.Add(1)
			}
		})
	}
	wg.Wait()
	if ids := f.ids("", 0, 100); len(ids) != 1 || effects.Load() != 1 {
		f.Errorf("deployments %v, %d callers saw an effect, want one", ids, effects.Load())
	}
	f.same("events", []string{"veto"}, f.subjects())
}
