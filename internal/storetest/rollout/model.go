package rollouttest

import (
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/rollout"
)

// model is a rollout.Store and a rollout.Ledger that is too simple to be wrong.
type model struct {
	deployments []rollout.Deployment // in order of their numbers
	refused     map[string]string    // endpoint to reason
	vetoes      map[uint64]bool
	events      []string
}

// commit is what Commit has to do; it answers the code of the error.
func (m *model) commit(c rollout.Change, event string) string {
	if c.Veto != nil && m.vetoes[c.Veto.Seq] {
		return ""
	}
	deployments := slices.Clone(m.deployments)
	for _, d := range c.Deployments {
		i := slices.IndexFunc(deployments, func(o rollout.Deployment) bool { return o.ID == d.ID })
		if d.Status == rollout.Running && slices.ContainsFunc(deployments, func(o rollout.Deployment) bool {
			return o.ID != d.ID && o.Endpoint == d.Endpoint && o.Status == rollout.Running
		}) {
			return slipway.CodeInProgress
		}
		if i < 0 {
			deployments = append(deployments, *d)
		} else {
			deployments[i] = *d
		}
	}
	m.deployments = deployments
	if c.Veto != nil {
		m.vetoes[c.Veto.Seq] = true
	}
	if c.Forgive != nil {
		delete(m.refused, c.Forgive.Endpoint)
	}
	if c.Refuse != nil {
		m.refused[c.Refuse.Endpoint] = c.Refuse.Reason
	}
	m.events = append(m.events, event)
	return ""
}

// testModel makes random changes and compares everything after each.
func testModel(f fixture) {
	run, events := 0, int64(0)
	rapid.Check(f, func(t *rapid.T) {
		run++
		_, events = f.since(events) // of the run before
		m := &model{refused: map[string]string{}, vetoes: map[uint64]bool{}}
		gateway := fmt.Sprintf("gw%d", run)
		before := f.newest()
		endpoint := func(label string) string {
			return fmt.Sprintf("r%d-%s", run, rapid.SampledFrom([]string{"a", "b"}).Draw(t, label))
		}
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			var c rollout.Change
			for range rapid.IntRange(0, 2).Draw(t, "deployments") {
				e := endpoint("endpoint")
				id := fmt.Sprintf("dep_%s_%d", e, rapid.IntRange(0, 2).Draw(t, "id"))
				d := dep(id, e, rapid.SampledFrom([]rollout.Status{rollout.Running, rollout.Running, rollout.Failed}).Draw(t, "status"))
				d.Message = fmt.Sprint(step)
				c.Deployments = append(c.Deployments, d)
			}
			if rapid.Bool().Draw(t, "veto") {
				c.Veto = &rollout.VetoKey{Gateway: gateway, Seq: rapid.Uint64Range(1, 4).Draw(t, "seq")}
			}
			if rapid.Bool().Draw(t, "refuse") {
				c.Refuse = &rollout.Refusal{Endpoint: endpoint("refused"), Digest: digest, Reason: fmt.Sprint(step)}
			}
			if rapid.Bool().Draw(t, "forgive") {
				c.Forgive = &rollout.Refusal{Endpoint: endpoint("forgiven"), Digest: digest}
			}
			subject := fmt.Sprintf("%d/%d", run, step)
			want, err := m.commit(c, subject), f.Store.Commit(f.Context(), c, ev(subject))
			if want == "" && err != nil || want != "" && !errors.Is(err, &slipway.Error{Code: want}) {
				t.Fatalf("commit: %v, want %q", err, want)
			}
		}
		f.compare(t, m, before, events, gateway, run)
	})
}

// newest is the number of the newest deployment.
func (f fixture) newest() int {
	list, err := f.Store.Deployments(f.Context(), "", 0, 1)
	if err != nil {
		f.Fatal(err)
	}
	if len(list) == 0 {
		return 0
	}
	return list[0].Number
}

// since lists what the events after a sequence number are about, and gives the last one's.
func (f fixture) since(after int64) (subjects []string, last int64) {
	list, err := f.Events.List(f.Context(), after, 1<<20, "")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range list {
		subjects, after = append(subjects, e.Subject), e.Seq
	}
	return subjects, after
}

func (f fixture) compare(t *rapid.T, m *model, before int, events int64, gateway string, run int) {
	list, err := f.Store.Deployments(f.Context(), "", 0, len(m.deployments))
	if err != nil {
		t.Fatal(err)
	}
	if n := f.newest(); n != before+len(m.deployments) {
		t.Fatalf("%d deployments, want %d", n-before, len(m.deployments))
	}
	slices.Reverse(list)
	for i, got := range list {
		want := m.deployments[i]
		if got.ID != want.ID || got.Status != want.Status || got.Message != want.Message || got.Number != before+i+1 {
			t.Fatalf("deployment %d is %s %s %q, want %s %s %q", got.Number, got.ID, got.Status, got.Message, want.ID, want.Status, want.Message)
		}
	}
	for _, e := range []string{"a", "b"} {
		key := fmt.Sprintf("r%d-%s", run, e)
		r, err := f.Ledger.Refusal(f.Context(), key, digest)
		if reason, ok := m.refused[key]; err != nil || ok != (r != nil) || ok && r.Reason != reason {
			t.Fatalf("refusal of %s: %v, %v, want %q", key, r, err, reason)
		}
	}
	var last uint64
	for seq := range m.vetoes {
		last = max(last, seq)
	}
	if n, err := f.Ledger.LastVeto(f.Context(), gateway); n != last || err != nil {
		t.Fatalf("last veto %d, %v, want %d", n, err, last)
	}
	if got, _ := f.since(events); !slices.Equal(got, m.events) {
		t.Fatalf("events %v, want %v", got, m.events)
	}
}
