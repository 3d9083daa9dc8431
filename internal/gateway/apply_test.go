package gateway_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/route"
)

func code(err error) string {
	if err == nil {
		return ""
	}
	return slipway.AsError(err).Code
}

func TestApply(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	h := open(t, dir, f)
	if w := h.send("GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("ready without a table: %d", w.Code)
	}
	h.apply(table(5, serving(.25)))
	if d := cmp.Diff([]string{"fraud-1", "fraud-2"}, f.want); d != "" {
		t.Error(d)
	}
	if ack, err := h.Apply(table(5, serving(.25))); err != nil || ack.Seq != 5 {
		t.Errorf("the same table again: %v, %v", ack, err)
	}
	for name, old := range map[string]route.Table{"same number": table(5, serving(.5)), "older": table(4, serving(.25))} {
		if _, err := h.Apply(old); code(err) != slipway.CodeConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.stop()
	h = open(t, dir, f)
	if o := h.Observe(); o.Seq != 5 || h.infer().Code != 200 {
		t.Errorf("after a restart: %+v", o)
	}
	h.stop()
	if err := os.WriteFile(filepath.Join(dir, "table.json"), []byte(`{"seq":5,"endp`), 0o600); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir, f)
	if o := h.Observe(); o.Seq != 0 {
		t.Errorf("a damaged table is in force: %+v", o)
	}
	h.apply(table(6, serving(0)))
}

func TestInconsistentTables(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, serving(0)))
	for field, change := range map[string]func(*route.Table){
		"endpoints[0].key":       func(t *route.Table) { t.Endpoints[0].Key = "../x" },
		"endpoints[1].key":       func(t *route.Table) { t.Endpoints = append(t.Endpoints, t.Endpoints[0]) },
		"endpoints[0].deadline":  func(t *route.Table) { t.Endpoints[0].Deadline = 0 },
		"endpoints[0].weight":    func(t *route.Table) { t.Endpoints[0].Weight = 1.1 },
		"endpoints[0].weight ":   func(t *route.Table) { t.Endpoints[0].Weight = math.NaN() },
		"endpoints[0].weight  ":  func(t *route.Table) { t.Endpoints[0].Stable = nil },
		"endpoints[0].rollout":   func(t *route.Table) { t.Endpoints[0].Rollout = nil },
		"endpoints[0].candidate": func(t *route.Table) { t.Endpoints[0].Candidate = t.Endpoints[0].Stable },
		"endpoints[0].state": func(t *route.Table) {
			e := &t.Endpoints[0]
			e.Stable, e.Candidate, e.Rollout, e.Weight = nil, nil, nil, 0
		},
		"endpoints[0].revision":           func(t *route.Table) { t.Endpoints[0].Stable.ID = "" },
		"endpoints[0].rollout.deployment": func(t *route.Table) { t.Endpoints[0].Rollout.Deployment = "../../x" },
		"alpha":                           func(t *route.Table) { t.Endpoints[0].Rollout.Alpha = 0 },
		"p0":                              func(t *route.Table) { t.Endpoints[0].Rollout.P0 = 2 },
		"grants[0].token_sha256":          func(t *route.Table) { t.Grants[0].TokenSHA256 = "abc" },
	} {
		next := table(2, serving(.5))
		change(&next)
		_, err := h.Apply(next)
		if e := slipway.AsError(err); err == nil || e.Kind != slipway.Invalid || e.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if o := h.Observe(); o.Seq != 1 || h.infer().Code != 200 {
		t.Error("a refused table changed something")
	}
}

// steps of the server that a veto must stop, from the table before.
var promotions = map[string]struct{ before, after func() route.Endpoint }{
	"more weight": {func() route.Endpoint { return serving(.1) }, func() route.Endpoint { return serving(.5) }},
	"promote":     {func() route.Endpoint { return serving(.5) }, promoted},
	"retire":      {promoted, retired},
	"next rollout": {promoted, func() route.Endpoint {
		e := retired()
		e.Candidate, e.Weight, e.Rollout = revision(3), .1, rollout()
		e.Rollout.Deployment = "dep_2"
		return e
	}},
}

func promoted() route.Endpoint {
	e := serving(1)
	e.Rollout.Promoted = true
	return e
}

// retired is after the end of keep_previous_warm: the candidate is stable.
func retired() route.Endpoint {
	e := serving(0)
	e.Stable = revision(2)
	return e
}

// A veto and a promotion that meet: whichever comes first wins, whole and durably. A veto
// is one step under the judge's lock. Apply looks for vetoes twice, before it writes the
// table and when it puts it in force: so there are three places for a veto.
func TestVetoAgainstPromotion(t *testing.T) {
	for name, step := range promotions {
		for _, when := range []string{"before", "between", "after"} {
			t.Run(name+"/"+when, func(t *testing.T) {
				f, dir := newFake(), t.TempDir()
				h := open(t, dir, f)
				h.apply(table(1, step.before()))
				next := table(2, step.after())
				veto := func() error {
					_, err := h.Rollback(t.Context(), "fraud", "ana", "")
					return err
				}
				var vetoed, refused error
				switch when {
				case "before":
					vetoed = veto()
					_, refused = h.Apply(next)
				case "between":
					vetoed, refused = h.ApplyAround(next, "fraud", filepath.Join(dir, "table.json"))
				case "after":
					_, refused = h.Apply(next)
					vetoed = veto()
				}
				if when != "after" {
					if vetoed != nil || code(refused) != slipway.CodeVetoed {
						t.Fatalf("veto: %v, table: %v", vetoed, refused)
					}
				} else if refused != nil {
					t.Fatal(refused)
				}
				h.check(t, step.after(), vetoed == nil, refused == nil)
				h.stop()
				h = open(t, dir, f) // and a crash changes nothing
				h.check(t, step.after(), vetoed == nil, refused == nil)
			})
		}
	}
}

// check says that what was rolled back has no traffic, or that what was promoted has it.
func (h *harness) check(t *testing.T, after route.Endpoint, vetoed, applied bool) {
	t.Helper()
	want, stable := uint64(1), "fraud-1"
	if applied {
		want, stable = 2, after.Stable.ID
	}
	if o := h.Observe(); o.Seq != want {
		t.Errorf("table %d is in force, not %d", o.Seq, want)
	}
	entries := h.Journal(0)
	if vetoed != (len(entries) == 1) {
		t.Fatalf("journal: %+v", entries)
	}
	if vetoed && applied && entries[0].Promoted != after.Rollout.Promoted {
		t.Errorf("the veto says promoted: %t", entries[0].Promoted)
	}
	for range 30 {
		if from := h.infer().Header().Get("Slipway-Revision"); vetoed && from != stable {
			t.Fatalf("%s answers after its rollback", from)
		} else if !vetoed && after.Rollout == nil && from != "fraud-2" {
			t.Fatalf("%s answers instead of the new stable", from)
		}
	}
}

// Two actors that know nothing of each other, in random order and at the same time, with
// crashes: an acknowledged promotion and a veto of what was not promoted never both happen.
func TestVetoAgainstPromotionModel(t *testing.T) {
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(root, "g", time.Duration(run).String())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		f := newFake()
		h := open(t, dir, f)
		defer func() { h.stop() }()
		h.apply(table(1, serving(.5)))
		seq, acked := uint64(1), false // acked: the gateway's word for a promotion
		vetoes := map[uint64]bool{}    // by what it said of the promotion
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"weight", "promote", "roll back", "both", "crash", "request"}), 1, 12).Draw(rt, "steps")
		for _, step := range steps {
			apply := func(e route.Endpoint) {
				seq++
				_, err := h.Apply(table(seq, e))
				if err == nil && e.Rollout.Promoted {
					acked = true
				}
				if err != nil && (code(err) != slipway.CodeVetoed || len(h.Journal(0)) == 0) {
					rt.Errorf("table %d: %v", seq, err)
				}
			}
			rollBack := func() {
				if out, err := h.Rollback(t.Context(), "fraud", "ana", ""); err == nil {
					if !out.Journalled {
						rt.Error("not journalled")
					}
				} else if code(err) != slipway.CodeNoPrevious {
					rt.Error(err)
				}
			}
			next := promoted()
			if !acked && step == "weight" {
				next = serving(.7)
			}
			switch step {
			case "weight", "promote":
				apply(next)
			case "roll back":
				rollBack()
			case "both":
				done := make(chan struct{})
				go func() { defer close(done); rollBack() }()
				apply(next)
				<-done
			case "crash":
				h.stop()
				h = open(t, dir, f)
			}
			for _, v := range h.Journal(0) {
				vetoes[v.Seq] = v.Promoted
			}
			if len(vetoes) > 1 {
				rt.Fatalf("two vetoes of one rollout: %v", vetoes)
			}
			for _, promoted := range vetoes {
				if promoted != acked {
					rt.Fatalf("the veto says promoted %t, the acknowledgement %t", promoted, acked)
				}
				if st := h.endpoint(); st.Weight != 0 || h.infer().Header().Get("Slipway-Revision") != "fraud-1" {
					rt.Fatalf("traffic after the rollback: %+v", st)
				}
			}
		}
	})
}

// Whatever lies in the directory, the gateway opens or says why not.
func FuzzOpen(f *testing.F) {
	good, _ := json.Marshal(table(3, serving(.5)))
	f.Add(good, []byte(`{"seq":1,"endpoint":"fraud","rollout":{"deployment":"dep_1","attempt":1}}`+"\n"), []byte(`{}`))
	f.Add([]byte(`{"endpoints":[{"key":"a","deadline":1,"stable":{"id":"a-1"}}]}`), []byte("{}\n{"), []byte(``))
	f.Fuzz(func(t *testing.T, table, journal, judge []byte) {
		dir := t.TempDir()
		err := errors.Join(os.Mkdir(filepath.Join(dir, "judges"), 0o700), os.WriteFile(filepath.Join(dir, "table.json"), table, 0o600),
			os.WriteFile(filepath.Join(dir, "journal.jsonl"), journal, 0o600), os.WriteFile(filepath.Join(dir, "judges", "dep_1-1.json"), judge, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, t.TempDir(), newFake()).config
		c.Dir, c.Metrics = dir, newRegistry()
		g, err := gateway.Open(c)
		if err != nil {
			return
		}
		h := &harness{Gateway: g, t: t}
		h.infer()
		g.Observe()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}
