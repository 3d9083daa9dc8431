package trackingtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/tracking"
)

// testAgainstModel makes random runs, and compares searches for them with one that looks
// at each of them.
func testAgainstModel(f *fixture) {
	ctx := f.Context()
	made := 0
	var e string
	var all []tracking.Run
	rapid.Check(f, func(t *rapid.T) {
		if made++; made%10 != 1 && all != nil { // making runs takes longer than finding them
			compare(f, t, e, all)
			return
		}
		e = f.experiment("risk", fmt.Sprint("e", made))
		all = make([]tracking.Run, rapid.IntRange(1, 12).Draw(t, "runs"))
		for i := range all {
			r, err := f.s.CreateRun(ctx, ada, nil, tracking.NewRun{Experiment: e, Name: fmt.Sprint("r", i), Start: rapid.Int64Range(0, 3).Draw(t, "start")})
			if err != nil {
				t.Fatal(err)
			}
			b := tracking.Batch{}
			for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b"}), rapid.ID).Draw(t, "metrics") {
				b.Metrics = append(b.Metrics, tracking.Metric{Key: key, Value: rapid.SampledFrom([]float64{-1, 0, 0.5, 1, math.NaN(), math.Inf(1)}).Draw(t, "value"), Timestamp: 1})
			}
			for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b"}), rapid.ID).Draw(t, "params") {
				b.Params = append(b.Params, tracking.Param{Key: key, Value: rapid.SampledFrom([]string{"", "x", "Xy", "%"}).Draw(t, "text")})
			}
			if err := f.s.LogBatch(ctx, r.ID, b); err != nil {
				t.Fatal(err)
			}
			if all[i], err = f.s.Run(ctx, nil, r.ID); err != nil {
				t.Fatal(err)
			}
		}
		compare(f, t, e, all)
	})
}

// term is a part of a search, as text and as what it means.
type term struct {
	text  string
	holds func(r *tracking.Run) bool
	order func(a, b *tracking.Run) int
}

func compare(f *fixture, t *rapid.T, e string, all []tracking.Run) {
	filters := rapid.SliceOfN(filterTerm(), 0, 3).Draw(t, "filter")
	orders := rapid.SliceOfNDistinct(orderTerm(), 0, 2, func(x term) string { return strings.Fields(x.text)[0] }).Draw(t, "order")
	var want []string
	kept := slices.DeleteFunc(slices.Clone(all), func(r tracking.Run) bool {
		return slices.ContainsFunc(filters, func(x term) bool { return !x.holds(&r) })
	})
	slices.SortFunc(kept, func(a, b tracking.Run) int {
		for _, o := range orders {
			if c := o.order(&a, &b); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.Start, a.Start), strings.Compare(a.ID, b.ID))
	})
	for _, r := range kept {
		want = append(want, r.Name)
	}
	in := tracking.Search{Max: rapid.IntRange(1, 5).Draw(t, "size")}
	var words []string
	for _, x := range filters {
		words = append(words, x.text)
	}
	in.Filter = strings.Join(words, " AND ")
	for _, x := range orders {
		in.OrderBy = append(in.OrderBy, x.text)
	}
	if got := f.found([]string{e}, in); !slices.Equal(got, want) {
		t.Fatalf("%s by %v: %v, want %v", in.Filter, in.OrderBy, got, want)
	}
}

func metric(r *tracking.Run, key string) (float64, bool) {
	for _, m := range r.Metrics {
		if m.Key == key {
			return m.Value, true
		}
	}
	return 0, false
}

func param(r *tracking.Run, key string) (string, bool) {
	for _, p := range r.Params {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

func filterTerm() *rapid.Generator[term] {
	return rapid.Custom(func(t *rapid.T) term {
		key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
		if rapid.Bool().Draw(t, "metric") {
			op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "=", "!="}).Draw(t, "op")
			with := rapid.SampledFrom([]float64{-1, 0, 0.5, 2}).Draw(t, "with")
			holds := map[string]func(v float64) bool{
				"<": func(v float64) bool { return v < with }, "<=": func(v float64) bool { return v <= with }, ">": func(v float64) bool { return v > with },
				">=": func(v float64) bool { return v >= with }, "=": func(v float64) bool { return v == with }, "!=": func(v float64) bool { return v != with },
			}[op]
			return term{text: fmt.Sprintf("metrics.%s %s %v", key, op, with), holds: func(r *tracking.Run) bool {
				v, ok := metric(r, key)
				return ok && holds(v)
			}}
		}
		with := rapid.SampledFrom([]string{"", "x", "X", "%", "x%"}).Draw(t, "with")
		op := rapid.SampledFrom([]string{"=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"}).Draw(t, "op")
		if strings.HasPrefix(op, "IS") {
			return term{text: "params." + key + " " + op, holds: func(r *tracking.Run) bool {
				_, ok := param(r, key)
				return ok == (op == "IS NOT NULL")
			}}
		}
		return term{text: fmt.Sprintf("params.%s %s '%s'", key, op, with), holds: func(r *tracking.Run) bool {
			v, ok := param(r, key)
			switch op {
			case "=":
				return ok && v == with
			case "!=":
				return ok && v != with
			case "ILIKE":
				return ok && like(strings.ToLower(v), strings.ToLower(with))
			}
			return ok && like(v, with)
		}}
	})
}

// like matches patterns in which % is last, if anywhere.
func like(v, pattern string) bool {
	if begin, ok := strings.CutSuffix(pattern, "%"); ok {
		return strings.HasPrefix(v, begin)
	}
	return v == pattern
}

func orderTerm() *rapid.Generator[term] {
	return rapid.Custom(func(t *rapid.T) term {
		key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
		direction, sign := " ASC", 1
		if rapid.Bool().Draw(t, "down") {
			direction, sign = " DESC", -1
		}
		if rapid.Bool().Draw(t, "metric") {
			rank := func(r *tracking.Run) (int, float64) {
				v, ok := metric(r, key)
				switch {
				case !ok:
					return 2, 0
				case math.IsNaN(v):
					return 1, 0
				}
				return 0, v
			}
			return term{text: "metrics." + key + direction, order: func(a, b *tracking.Run) int {
				ar, av := rank(a)
				br, bv := rank(b)
				return cmp.Or(cmp.Compare(ar, br), sign*cmp.Compare(av, bv))
			}}
		}
		return term{text: "params." + key + direction, order: func(a, b *tracking.Run) int {
			av, aok := param(a, key)
			bv, bok := param(b, key)
			if aok != bok {
				if aok {
					return -1
				}
				return 1
			}
			return sign * strings.Compare(av, bv)
		}}
	})
}
