package registry_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	models "github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

func version(model, content string) models.Version {
	d := slipway.DigestOf([]byte(content))
	return models.Version{Model: model, Digest: d, Source: "git ü", Created: start, By: "ada",
		Files: []models.File{{Path: "MLmodel", Digest: d, Size: 1 << 40}, {Path: "bin/serve", Digest: d, Executable: true}}}
}

func TestVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		s, ctx := registry.New(db), t.Context()
		_, err := s.Version(ctx, "fraud", 0)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			t.Errorf("a version of an unknown model: %v", err)
		}
		for i, content := range []string{"a", "b", "a", "c"} {
			v := version("fraud", content)
			got, added, err := s.AddVersion(ctx, v, eventtest.At(start, "fraud"))
			if err != nil {
				t.Fatal(err)
			}
			v.Number, v.Created = []int{1, 2, 1, 3}[i], start.Truncate(time.Microsecond)
			if diff := cmp.Diff(v, got); diff != "" || added != (i != 2) {
				t.Errorf("%s: added %v, %s", content, added, diff)
			}
			stored, err := s.Version(ctx, "fraud", v.Number)
			if diff := cmp.Diff(v, stored); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		}
		if newest, err := s.Version(ctx, "fraud", 0); err != nil || newest.Number != 3 {
			t.Errorf("the newest is %d, %v, want 3", newest.Number, err)
		}
		recorded := eventtest.All(t, event.New(db))
		if len(recorded) != 3 || recorded[2].Detail["number"] != "3" {
			t.Errorf("events %v, want one for each new version, with its number", recorded)
		}
		if _, _, err := s.AddVersion(ctx, version("claims", "a"), recorded[0].Event); err == nil {
			t.Error("an event was recorded twice")
		}
		if list, err := s.Models(ctx, "", 10); err != nil || !cmp.Equal(list, []models.Model{{Name: "fraud", Latest: 3}}) {
			t.Errorf("models %v, %v, want only fraud", list, err)
		}
		page, err := s.Versions(ctx, "fraud", 3, 1)
		if err != nil || len(page) != 1 || page[0].Number != 2 || page[0].Digest != version("fraud", "b").Digest {
			t.Errorf("below 3: %v, %v", page, err)
		}
		if page, err = s.Versions(ctx, "fraud", 0, 10); err != nil || len(page) != 3 || page[0].Number != 3 {
			t.Errorf("all: %v, %v", page, err)
		}
	})
}

// The same files give one version, and numbers have no gaps, whoever comes first.
func TestVersionsConcurrently(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s := registry.New(open(t))
		var mu sync.Mutex
		numbers, added := map[string]int{}, 0
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				content := fmt.Sprint(i % 6)
				v, first, err := s.AddVersion(t.Context(), version("fraud", content), eventtest.At(start, "fraud"))
				mu.Lock()
				defer mu.Unlock()
				if err != nil || numbers[content] != 0 && numbers[content] != v.Number {
					t.Errorf("%s is version %d and %d, %v", content, numbers[content], v.Number, err)
				}
				numbers[content] = v.Number
				if first {
					added++
				}
			})
		}
		wg.Wait()
		if list, err := s.Models(t.Context(), "", 1); err != nil || len(list) != 1 || list[0].Latest != 6 || added != 6 {
			t.Errorf("%v, %v, %d added, want 6 versions", list, err, added)
		}
	})
}

func TestAliases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		db := open(t)
		s, ctx := registry.New(db), t.Context()
		for _, content := range []string{"a", "b"} {
			if _, _, err := s.AddVersion(ctx, version("fraud", content), eventtest.At(start, "fraud")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Alias(ctx, "fraud", "champion"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			t.Errorf("an unknown alias: %v", err)
		}
		var want []models.AliasChange // the newest first
		for i, to := range []int{1, 2, 1} {
			c := models.AliasChange{Model: "fraud", Alias: "champion", To: to, By: "ada", Reason: "it is better", Time: start.Add(-time.Duration(i) * time.Hour)}
			if err := s.SetAlias(ctx, c, eventtest.At(start, "fraud@champion")); err != nil {
				t.Fatal(err)
			}
			c.From, c.Time = []int{0, 1, 2}[i], c.Time.Truncate(time.Microsecond)
			want = append([]models.AliasChange{c}, want...)
			if n, err := s.Alias(ctx, "fraud", "champion"); n != to || err != nil {
				t.Errorf("alias points at %d, %v, want %d", n, err, to)
			}
		}
		missing := models.AliasChange{Model: "fraud", Alias: "champion", To: 9, By: "ada"}
		if err := s.SetAlias(ctx, missing, eventtest.At(start, "fraud@champion")); slipway.AsError(err).Kind != slipway.Conflict {
			t.Errorf("an alias of a version that is not there: %v, want Conflict", err)
		}
		got, err := s.AliasHistory(ctx, "fraud", 10)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		if n := len(eventtest.All(t, event.New(db))); n != 5 {
			t.Errorf("%d events, want 5", n)
		}
	})
}
