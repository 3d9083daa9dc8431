package gateway_test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// tally is what users saw.
type tally struct {
	mu     sync.Mutex
	status map[int]int
	last   map[string]time.Time // by revision, when it answered last
}

// drive sends requests at a rate, at random times, for as long as more says. Each has its
// own goroutine, so that slow answers hold up nobody.
func (h *harness) drive(rate float64, rnd *source, more func() bool) *tally {
	t := &tally{status: map[int]int{}, last: map[string]time.Time{}}
	var wg sync.WaitGroup
	for more() {
		time.Sleep(time.Duration(-math.Log(1-rnd.Float64()) / rate * float64(time.Second)))
		wg.Go(func() {
			w := h.infer()
			t.mu.Lock()
			defer t.mu.Unlock()
			t.status[w.Code]++
			t.last[w.Header().Get("Slipway-Revision")] = time.Now()
		})
	}
	wg.Wait()
	return t
}

func within(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().Before(end) }
}

// The case of the design: one in five requests to the candidate fails.
func TestBadCandidateIsRolledBack(t *testing.T) {
	var took []time.Duration
	for seed := range uint64(7) {
		synctest.Test(t, func(t *testing.T) {
			f, rnd := newFake(), seeded(seed)
			h := open(t, t.TempDir(), f)
			h.apply(table(1, serving(.1)))
			ok := after(4*time.Millisecond, value(1))
			f.set("fraud-1", ok)
			f.set("fraud-2", ok)
			h.drive(200, rnd, within(20*time.Second)) // it starts well
			f.set("fraud-2", sometimes(.2, rnd, failing(errBroken), ok))
			more := within(time.Minute)
			seen := h.drive(200, rnd, func() bool { return more() && !h.endpoint().Vetoed })
			if st := h.endpoint(); !st.Vetoed || st.Weight != 0 {
				t.Fatalf("seed %d: no rollback: %s", seed, st.Judgement)
			}
			v := h.Journal(0)
			if len(v) != 1 || v[0].By != "judge" || v[0].Revision != "fraud-2" || v[0].Rollout.Deployment != "dep_1" || v[0].Promoted || v[0].First {
				t.Fatalf("journal: %+v", v)
			}
			took = append(took, v[0].LastRouted.Sub(v[0].FirstBad))
			if len(seen.status) != 1 || seen.status[200] == 0 {
				t.Errorf("users saw %v", seen.status)
			}
			before := h.counts("fraud-2").Requests
			if h.drive(200, rnd, within(5*time.Second)); h.counts("fraud-2").Requests != before {
				t.Error("the candidate gets requests after its rollback")
			}
			if seed == 0 {
				t.Log(v[0].Reason)
			}
			h.stop()
		})
	}
	slices.Sort(took)
	t.Logf("first failure to last request of the candidate: median %v of %v", took[len(took)/2], took)
}

// A hanging candidate is found after its cut-off.
func TestHangingCandidateIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rnd := newFake(), seeded(3)
		h := open(t, t.TempDir(), f)
		h.apply(table(1, serving(.1)))
		f.set("fraud-2", hang)
		more := within(time.Minute)
		seen := h.drive(100, rnd, func() bool { return more() && !h.endpoint().Vetoed })
		if !h.endpoint().Vetoed || len(seen.status) != 1 {
			t.Fatalf("%+v, users saw %v", h.endpoint(), seen.status)
		}
		t.Log("after", h.Journal(0)[0].LastRouted.Sub(h.Journal(0)[0].FirstBad), h.Journal(0)[0].Reason)
		h.stop()
	})
}

func TestSlowCandidateIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rnd := newFake(), seeded(4)
		h := open(t, t.TempDir(), f)
		h.apply(table(1, serving(.2)))
		fast, slow := after(5*time.Millisecond, value(1)), after(200*time.Millisecond, value(1))
		f.set("fraud-1", sometimes(.02, rnd, slow, fast))
		f.set("fraud-2", sometimes(.5, rnd, slow, fast))
		more := within(5 * time.Minute)
		h.drive(100, rnd, func() bool { return more() && !h.endpoint().Vetoed })
		if v := h.Journal(0); len(v) != 1 || !strings.Contains(v[0].Reason, "slow") {
			t.Fatalf("%+v", v)
		}
		if c := h.counts("fraud-1"); c.Slow == 0 {
			t.Error("stable's slow requests are not counted")
		}
		h.stop()
	})
}

// Two identical revisions, each failing now and then, in good and in bad times.
func TestEqualsAreNotRolledBack(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			f, rnd := newFake(), seeded(seed)
			h := open(t, t.TempDir(), f)
			h.apply(table(1, serving(.1)))
			both := func(m model) { f.set("fraud-1", m); f.set("fraud-2", m) }
			ok := sometimes(.05, rnd, after(90*time.Millisecond, value(1)), after(3*time.Millisecond, value(1)))
			both(sometimes(.005, rnd, failing(errBroken), ok))
			h.drive(200, rnd, within(40*time.Second))
			both(sometimes(.5, rnd, failing(errBroken), ok)) // an outage of what both need
			h.drive(200, rnd, within(10*time.Second))
			both(sometimes(.05, rnd, failing(errRejected), ok))
			h.drive(200, rnd, within(20*time.Second))
			if st := h.endpoint(); st.Vetoed || st.Weight != .1 {
				t.Errorf("seed %d: rolled back: %+v", seed, h.Journal(0))
			}
			h.stop()
		})
	}
}

// A first deployment has nothing to go back to: it is withdrawn.
func TestFirstDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rnd := newFake(), seeded(5)
		h := open(t, t.TempDir(), f)
		h.apply(table(1, first()))
		h.drive(100, rnd, func() bool { return h.counts("fraud-2").Requests < 1000 })
		if st := h.endpoint(); !st.Confirmed || st.Vetoed {
			t.Fatalf("not confirmed by 1000 good answers: %s", st.Judgement)
		}
		f.set("fraud-2", failing(errBroken))
		h.drive(100, rnd, within(5*time.Second))
		if v := h.Journal(0); len(v) != 1 || !v[0].First || !v[0].Promoted {
			t.Fatalf("%+v", v)
		}
		w := h.infer()
		if w.Code != 503 || !strings.Contains(w.Body.String(), "SLIP-E0505") || !strings.Contains(w.Body.String(), "requests failed") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		if w := h.send(http.MethodGet, "/v2/models/fraud/ready", callerToken, ""); w.Code != 503 {
			t.Errorf("a withdrawn model is ready: %s", w.Body)
		}
		h.stop()
	})
}

// A restart neither forgets evidence nor counts any twice.
func TestRestartGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rnd, dir := newFake(), seeded(6), t.TempDir()
		h := open(t, dir, f)
		h.apply(table(1, serving(.5)))
		f.set("fraud-2", sometimes(.03, rnd, failing(errBroken), value(1)))
		h.drive(100, rnd, within(4*time.Second))
		time.Sleep(time.Second)
		before := string(h.endpoint().Judgement)
		h.stop()
		h = open(t, dir, f)
		if got := string(h.endpoint().Judgement); got != before || !strings.Contains(got, `"candidate"`) {
			t.Errorf("after the restart:\n%s\nbefore:\n%s", got, before)
		}
		if w := h.infer(); w.Code != 200 {
			t.Errorf("it does not serve at once: %d", w.Code)
		}
		f.set("fraud-2", failing(errBroken))
		more := within(time.Minute)
		h.drive(100, rnd, func() bool { return more() && !h.endpoint().Vetoed })
		veto := h.Journal(0)
		if len(veto) != 1 {
			t.Fatalf("%+v", veto)
		}
		h.stop()
		h = open(t, dir, f)
		if st := h.endpoint(); !st.Vetoed || st.Weight != 0 {
			t.Errorf("the rollback is forgotten: %+v", st)
		}
		h.drive(100, rnd, within(time.Second))
		if n := h.counts("fraud-2").Requests; n != 0 {
			t.Errorf("%d requests go to what was rolled back", n)
		}
		if got := h.Journal(0); len(got) != 1 || got[0].Seq != veto[0].Seq {
			t.Errorf("%+v", got)
		}
		h.apply(table(2, serving(0)))
		if left, _ := filepath.Glob(filepath.Join(dir, "judges", "*")); len(left) != 0 {
			t.Errorf("evidence of a finished rollout: %v", left)
		}
		h.stop()
	})
}

// What was saved of the evidence may be anything.
func TestDamagedEvidence(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "other": `{"judge":{}}`, "huge": `{"judge":{"config":{"alpha":1e999}}}`} {
		t.Run(name, func(t *testing.T) {
			f, dir := newFake(), t.TempDir()
			h := open(t, dir, f)
			h.apply(table(1, serving(.5)))
			h.stop()
			if err := os.WriteFile(filepath.Join(dir, "judges", "dep_1-1.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			h = open(t, dir, f)
			if w := h.infer(); w.Code != 200 || h.endpoint().Weight != .5 {
				t.Errorf("status %d, %+v", w.Code, h.endpoint())
			}
		})
	}
}

func TestManualRollback(t *testing.T) {
	const path = "/v1/endpoints/fraud/rollback"
	f := newFake()
	h := open(t, t.TempDir(), f)
	h.apply(table(1, serving(.5)))
	for _, token := range []string{"", oldToken, callerToken} { // whom the server refuses, which is away
		if w := h.send(http.MethodPost, path, token, "{}"); w.Code != 503 || len(h.Journal(0)) != 0 {
			t.Errorf("status %d, journal %v", w.Code, h.Journal(0))
		}
	}
	if w := h.send(http.MethodPost, path, ownerToken, fmt.Sprintf(`{"reason":%q}`, strings.Repeat("x", 501))); w.Code != 400 {
		t.Errorf("status %d for an endless reason", w.Code)
	}
	w := h.send(http.MethodPost, path, leadToken, `{"reason":"prices look odd"}`)
	for _, has := range []string{`"endpoint":"fraud"`, `"from_revision":"fraud-2"`, `"to_revision":"fraud-1"`, `"journalled":true`, `"took_ms":`, `"veto_seq":`} {
		if !strings.Contains(w.Body.String(), has) {
			t.Errorf("the answer lacks %s: %s", has, w.Body)
		}
	}
	v := h.Journal(0)
	if len(v) != 1 || v[0].By != "lea" || v[0].Reason != "prices look odd" {
		t.Fatalf("%+v", v)
	}
	for range 100 {
		if w := h.infer(); w.Header().Get("Slipway-Revision") != "fraud-1" {
			t.Fatal("a request went to the candidate")
		}
	}
	if w := h.send(http.MethodPost, path, ownerToken, ""); w.Code != 503 { // nothing left to do here: the server's turn
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if got := h.Journal(v[0].Seq); len(got) != 0 {
		t.Errorf("a second veto: %+v", got)
	}
	e := serving(.5)
	e.Rollout.Attempt = 2
	h.apply(table(2, e))
	if st := h.endpoint(); st.Vetoed || st.Weight != .5 || *st.Rollout != (route.RolloutKey{Deployment: "dep_1", Attempt: 2}) {
		t.Errorf("a new attempt: %+v", st)
	}
}
