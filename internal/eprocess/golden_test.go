package eprocess_test

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/slipway-ml/slipway/internal/eprocess"
)

// golden is one case of testdata/rollout_vectors.json: reference values computed with 60
// digits.
type golden struct {
	Name    string
	Kind    string
	Lambdas []float64
	R0      float64
	P0      float64
	Cap     *float64
	Events  []goldenEvent
	Epochs  [][]goldenEvent
	LogE    json.RawMessage    `json:"log_e"`
	LogEAt  map[string]float64 `json:"log_e_at"`
	FinalM  []float64          `json:"final_log_m"`
	MaxLogE float64            `json:"max_log_e"`
	First   map[string]int     `json:"first_crossing"`

	Weights  []float64
	Combined float64
	Largest  int

	PStable  float64 `json:"p_stable"`
	Ratio    float64
	Rho      float64
	Level    float64
	Requests float64 `json:"canary_requests"`
}

type goldenEvent struct {
	Rho                                    float64
	C, Y                                   uint64
	Slow                                   *int
	Repeat                                 int
	NCanary, NStable, BadCanary, BadStable uint64
}

func (e *goldenEvent) UnmarshalJSON(b []byte) error {
	var v struct {
		Rho       float64
		C, Y      uint64
		Slow      *int
		Repeat    *int
		NCanary   uint64 `json:"n_canary"`
		NStable   uint64 `json:"n_stable"`
		BadCanary uint64 `json:"bad_canary"`
		BadStable uint64 `json:"bad_stable"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*e = goldenEvent{v.Rho, v.C, v.Y, v.Slow, 1, v.NCanary, v.NStable, v.BadCanary, v.BadStable}
	if v.Repeat != nil {
		e.Repeat = *v.Repeat
	}
	return nil
}

// batch is the event as the kind of test counts it.
func (e goldenEvent) batch(kind string) eprocess.Events {
	switch kind {
	case "absolute":
		return eprocess.Events{N: 1, Ours: e.Y}
	case "slow":
		return eprocess.Events{Rho: e.Rho, N: uint64(*e.Slow), Ours: e.C * uint64(*e.Slow)}
	case "bucket_share":
		share := float64(e.NCanary) / float64(e.NCanary+e.NStable)
		return eprocess.Events{Rho: share, N: e.BadCanary + e.BadStable, Ours: e.BadCanary}
	default:
		return eprocess.Events{Rho: e.Rho, N: 1, Ours: e.C}
	}
}

func near(got, want float64) bool {
	return math.Abs(got-want) <= 1e-12*max(1, math.Abs(want))
}

func goldens(t *testing.T) []golden {
	t.Helper()
	b, err := os.ReadFile("testdata/rollout_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []golden }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

func TestGolden(t *testing.T) {
	ran := map[string]int{}
	for _, c := range goldens(t) {
		run := map[string]func(*testing.T, golden){
			"relative": goldenTest, "slow": goldenTest, "bucket_share": goldenTest, "absolute": goldenTest,
			"combine": goldenCombine, "start_mixture": goldenMixture, "requests_needed": goldenNeeded,
		}[c.Kind]
		if run == nil {
			continue
		}
		ran[c.Kind]++
		t.Run(c.Name, func(t *testing.T) { run(t, c) })
	}
	want := map[string]int{"relative": 22, "absolute": 7, "bucket_share": 5, "slow": 1, "combine": 3, "start_mixture": 1, "requests_needed": 3}
	for kind, n := range want {
		if ran[kind] != n {
			t.Errorf("%d cases of kind %s, want %d", ran[kind], kind, n)
		}
	}
}

// track compares a sequence of log E with what a case says of it.
type track struct {
	t       *testing.T
	c       golden
	each    []float64
	n       int
	highest float64
	first   map[string]int
}

func newTrack(t *testing.T, c golden) *track {
	k := &track{t: t, c: c, highest: math.Inf(-1), first: map[string]int{}}
	if c.LogE != nil {
		if err := json.Unmarshal(c.LogE, &k.each); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k *track) step(logE float64) {
	k.n++
	k.highest = max(k.highest, logE)
	if k.each != nil && !near(logE, k.each[k.n-1]) {
		k.t.Errorf("log E after event %d is %v, want %v", k.n, logE, k.each[k.n-1])
	}
	if want, ok := k.c.LogEAt[strconv.Itoa(k.n)]; ok && !near(logE, want) {
		k.t.Errorf("log E after event %d is %v, want %v", k.n, logE, want)
	}
	for level := range k.c.First {
		alpha, err := strconv.ParseFloat(level, 64)
		if err != nil {
			k.t.Fatal(err)
		}
		if k.first[level] == 0 && logE >= -math.Log(alpha) {
			k.first[level] = k.n
		}
	}
}

func (k *track) end() {
	if k.each != nil && k.n != len(k.each) {
		k.t.Errorf("%d events, want %d", k.n, len(k.each))
	}
	for level, want := range k.c.First {
		if k.first[level] != want {
			k.t.Errorf("crosses level %s at event %d, want %d", level, k.first[level], want)
		}
	}
}

func goldenTest(t *testing.T, c golden) {
	null, limit := eprocess.Relative(c.R0), math.Inf(1)
	if c.Kind == "absolute" {
		null = eprocess.Absolute(c.P0)
	}
	if c.Cap != nil {
		limit = eprocess.Limit(.001, len(c.Lambdas), 3)
		if !near(limit, *c.Cap) {
			t.Errorf("limit is %v, want %v", limit, *c.Cap)
		}
	}
	test, k := eprocess.NewTest(null, c.Lambdas, limit), newTrack(t, c)
	for _, e := range c.Events {
		for range e.Repeat {
			test.Apply(e.batch(c.Kind))
			k.step(test.LogE())
		}
	}
	k.end()
	if k.n > 0 && !near(k.highest, c.MaxLogE) {
		t.Errorf("highest log E is %v, want %v", k.highest, c.MaxLogE)
	}
	for i, got := range test.State() {
		if !near(got, c.FinalM[i]) {
			t.Errorf("bet %d stands at %v, want %v", i, got, c.FinalM[i])
		}
	}
}

func goldenMixture(t *testing.T, c golden) {
	m, k := eprocess.NewMixture(eprocess.Relative(1), c.Lambdas, math.Inf(1)), newTrack(t, c)
	for epoch, events := range c.Epochs {
		for _, e := range events {
			for range e.Repeat {
				m.Apply(int64(epoch), e.batch("relative"))
				k.step(m.LogE())
			}
		}
	}
	k.end()
}

func goldenCombine(t *testing.T, c golden) {
	var logE []float64
	if err := json.Unmarshal(c.LogE, &logE); err != nil {
		t.Fatal(err)
	}
	combined, largest := eprocess.Combine(c.Weights, logE)
	if !near(combined, c.Combined) || largest != c.Largest {
		t.Errorf("combined %v by %d, want %v by %d", combined, largest, c.Combined, c.Largest)
	}
}

func goldenNeeded(t *testing.T, c golden) {
	test := eprocess.NewTest(eprocess.Relative(c.R0), c.Lambdas, math.Inf(1))
	mean, p90 := test.RequestsNeeded(eprocess.Truth{Share: c.PStable, Ratio: c.Ratio, Rho: c.Rho}, c.Level)
	if !near(mean, c.Requests) {
		t.Errorf("needs %v requests, want %v", mean, c.Requests)
	}
	if !(p90 > mean) {
		t.Errorf("one run in ten needs more than %v, the mean is %v", p90, mean)
	}
}
