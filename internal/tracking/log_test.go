package tracking

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
)

func anyBatch() *rapid.Generator[Batch] {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	return rapid.Custom(func(t *rapid.T) Batch {
		var b Batch
		for range rapid.IntRange(0, 5).Draw(t, "metrics") {
			b.Metrics = append(b.Metrics, Metric{Key: key.Draw(t, "key"), Value: rapid.SampledFrom([]float64{-1, 0, 1, math.NaN()}).Draw(t, "value"),
				Timestamp: rapid.Int64Range(0, 2).Draw(t, "time"), Step: rapid.Int64Range(-1, 1).Draw(t, "step")})
		}
		for _, k := range rapid.SliceOfDistinct(key, rapid.ID).Draw(t, "params") {
			b.Params = append(b.Params, Param{k, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "tags") {
			b.Tags = append(b.Tags, Tag{key.Draw(t, "key"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")})
		}
		return b
	})
}

// A state after any batches is what maps would hold, and what changes say is what differs.
func TestChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now State
		latest, params, tags := map[string]Metric{}, map[string]string{}, map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			b := anyBatch().Draw(t, "batch")
			before := State{slices.Clone(now.Metrics), slices.Clone(now.Params), slices.Clone(now.Tags)}
			c, err := b.change("run", now, batched)
			if d := diff.Diff(before, now, cmpopts.EquateNaNs()); d != "" {
				t.Fatal("the state before was changed", d)
			}
			conflict := slices.ContainsFunc(b.Params, func(p Param) bool { v, ok := params[p.Key]; return ok && v != p.Value })
			if conflict != (err != nil) {
				t.Fatal(conflict, err)
			}
			if conflict {
				continue
			}
			for _, m := range b.Metrics {
				if old, ok := latest[m.Key]; !ok || later(m, old) {
					latest[m.Key] = m
				}
			}
			for _, p := range b.Params {
				params[p.Key] = p.Value
			}
			for _, x := range b.Tags {
				tags[x.Key] = x.Value
			}
			now = c.State
			same(t, latest, now.Metrics, func(m Metric) (string, Metric) { return m.Key, m })
			same(t, params, now.Params, func(p Param) (string, string) { return p.Key, p.Value })
			same(t, tags, now.Tags, func(x Tag) (string, string) { return x.Key, x.Value })
			for _, m := range c.Latest {
				if d := diff.Diff(latest[m.Key], m, cmpopts.EquateNaNs()); d != "" {
					t.Fatal(d)
				}
			}
			for _, m := range now.Metrics {
				if !slices.ContainsFunc(before.Metrics, func(x Metric) bool { return x == m || x.Key == m.Key && math.IsNaN(x.Value) }) && !slices.ContainsFunc(c.Latest, func(x Metric) bool { return x.Key == m.Key }) {
					t.Fatalf("%v is not said to be new", m)
				}
			}
		}
	})
}

// same compares a sorted list with a map.
func same[E, V any](t *rapid.T, want map[string]V, got []E, of func(E) (string, V)) {
	all := map[string]V{}
	for _, e := range got {
		k, v := of(e)
		all[k] = v
	}
	if !slices.IsSortedFunc(got, func(a, b E) int {
		ak, _ := of(a)
		bk, _ := of(b)
		return cmp.Compare(ak, bk)
	}) || len(all) != len(got) {
		t.Fatal("not sorted", got)
	}
	if d := diff.Diff(want, all, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
}

func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "text"), rapid.IntRange(0, 10).Draw(t, "limit")
		got := cut(s, n)
		if !strings.HasPrefix(s, got) || utf8.RuneCountInString(got) != min(n, utf8.RuneCountInString(s)) {
			t.Fatalf("%q cut to %d is %q", s, n, got)
		}
	})
}

func TestNames(t *testing.T) {
	for range 100 {
		name := randomName()
		if _, err := slipway.ParseName(name); err != nil || len(name) > 20 {
			t.Error(name, err)
		}
	}
}

// FuzzChecks: what passes is a path that stays where it is, and a location stays one.
func FuzzChecks(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "//", "a/./b", "ä-1 :", "s3://bucket/x", "runs:/x", "%2e%2e/x#y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkKey(s, "key") == nil && (s == "" || strings.Contains("/"+s+"/", "/../") || strings.Contains(s, "//") || s[0] == '/' || !utf8.ValidString(s)) {
			t.Errorf("%q is a key", s)
		}
		if checkLocation(s) == nil && strings.ContainsAny(s, "#?") {
			t.Errorf("%q is a location", s)
		}
	})
}

// FuzzModelRecord: any text is a description of a model, of which a record is JSON, or is
// refused.
func FuzzModelRecord(f *testing.F) {
	f.Add(`{"run_id":"r","artifact_path":"model","utc_time_created":"2026","flavors":{"sklearn":{"config":1}}}`)
	f.Add(`{"flavors":[]}`)
	f.Fuzz(func(t *testing.T, s string) {
		record, err := modelRecord(s)
		if err != nil {
			if slipway.AsError(err).Kind != slipway.Invalid {
				t.Error(err)
			}
			return
		}
		if !json.Valid(record) {
			t.Errorf("%q became %q", s, record)
		}
	})
}
