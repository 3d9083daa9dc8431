package rollout_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	rolloutstore "github.com/slipway-ml/slipway/internal/sqlstore/rollout"
	"github.com/slipway-ml/slipway/internal/storetest"
)

func deployment(n int, endpoint string, version int, status rollout.Status) *rollout.Deployment {
	return &rollout.Deployment{ID: fmt.Sprint("dep_", n), Endpoint: endpoint, Model: "fraud", Version: version, Status: status, By: "ada",
		Created: time.Date(2026, 3, 3, 12, n, 0, 0, time.UTC), Revision: &route.Revision{ID: fmt.Sprintf("%s-%d", endpoint, n)}}
}

func ids(ds []rollout.Deployment) (out []string) {
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

func ev(n int) slipway.Event {
	return slipway.Event{ID: fmt.Sprint("evt_", n), Actor: "ada", Action: "thing.changed", Subject: "x"}
}

// TestVersions: what brought a version where is found without reading everything, also when
// an older program has recorded it, and when its model has another name now.
func TestVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db, ctx := open(t), t.Context()
		s := rolloutstore.New(db)
		for i, d := range []*rollout.Deployment{deployment(1, "fraud", 1, rollout.Succeeded), deployment(2, "fraud.staging", 2, rollout.Failed),
			deployment(3, "fraud", 2, rollout.Succeeded), deployment(4, "fraud", 1, rollout.Succeeded), deployment(5, "fraud", 2, rollout.Running)} {
			if err := s.Commit(ctx, rollout.Change{Deployments: []*rollout.Deployment{d}}, ev(i)); err != nil {
				t.Fatal(err)
			}
		}
		look := func(model string, version int, want ...string) {
			t.Helper()
			got, err := s.OfVersion(ctx, model, version, 0, 10)
			if diff := cmp.Diff(want, ids(got)); err != nil || diff != "" {
				t.Errorf("%s:%d: %v %s", model, version, err, diff)
			}
		}
		look("fraud", 2, "dep_5", "dep_3", "dep_2")
		look("fraud", 9)
		if got, err := s.OfVersion(ctx, "fraud", 2, 5, 1); err != nil || len(got) != 1 || got[0].ID != "dep_3" {
			t.Error(ids(got), err)
		}
		next, err := s.Successor(ctx, "fraud", 1)
		if err != nil || next == nil || next.ID != "dep_3" {
			t.Error(next, err)
		}
		if next, err := s.Successor(ctx, "fraud", 4); err != nil || next != nil {
			t.Error(next, err)
		}
		if d, err := s.OfRevision(ctx, "fraud-3"); err != nil || d == nil || d.ID != "dep_3" {
			t.Error(d, err)
		}
		if d, err := s.OfRevision(ctx, ""); err != nil || d != nil {
			t.Error(d, err)
		}
		forget := func(tx *sqlstore.Tx) error {
			_, err := tx.Exec(`UPDATE deployment SET model = '', version = 0, revision = ''`)
			return err
		}
		if err := db.Write(ctx, nil, forget); err != nil { // as an older program leaves it
			t.Fatal(err)
		}
		look("fraud", 2)
		for range 2 {
			if err := s.Index(ctx); err != nil {
				t.Fatal(err)
			}
		}
		look("fraud", 2, "dep_5", "dep_3", "dep_2")
		if err := db.Write(s.Renamed(ctx, "fraud", "scams"), nil, func(*sqlstore.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		look("scams", 2, "dep_5", "dep_3", "dep_2")
		look("fraud", 2)
	})
}

// TestAlso: what several contexts add commits with one change, or not at all.
func TestAlso(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		s := rolloutstore.New(db)
		put := func(n int) func(tx *sqlstore.Tx) error {
			return func(tx *sqlstore.Tx) error {
				_, err := tx.Exec(`INSERT INTO endpoint (key, document) VALUES ($1, '{}')`, fmt.Sprint("e", n))
				return err
			}
		}
		both := func() context.Context {
			return sqlstore.Also(sqlstore.Also(t.Context(), []slipway.Event{ev(1)}, put(1)), []slipway.Event{ev(2)}, put(2))
		}
		count := func(want int) {
			t.Helper()
			all, err := s.Endpoints(t.Context())
			if err != nil || len(all) != want {
				t.Errorf("%d endpoints, not %d: %v", len(all), want, err)
			}
		}
		if err := db.Write(both(), nil, func(*sqlstore.Tx) error { return sqlstore.ErrUnchanged }); err != nil {
			t.Error(err)
		}
		count(0)
		if err := db.Write(both(), nil, put(2)); err == nil { // the second addition is there already
			t.Error("half of a change was committed")
		}
		count(0)
		if err := db.Write(both(), []slipway.Event{ev(3)}, put(3)); err != nil {
			t.Error(err)
		}
		count(3)
	})
}
