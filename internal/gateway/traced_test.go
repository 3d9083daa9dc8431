package gateway_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// TestWhoAnswered: each answer can be traced by the id that the client got, also by the next
// process; what fits no revision leaves no trace, and no file has an id.
func TestWhoAnswered(t *testing.T) {
	s := newSite(t)
	r := s.start(t, nil, nil)
	h := &harness{Gateway: r.Gateway, t: t, fake: s.fake}
	e := serving(1)
	e.Rollout.Promoted = true
	if err := s.admin().Apply(t.Context(), table(1, e)); err != nil {
		t.Fatal(err)
	}
	s.fake.set("fraud-2", value(2))
	ours := h.infer().Header().Get("X-Request-Id")
	h.infer("X-Request-Id", "order-4711")
	s.fake.set("fraud-2", failing(errBroken))
	h.infer("X-Request-Id", "order-4712")
	s.fake.set("fraud-2", failing(errRejected))
	h.infer("X-Request-Id", "order-4713")
	s.fake.set("fraud-1", failing(errBroken))
	s.fake.set("fraud-2", failing(errBroken))
	h.infer("X-Request-Id", "order-4711")
	h.send("POST", "/v2/models/fraud/infer", callerToken, "{}", "X-Request-Id", "order-4714")
	look := func(id string, want ...route.Answered) {
		t.Helper()
		got, err := s.admin().Answered(t.Context(), id)
		if err != nil || got.Gateway != "local" || len(got.List) != len(want) {
			t.Fatalf("%s: %+v, %v", id, got, err)
		}
		for i, a := range got.List {
			if a.Time.IsZero() || a.Endpoint != "fraud" || a.Revision != want[i].Revision || a.Outcome != want[i].Outcome {
				t.Errorf("%s: %+v, not %+v", id, a, want[i])
			}
		}
	}
	failed := route.Answered{Revision: "fraud-2", Outcome: "failed"}
	answered := route.Answered{Revision: "fraud-2", Outcome: "answered"}
	all := func() {
		t.Helper()
		look(ours, answered)
		look("order-4711", failed, answered)
		look("order-4712", route.Answered{Revision: "fraud-1", Outcome: "rescued"})
		look("order-4713", route.Answered{Revision: "fraud-2", Outcome: "rejected"})
		look("order-4714")
	}
	all()
	if err := s.admin().Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	s2 := newSite(t)
	s.socket, s.addr = s2.socket, s2.addr
	s.start(t, nil, nil)
	all()
	for _, id := range []string{"", "x y" + string(make([]byte, 70))} {
		if _, err := s.admin().Answered(t.Context(), id); slipway.AsError(err).Kind != slipway.Invalid {
			t.Errorf("%q: %v", id, err)
		}
	}
	files, _ := filepath.Glob(s.path("gateway/answered/*"))
	if len(files) < 2 {
		t.Error(files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", f, err)
		}
	}
}
