package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/slipway-ml/slipway/internal/route"
)

// sharedRevision is one of a pool, whose model loads as the text says.
func sharedRevision(t *testing.T, id, text string) *route.Revision {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &route.Revision{ID: id, Replicas: 1, ImageDigest: "sha256:00", Dir: dir, Runtime: route.Runtime{Kind: route.RuntimeTree, Shared: "risk.production"}}
}

func TestPoolHostsManyRevisions(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	s := open(t, o)
	a, b, bad := sharedRevision(t, "a-1", "ok"), sharedRevision(t, "b-1", "ok"), sharedRevision(t, "bad-1", "torn")
	s.Want([]*route.Revision{a, b, bad, revision("own-1", 1)})
	st := until(t, s, "a-1", "a ready model", allReady(1))
	other := until(t, s, "b-1", "a ready model", allReady(1))
	own := until(t, s, "own-1", "a ready replica", allReady(1))
	if p := st.Replicas[0]; p.PID != other.Replicas[0].PID || p.PID == own.Replicas[0].PID || p.Pool != "risk.production" {
		t.Errorf("a %+v\nb %+v\nown %+v", st, other, own)
	}
	if pid, err := ask(s, "b-1", message{}); err != nil || pid != st.Replicas[0].PID {
		t.Errorf("answer of %d, %v", pid, err)
	}
	// One that cannot be loaded says why, and harms no other.
	broken := until(t, s, "bad-1", "a crash loop", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].State == route.ReplicaCrashLoop
	})
	if r := broken.Replicas[0]; broken.Ready != 0 || !strings.Contains(r.Reason, "torn") || r.PID != st.Replicas[0].PID {
		t.Errorf("the broken one: %+v", broken)
	}
	// The pool outlives its supervisor, and its models are not loaded again.
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := open(t, o)
	next.Want([]*route.Revision{a, b})
	again := until(t, next, "b-1", "the adopted pool", allReady(1))
	if again.Replicas[0].PID != st.Replicas[0].PID {
		t.Errorf("the pool was replaced: %+v", again)
	}
	// It goes with its last revision.
	next.Want([]*route.Revision{a})
	if st := next.Status("b-1"); len(st.Replicas) != 0 {
		t.Errorf("no longer wanted: %+v", st)
	}
	if _, err := ask(next, "a-1", message{}); err != nil {
		t.Error(err)
	}
	next.Want(nil)
	for len(leftOvers(filepath.Join(dir, "config"))) > 0 { // the test's limit ends this
		<-next.Changed()
	}
}

func TestKilledPoolGoesOn(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{sharedRevision(t, "a-1", "ok")})
	st := until(t, s, "a-1", "a ready model", allReady(1))
	_ = syscall.Kill(st.Replicas[0].PID, syscall.SIGKILL)
	after := until(t, s, "a-1", "another process", func(now route.RevisionStatus) bool {
		return now.Ready == 1 && now.Replicas[0].PID != st.Replicas[0].PID
	})
	if _, err := ask(s, "a-1", message{}); err != nil || after.Replicas[0].Restarts != 1 {
		t.Errorf("after the kill: %v, %+v", err, after)
	}
}

// TestModelThatEndsItsPool: after three crashes it has a process of its own, in which it goes
// on to crash, and the pool is well.
func TestModelThatEndsItsPool(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	crash := sharedRevision(t, "crash-1", "crash")
	crash.Runtime.Command = []string{"crash"}
	s.Want([]*route.Revision{sharedRevision(t, "a-1", "ok"), crash})
	until(t, s, "crash-1", "processes of its own", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].ID == "crash-1-r0" && st.Replicas[0].State == route.ReplicaCrashLoop
	})
	st := until(t, s, "a-1", "a pool that goes on", allReady(1))
	if _, err := ask(s, "a-1", message{}); err != nil || st.Replicas[0].Restarts != 3 {
		t.Errorf("%v, %+v", err, st)
	}
}
