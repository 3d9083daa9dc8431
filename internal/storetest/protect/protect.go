// Package protecttest is the conformance suite of protect.Store.
package protecttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Backend is a store, the models of the same database, and the record of events.
type Backend struct {
	Store  protect.Store
	Models registry.Store
	Events eventtest.Reader
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

// Run tests a store; open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	t.Run("keeps rules by their scope", func(t *testing.T) { testRules(t, open(t)) })
	t.Run("keeps requests in order", func(t *testing.T) { testRequests(t, open(t)) })
	t.Run("one of two decisions wins", func(t *testing.T) { testRevision(t, open(t)) })
	t.Run("a move and its request are one change", func(t *testing.T) { testTogether(t, open(t)) })
	t.Run("rules and requests follow their model", func(t *testing.T) { testRename(t, open(t)) })
}

func rule(n int, model, team string) protect.Rule {
	return protect.Rule{ID: fmt.Sprintf("rul_%d", n), Model: model, Team: team, Alias: "prod*", Approvals: 1, Approvers: []string{"team-lead"},
		Valid: time.Hour, By: "ada", Reason: "zwei sehen mehr", Created: start.Add(time.Duration(n) * time.Second)}
}

func testRules(t *testing.T, b Backend) {
	ctx := t.Context()
	all := []protect.Rule{rule(1, "fraud", ""), rule(2, "", "risk"), rule(3, "churn", ""), rule(4, "fraud", "")}
	for _, r := range all {
		if err := b.Store.PutRule(ctx, r, eventtest.At(start, "ada")); err != nil {
			t.Fatal(err)
		}
	}
	all[3].Lifted, all[3].LiftedBy = start.Add(time.Minute), "bob"
	if err := b.Store.PutRule(ctx, all[3], eventtest.At(start, "bob")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model, team string
		lifted      bool
		want        []protect.Rule
	}{
		{"fraud", "risk", false, []protect.Rule{all[0], all[1]}},
		{"fraud", "risk", true, []protect.Rule{all[0], all[1], all[3]}},
		{"fraud", "", false, []protect.Rule{all[0]}},
		{"", "risk", false, []protect.Rule{all[1]}},
		{"", "", false, all[:3]},
		{"' OR 1=1 --", "x", true, nil},
	} {
		got, err := b.Store.Rules(ctx, c.model, c.team, c.lifted)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%q %q %v: %v %s", c.model, c.team, c.lifted, err, diff)
		}
	}
	if n := len(eventtest.All(t, b.Events)); n != 5 {
		t.Errorf("%d events of 5 changes", n)
	}
}

func request(n int, model, alias string) protect.Request {
	return protect.Request{ID: fmt.Sprintf("req_%d", n), Model: model, Team: "risk", Alias: alias, Version: n, Digest: slipway.DigestOf([]byte{byte(n)}), Author: "cyd",
		Status: protect.Waiting, By: "ada", Reason: "better", Created: start, Expires: start.Add(time.Hour), Revision: 1}
}

func add(t *testing.T, b Backend, r protect.Request) protect.Request {
	t.Helper()
	out, err := b.Store.PutRequest(t.Context(), r, eventtest.At(start, "ada"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func testRequests(t *testing.T, b Backend) {
	ctx := t.Context()
	var all []protect.Request
	for n := 1; n <= 6; n++ {
		r := add(t, b, request(n, []string{"fraud", "churn"}[n%2], []string{"champion", "canary"}[n/4]))
		if r.Number != n {
			t.Fatalf("number %d of %d", r.Number, n)
		}
		all = append(all, r)
	}
	done := all[5]
	done.Status, done.Revision, done.Approvals = protect.Rejected, 2, []protect.Approval{{By: "bob", Roles: []string{"owner"}, Time: start}}
	if got, err := b.Store.PutRequest(ctx, done, eventtest.At(start, "bob")); err != nil || got.Number != 6 {
		t.Fatal(got, err)
	}
	all[5] = done
	for _, c := range []struct {
		q    protect.Query
		want []int
	}{
		{protect.Query{Limit: 10}, []int{6, 5, 4, 3, 2, 1}},
		{protect.Query{Limit: 2, Before: 4}, []int{3, 2}},
		{protect.Query{Limit: 10, Open: true}, []int{5, 4, 3, 2, 1}},
		{protect.Query{Limit: 10, Model: "fraud"}, []int{6, 4, 2}},
		{protect.Query{Limit: 10, Model: "fraud", Alias: "canary", Open: true}, []int{4}},
		{protect.Query{Limit: 10, Alias: "champion"}, []int{3, 2, 1}},
		{protect.Query{Limit: 10, Model: "nothing"}, nil},
	} {
		got, err := b.Store.Requests(ctx, c.q)
		var want []protect.Request
		for _, n := range c.want {
			want = append(want, all[n-1])
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%+v: %v %s", c.q, err, diff)
		}
	}
	if _, err := b.Store.Request(ctx, "req_9"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Error(err)
	}
}

func testRevision(t *testing.T, b Backend) {
	r := add(t, b, request(1, "fraud", "champion"))
	r.Revision = 2
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = b.Store.PutRequest(t.Context(), r, eventtest.At(start, "bob")) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Error(errs)
	}
	if n := len(eventtest.All(t, b.Events)); n != 2 {
		t.Errorf("%d events", n)
	}
}

func testRename(t *testing.T, b Backend) {
	ctx := t.Context()
	if err := b.Models.AddModel(ctx, registry.Model{Name: "fraud", Team: "risk", Created: start, By: "ada"}, nil, eventtest.At(start, "ada")); err != nil {
		t.Fatal(err)
	}
	for i, r := range []protect.Rule{rule(1, "fraud", ""), rule(2, "other", "")} {
		if err := b.Store.PutRule(ctx, r, eventtest.At(start, "ada")); err != nil {
			t.Fatal(i, err)
		}
	}
	add(t, b, request(1, "fraud", "champion"))
	if err := b.Models.RenameModel(b.Store.Renamed(ctx, "nobody", "x"), "nobody", "x", start, eventtest.At(start, "no")); err == nil {
		t.Error("a model that is not there was renamed")
	}
	if err := b.Models.RenameModel(b.Store.Renamed(ctx, "fraud", "scams"), "fraud", "scams", start, eventtest.At(start, "ada")); err != nil {
		t.Fatal(err)
	}
	if rules, err := b.Store.Rules(ctx, "scams", "", false); err != nil || len(rules) != 1 || rules[0].Model != "scams" {
		t.Error(rules, err)
	}
	if rules, err := b.Store.Rules(ctx, "fraud", "", false); err != nil || len(rules) != 0 {
		t.Error(rules, err)
	}
	if r, err := b.Store.Request(ctx, "req_1"); err != nil || r.Model != "scams" {
		t.Error(r, err)
	}
}

func testTogether(t *testing.T, b Backend) {
	ctx := t.Context()
	files := []registry.File{{Path: "MLmodel", Digest: slipway.DigestOf([]byte("m")), Size: 1}}
	v := registry.Version{Model: "fraud", Team: "risk", Digest: registry.DigestOf(files), Files: files, Created: start, By: "cyd"}
	if _, _, err := b.Models.AddVersion(ctx, v, eventtest.At(start, "cyd")); err != nil {
		t.Fatal(err)
	}
	r := request(1, "fraud", "champion")
	add(t, b, r)
	r.Number, r.Status, r.Revision = 1, protect.Done, 2
	move := registry.AliasChange{Model: "fraud", Alias: "champion", To: 2, By: "ada", Time: start}
	with := func() context.Context { return b.Store.Together(ctx, r, eventtest.At(start, "done")) }
	if err := b.Models.SetAlias(with(), move, eventtest.At(start, "moved")); err == nil {
		t.Fatal("an alias of no version")
	}
	if got, _ := b.Store.Request(ctx, r.ID); got.Status != protect.Waiting {
		t.Errorf("the move failed, and its request is %s", got.Status)
	}
	move.To = 1
	if err := b.Models.SetAlias(with(), move, eventtest.At(start, "moved")); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.Store.Request(ctx, r.ID); got.Status != protect.Done {
		t.Errorf("the alias moved, and its request is %s", got.Status)
	}
	if err := b.Models.SetAlias(with(), registry.AliasChange{Model: "fraud", Alias: "champion", To: 1, By: "ada", Time: start}, eventtest.At(start, "again")); err == nil {
		t.Error("a request was used twice")
	}
	if n := len(eventtest.All(t, b.Events)); n != 4 {
		t.Errorf("%d events, not those of the version, the request, the move and its end", n)
	}
}
