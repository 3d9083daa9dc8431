// Package rollouttest is the conformance suite of rollout.Store and rollout.Ledger.
package rollouttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Backend is one implementation under test, empty when it is opened.
type Backend struct {
	Store  rollout.Store
	Ledger rollout.Ledger
	Events eventtest.Reader
}

// fixture is a backend within one test.
type fixture struct {
	*testing.T
	Backend
}

// Run tests an implementation; open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for _, c := range []struct {
		name string
		test func(f fixture)
	}{
		{"missing things", testMissing},
		{"gives back deployments", testDeployment},
		{"gives back endpoints", testEndpoint},
		{"replaces what it has", testReplace},
		{"numbers without gaps", testNumbers},
		{"pages of deployments", testPages},
		{"one running deployment of an endpoint", testRunning},
		{"one running deployment under concurrent calls", testRunningConcurrently},
		{"a change is whole or not at all", testWhole},
		{"an event without a change", testEventOnly},
		{"a call that was given up changes nothing", testCancelled},
		{"refusals", testRefusals},
		{"a veto is reconciled once", testVeto},
		{"a veto is reconciled once under concurrent calls", testVetoConcurrently},
		{"a request is found by its key", testKey},
		{"agrees with a model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(fixture{t, open(t)}) })
	}
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

var digest = slipway.DigestOf([]byte("a model"))

func ev(subject string) slipway.Event { return eventtest.At(start, subject) }

// dep is a small deployment.
func dep(id, endpoint string, s rollout.Status) *rollout.Deployment {
	return &rollout.Deployment{ID: id, Kind: rollout.KindDeploy, Endpoint: endpoint, Status: s, By: "ada", Model: "fraud", Version: 1,
		Digest: digest, Created: start}
}

func (f fixture) commit(c rollout.Change, events ...slipway.Event) {
	f.Helper()
	if err := f.Store.Commit(f.Context(), c, events...); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) refused(what string, err error, code string) {
	f.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		f.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (f fixture) deployment(id string) rollout.Deployment {
	f.Helper()
	d, err := f.Store.Deployment(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// ids lists deployments.
func (f fixture) ids(key string, before, limit int) []string {
	f.Helper()
	list, err := f.Store.Deployments(f.Context(), key, before, limit)
	if err != nil {
		f.Fatal(err)
	}
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = d.ID
	}
	return ids
}

// subjects lists what the events so far are about.
func (f fixture) subjects() []string {
	f.Helper()
	var out []string
	for _, e := range eventtest.All(f.T, f.Events) {
		out = append(out, e.Subject)
	}
	return out
}

func (f fixture) same(what string, want, got any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testMissing(f fixture) {
	ctx := f.Context()
	_, err := f.Store.Endpoint(ctx, "fraud")
	f.refused("an endpoint", err, slipway.CodeNotFound)
	_, err = f.Store.Deployment(ctx, "dep_x")
	f.refused("a deployment", err, slipway.CodeNotFound)
	if list, err := f.Store.Endpoints(ctx); err != nil || len(list) != 0 {
		f.Errorf("endpoints: %v, %v", list, err)
	}
	f.same("deployments", []string{}, f.ids("", 0, 10))
	if r, err := f.Ledger.Refusal(ctx, "fraud", digest); r != nil || err != nil {
		f.Errorf("refusal: %v, %v", r, err)
	}
	if n, err := f.Ledger.LastVeto(ctx, "gw"); n != 0 || err != nil {
		f.Errorf("last veto: %d, %v", n, err)
	}
	if d, err := f.Ledger.ByKey(ctx, "ada", "k"); d != nil || err != nil {
		f.Errorf("by key: %v, %v", d, err)
	}
}

// full is a deployment in which everything is set.
func full() *rollout.Deployment {
	d := dep("dep_full", "fraud", rollout.Running)
	rev := revision(3)
	d.Source, d.Files, d.Force, d.Reason, d.Key = "name: fraud\n# ü \u2028", map[string]slipway.Digest{"holdout": digest}, true, "because <it> & \"that\"", "k-1"
	d.Finished, d.FirstBad, d.LastSent = start.Add(time.Hour), start.Add(time.Minute), start.Add(2*time.Minute)
	d.Stages = []rollout.StageRun{{Stage: "validate", Verdict: verdict.Warn, Made: digest, Log: []string{"a", ""}, Started: start, Finished: start.Add(time.Second),
		Results: []verdict.Result{{Check: "auc", Verdict: verdict.Fail, Message: "0.6 < 0.7", Next: "train longer"}, {Check: "none"}}}}
	d.Revision, d.Previous = &rev, "fraud-2"
	d.Plan = rollout.Plan{Steps: []rollout.Step{{Weight: 0.1, Hold: time.Minute, MinRequests: 1 << 60}, {Weight: 100}}, PauseOnFail: true, ContinueIdle: true,
		KeepWarm: time.Hour, StartLimit: time.Minute, First: true}
	d.State = rollout.State{Phase: rollout.PhaseStepping, Step: 1, Attempt: 2, Held: 3 * time.Second, Seen: start, Base: 1<<53 + 1, Restart: true, Missing: 7, Waiting: "waits"}
	d.Code, d.Message, d.Next, d.Judgement = slipway.CodeRolledBack, "it was worse", "platform logs fraud", []byte(`{"e":1e-9,"n":[1,2]}`)
	return d
}

func revision(n int) route.Revision {
	return route.Revision{ID: fmt.Sprintf("fraud-%d", n), Number: n, Model: "fraud", Version: 7, VersionDigest: digest, ImageDigest: digest, Dir: "/images/x",
		Runtime: route.Runtime{Kind: route.RuntimeCommand, Command: []string{"serve", "{socket}"}},
		Schema:  tensor.Schema{Inputs: []tensor.Field{{Name: "amount", Type: tensor.FP64}}}, Replicas: 2, MemoryBytes: 1 << 40, MilliCPU: 500}
}

func testDeployment(f fixture) {
	want := full()
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{want}})
	if want.Number != 1 {
		f.Errorf("number %d was written back, want 1", want.Number)
	}
	f.same("deployment", *want, f.deployment(want.ID))
	list, err := f.Store.Deployments(f.Context(), "fraud", 0, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.same("list", []rollout.Deployment{*want}, list)
}

func testEndpoint(f fixture) {
	stable, candidate := revision(2), revision(3)
	want := rollout.Endpoint{Key: "fraud.staging", State: route.Provisional, Reason: "ünconfirmed", Deadline: 5 * time.Second, Owner: "team-a", Tier: 2, Revisions: 3,
		Stable: &stable, Candidate: &candidate, Weight: 0.05, Rollout: &route.Rollout{Deployment: "dep_1", Attempt: 2, Alpha: 0.001, Beta: 0.05, P0: 0.01, Promoted: true, Pause: true},
		Active: "dep_1", WarmLeft: time.Hour, WarmSeen: start, Current: "dep_0"}
	other := rollout.Endpoint{Key: "claims", State: route.Pending}
	f.commit(rollout.Change{Endpoints: []*rollout.Endpoint{&want, &other}})
	got, err := f.Store.Endpoint(f.Context(), want.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.same("endpoint", want, got)
	list, err := f.Store.Endpoints(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.same("endpoints, by key", []rollout.Endpoint{other, want}, list)
}

func testReplace(f fixture) {
	d, e := full(), &rollout.Endpoint{Key: "fraud", State: route.Pending, Active: "dep_full"}
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{d}, Endpoints: []*rollout.Endpoint{e}})
	d.Status, d.Stages, d.Message, e.State, e.Active = rollout.Failed, nil, "no", route.Withdrawn, ""
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{d}, Endpoints: []*rollout.Endpoint{e}})
	f.same("deployment", *d, f.deployment(d.ID))
	got, err := f.Store.Endpoint(f.Context(), e.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.same("endpoint", *e, got)
	if ids := f.ids("", 0, 10); len(ids) != 1 {
		f.Errorf("deployments %v, want one", ids)
	}
}

func testNumbers(f fixture) {
	a, b := dep("dep_b", "x", rollout.Running), dep("dep_a", "y", rollout.Running)
	b.Created = start.Add(-time.Hour) // the clock jumped back: order is by number
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{a, b}})
	again := dep("dep_c", "x", rollout.Running)
	f.refused("a second running deployment", f.Store.Commit(f.Context(), rollout.Change{Deployments: []*rollout.Deployment{again}}), slipway.CodeInProgress)
	if again.Number != 0 {
		f.Errorf("number %d was written back though nothing was committed", again.Number)
	}
	c := dep("dep_0", "z", rollout.Running)
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{c}})
	f.same("numbers", []int{1, 2, 3}, []int{a.Number, b.Number, c.Number})

	stale := dep("dep_b", "x", rollout.Aborted) // a value without its number is still the same deployment
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{stale}})
	f.same("number of a known deployment", []int{1, 1}, []int{stale.Number, f.deployment("dep_b").Number})
	f.same("newest first", []string{"dep_0", "dep_a", "dep_b"}, f.ids("", 0, 10))
}

func testPages(f fixture) {
	for i := range 7 {
		f.commit(rollout.Change{Deployments: []*rollout.Deployment{dep(fmt.Sprintf("dep_%d", i+1), []string{"x", "y"}[i%2], rollout.Succeeded)}})
	}
	for _, c := range []struct {
		key           string
		before, limit int
		want          []string
	}{
		{"", 0, 3, []string{"dep_7", "dep_6", "dep_5"}},
		{"", 5, 3, []string{"dep_4", "dep_3", "dep_2"}},
		{"", 1, 3, []string{}},
		{"", 100, 2, []string{"dep_7", "dep_6"}},
		{"x", 0, 10, []string{"dep_7", "dep_5", "dep_3", "dep_1"}},
		{"x", 5, 1, []string{"dep_3"}},
		{"y", 6, 10, []string{"dep_4", "dep_2"}},
		{"z", 0, 10, []string{}},
	} {
		f.same(fmt.Sprintf("%q before %d, at most %d", c.key, c.before, c.limit), c.want, f.ids(c.key, c.before, c.limit))
	}
}

func testEventOnly(f fixture) {
	f.commit(rollout.Change{}, ev("a"), ev("b"))
	f.commit(rollout.Change{})
	f.same("events", []string{"a", "b"}, f.subjects())
}

func testRefusals(f fixture) {
	ctx := f.Context()
	other := slipway.DigestOf([]byte("another"))
	r := rollout.Refusal{Endpoint: "fraud", Digest: digest, Deployment: "dep_1", Reason: "worse", Time: start}
	f.commit(rollout.Change{Refuse: &r})
	find := func(key string, d slipway.Digest) *rollout.Refusal {
		f.Helper()
		got, err := f.Ledger.Refusal(ctx, key, d)
		if err != nil {
			f.Fatal(err)
		}
		return got
	}
	f.same("refusal", &r, find("fraud", digest))
	f.same("of another endpoint", (*rollout.Refusal)(nil), find("claims", digest))
	f.same("of another digest", (*rollout.Refusal)(nil), find("fraud", other))

	r.Reason, r.Deployment = "worse again", "dep_2"
	f.commit(rollout.Change{Refuse: &r})
	f.same("the newer one", &r, find("fraud", digest))

	next := rollout.Refusal{Endpoint: "fraud", Digest: other, Reason: "back to the first", Time: start}
	f.commit(rollout.Change{Forgive: &r, Refuse: &next})
	f.same("forgiven", (*rollout.Refusal)(nil), find("fraud", digest))
	f.same("refused with it", &next, find("fraud", other))
	f.commit(rollout.Change{Forgive: &r}) // nothing to forgive is no error
}

func testKey(f fixture) {
	ctx := f.Context()
	keyed := func(id, by, key string) *rollout.Deployment {
		d := dep(id, id, rollout.Succeeded)
		d.By, d.Key = by, key
		return d
	}
	first := keyed("dep_1", "ada", "k")
	f.commit(rollout.Change{Deployments: []*rollout.Deployment{first, keyed("dep_2", "bob", "k"), keyed("dep_3", "ada", ""), keyed("dep_4", "ada", "")}})
	got, err := f.Ledger.ByKey(ctx, "ada", "k")
	if err != nil {
		f.Fatal(err)
	}
	f.same("ada's", first, got)
	if got, err = f.Ledger.ByKey(ctx, "eve", "k"); got != nil || err != nil {
		f.Errorf("another principal's key finds %v, %v", got, err)
	}
	if got, err = f.Ledger.ByKey(ctx, "ada", ""); got != nil || err != nil {
		f.Errorf("no key finds %v, %v", got, err)
	}
	err = f.Store.Commit(ctx, rollout.Change{Deployments: []*rollout.Deployment{keyed("dep_5", "ada", "k")}}, ev("dep_5"))
	f.refused("the same key again", err, slipway.CodeConflict)
	_, err = f.Store.Deployment(ctx, "dep_5")
	f.refused("its deployment", err, slipway.CodeNotFound)
	f.same("its event", []string(nil), f.subjects())
}
