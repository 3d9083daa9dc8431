package imports_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/imports"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
)

func TestRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s, ctx := imports.New(open(t)), t.Context()
		key := func(id string) imports.Key {
			return imports.Key{Source: "https://mlflow.example.com", Kind: "run", SourceID: id}
		}
		var ids []string
		for i := range 450 {
			ids = append(ids, fmt.Sprint("r", i))
		}
		row := imports.Row{Key: key("r7"), ID: "r7", Team: "risk", Place: "mlflow-artifacts:/1/r7/artifacts"}
		if err := errors.Join(s.Put(ctx, row), s.Put(ctx, imports.Row{Key: key("r449"), ID: "x"})); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Find(ctx, row.Source, "run", ids); err != nil || len(found) != 2 {
			t.Errorf("%v, %v", found, err)
		}
		for _, other := range []imports.Key{{"https://other.test", "run", "r7"}, {row.Source, "model", "r7"}} {
			if _, ok, err := s.Get(ctx, other); ok || err != nil {
				t.Errorf("%v: %v, %v", other, ok, err)
			}
			if err := s.Mark(ctx, other, "m"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
				t.Errorf("marking %v: %v", other, err)
			}
		}
		if err := s.Mark(ctx, row.Key, "done"); err != nil {
			t.Fatal(err)
		}
		row.Mark = "done"
		got, ok, err := s.Get(ctx, row.Key)
		if diff := cmp.Diff(row, got); diff != "" || !ok || err != nil {
			t.Errorf("%s, %v, %v", diff, ok, err)
		}
		row.Mark, row.Place = "", "elsewhere"
		if err := s.Put(ctx, row); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Get(ctx, row.Key); got != row || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestRenumber: a version gets the number that it had elsewhere, with its tags and its times,
// unless that is, or was, another's.
func TestRenumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		s, models, ctx := imports.New(db), registrystore.New(db), t.Context()
		now := time.UnixMilli(1_700_000_000_000).UTC()
		event := func() slipway.Event {
			return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Detail: map[string]string{}}
		}
		model := func(name string) {
			t.Helper()
			if err := models.AddModel(ctx, registry.Model{Name: name, Team: "risk", Created: now, Updated: now}, nil, event()); err != nil {
				t.Fatal(err)
			}
		}
		add := func(name string, want int) int {
			t.Helper()
			v, err := models.AppendVersion(ctx, registry.Version{Model: name, Source: "s3://b/x", Stage: registry.StageNone, Created: now, Updated: now, Tags: map[string]string{"wants": fmt.Sprint(want)}}, event())
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Renumber(ctx, name, v.Number, want)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		model("fraud")
		for _, c := range [][2]int{{2, 2}, {5, 5}, {2, 6}, {3, 3}, {6, 7}, {9, 9}} {
			if got := add("fraud", c[0]); got != c[1] {
				t.Errorf("wanting %d it is %d, want %d", c[0], got, c[1])
			}
		}
		if err := s.Date(ctx, "fraud", 5, 1000, 2000); err != nil {
			t.Fatal(err)
		}
		v, err := models.Detail(ctx, "fraud", 5)
		if err != nil || v.Tags["wants"] != "5" || v.Created.UnixMilli() != 1000 || v.Updated.UnixMilli() != 2000 {
			t.Errorf("%+v, %v", v, err)
		}
		if err := models.DeleteVersion(ctx, "fraud", 9, registry.AliasChange{By: "ada", Time: now}, event()); err != nil {
			t.Fatal(err)
		}
		if got := add("fraud", 9); got != 10 {
			t.Errorf("the number of one that was deleted: %d", got)
		}
		if err := models.DeleteModel(ctx, "fraud", registry.AliasChange{By: "ada", Time: now}, event()); err != nil {
			t.Fatal(err)
		}
		model("fraud")
		for _, c := range [][2]int{{4, 11}, {20, 20}} {
			if got := add("fraud", c[0]); got != c[1] {
				t.Errorf("after it was deleted, wanting %d: %d, want %d", c[0], got, c[1])
			}
		}
		if err := s.Date(ctx, "fraud", 0, 3000, 4000); err != nil {
			t.Fatal(err)
		}
		if m, err := models.Model(ctx, "fraud"); err != nil || m.Latest != 20 || m.Created.UnixMilli() != 3000 || m.Updated.UnixMilli() != 4000 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
