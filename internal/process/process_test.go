package process_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/process"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// patience ends a test that hangs; none waits for it.
const patience = time.Minute

func dirs(t *testing.T) (dir, runDir string) {
	t.Helper()
	root, err := os.MkdirTemp("", "slw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := leftOvers(root); len(left) > 0 {
			t.Errorf("processes left behind: %v", left)
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		os.RemoveAll(root)
	})
	return filepath.Join(root, "home"), filepath.Join(root, "run")
}

// leftOvers lists live processes that name a directory in their arguments.
func leftOvers(dir string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if bytes.Contains(b, []byte(dir)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// open makes a supervisor that ends everything with the test.
func open(t *testing.T, o process.Options) *process.Supervisor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := process.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.StopAll(ctx) // a released one cannot
		goleak.VerifyNone(t)
	})
	return s
}

func until(t *testing.T, s *process.Supervisor, rev, what string, ok func(route.RevisionStatus) bool) route.RevisionStatus {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		st := s.Status(rev)
		if ok(st) {
			return st
		}
		select {
		case <-s.Changed():
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s never came: %+v", what, st)
		}
	}
}

func allReady(n int) func(route.RevisionStatus) bool {
	return func(st route.RevisionStatus) bool { return st.Ready == n && len(st.Replicas) == n }
}

func pids(st route.RevisionStatus) []int {
	var out []int
	for _, r := range st.Replicas {
		out = append(out, r.PID)
	}
	return out
}

// ask sends a message to some replica and gives the pid of the one that answered.
func ask(s *process.Supervisor, rev string, m message) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, _ := json.Marshal(m)
	out, err := s.Predict(ctx, rev, &tensor.Batch{Tensors: []tensor.Tensor{{Name: string(b)}}})
	if err != nil {
		return 0, err
	}
	return out.Rows(), nil
}

func isNoReplica(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeNoReplica})
}

func TestStartAndPredict(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	if _, err := ask(s, "fraud-1", message{}); !isNoReplica(err) {
		t.Fatalf("before Want: %v", err)
	}
	s.Want([]*route.Revision{revision("fraud-1", 2)})
	st := until(t, s, "fraud-1", "two ready replicas", allReady(2))
	if st.Want != 2 || st.Replicas[0].ID != "fraud-1-r0" || st.Replicas[0].Started.IsZero() || st.Replicas[0].RSSBytes == 0 {
		t.Errorf("status: %+v", st)
	}
	pid, err := ask(s, "fraud-1", message{})
	if err != nil || !slices.Contains(pids(st), pid) {
		t.Errorf("answer of %d, %v; replicas are %v", pid, err, pids(st))
	}
	if sid, err := syscall.Getpgid(pid); err != nil || sid != pid {
		t.Errorf("replica %d is in group %d, %v", pid, sid, err)
	}
	if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", pid)); !strings.HasPrefix(target, filepath.Join(dir, "logs")) {
		t.Errorf("standard output is %s", target)
	}
	if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid)); target != os.DevNull {
		t.Errorf("standard input is %s", target)
	}
}

func TestKilledReplicaFailsOnlyItsOwnRequests(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 2)})
	st := until(t, s, "fraud-1", "two ready replicas", allReady(2))
	victim := st.Replicas[0].PID

	var failed, answered atomic.Int64
	stop := make(chan struct{})
	const callers = 4
	var load sync.WaitGroup
	for range callers {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ask(s, "fraud-1", message{Sleep: time.Millisecond}); err != nil {
					failed.Add(1)
				} else {
					answered.Add(1)
				}
			}
		})
	}
	for answered.Load() < 50 {
		time.Sleep(time.Millisecond)
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := until(t, s, "fraud-1", "a replacement", func(st route.RevisionStatus) bool {
		return st.Ready == 2 && st.Replicas[0].PID != victim
	})
	close(stop)
	load.Wait()
	if after.Replicas[1].PID != st.Replicas[1].PID || after.Replicas[0].Restarts != 1 {
		t.Errorf("after the kill: %+v", after)
	}
	if !strings.Contains(after.Replicas[0].Reason, "signal 9") {
		t.Errorf("reason %q", after.Replicas[0].Reason)
	}
	// Each caller can have one request on the victim when it dies, and one more that was on
	// its way to it.
	if n := failed.Load(); n > 2*callers {
		t.Errorf("%d failed, %d answered", n, answered.Load())
	}
}

// startGateway runs a supervisor in a process of its own.
func startGateway(t *testing.T, dir, runDir string) (cmd *exec.Cmd, ready func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe, gatewayMode, dir, runDir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, func() {
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the gateway said %q, %v", line, err)
		}
	}
}

func TestAdoptAfterKill(t *testing.T) {
	dir, runDir := dirs(t)
	gateway, ready := startGateway(t, dir, runDir)
	ready()
	before := recordedPIDs(t, dir)
	if len(before) != 2 {
		t.Fatalf("records name %v", before)
	}
	if err := gateway.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Wait()

	s := open(t, options(dir, runDir))
	st := until(t, s, "fraud-1", "adopted replicas, before Want", allReady(2))
	if diff := cmp.Diff(before, pids(st)); diff != "" {
		t.Fatalf("adopted others (-recorded +adopted):\n%s", diff)
	}
	s.Want([]*route.Revision{revision("fraud-1", 2)})
	if pid, err := ask(s, "fraud-1", message{}); err != nil || !slices.Contains(before, pid) {
		t.Errorf("answer of %d, %v", pid, err)
	}
	// An adopted replica is no child of ours; its end is noticed all the same.
	_ = syscall.Kill(before[0], syscall.SIGKILL)
	st = until(t, s, "fraud-1", "a replacement", func(st route.RevisionStatus) bool {
		return st.Ready == 2 && st.Replicas[0].PID != before[0]
	})
	if st.Replicas[1].PID != before[1] {
		t.Errorf("the other replica was replaced: %v, then %v", before, pids(st))
	}
}

func recordedPIDs(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "replicas", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, f := range files {
		var rec struct{ PID int }
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &rec)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec.PID)
	}
	return out
}

func TestNothingLeaksWheneverTheGatewayDies(t *testing.T) {
	dir, runDir := dirs(t)
	for range 8 {
		gateway, _ := startGateway(t, dir, runDir)
		time.Sleep(rand.N(300 * time.Millisecond)) // any moment will do
		_ = gateway.Process.Kill()
		_ = gateway.Wait()
	}
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 2)})
	st := until(t, s, "fraud-1", "two ready replicas", allReady(2))
	live := leftOvers(filepath.Join(dir, "config"))
	slices.Sort(live)
	want := pids(st)
	slices.Sort(want)
	if diff := cmp.Diff(want, live); diff != "" {
		t.Errorf("processes (-known +live):\n%s", diff)
	}
}

func TestStraysAndDeadRecordsAreCleaned(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	first := open(t, o)
	first.Want([]*route.Revision{revision("fraud-1", 3)})
	st := until(t, first, "fraud-1", "three ready replicas", allReady(3))
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec := func(slot int) string { return filepath.Join(dir, "replicas", fmt.Sprintf("fraud-1-r%d.json", slot)) }
	// r0 looks as if its gateway died between start and record, r1 has lost its record,
	// r2 is dead.
	intent := fmt.Sprintf(`{"id":"fraud-1-r0","revision":"fraud-1","pid":0,"socket":%q}`, filepath.Join(runDir, "x.sock"))
	if err := errors.Join(os.WriteFile(rec(0), []byte(intent), 0o600), os.WriteFile(rec(1), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(st.Replicas[2].PID, syscall.SIGKILL)
	for alive := true; alive; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", st.Replicas[2].PID))
		alive = err == nil && !bytes.Contains(b, []byte(") Z "))
	}
	second := open(t, o)
	if got := second.Status("fraud-1"); len(got.Replicas) != 0 {
		t.Errorf("adopted %+v", got.Replicas)
	}
	for _, pattern := range []string{dir + "/replicas/*", dir + "/config/*"} {
		if files, _ := filepath.Glob(pattern); len(files) != 0 {
			t.Errorf("files left: %v", files)
		}
	}
	for len(leftOvers(dir)) > 0 { // killed, not yet gone; the test's limit ends this
		time.Sleep(time.Millisecond)
	}
}

func TestUnwantedAdoptedReplicaIsEnded(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	first := open(t, o)
	first.Want([]*route.Revision{revision("fraud-1", 1), revision("fraud-2", 1)})
	until(t, first, "fraud-1", "a ready replica", allReady(1))
	kept := until(t, first, "fraud-2", "a ready replica", allReady(1))
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(first, "fraud-1", message{}); !isNoReplica(err) {
		t.Errorf("after Close: %v", err)
	}
	second := open(t, o)
	second.Want([]*route.Revision{revision("fraud-2", 1)})
	until(t, second, "fraud-1", "its end", allReady(0))
	st := until(t, second, "fraud-2", "the adopted replica", allReady(1))
	if diff := cmp.Diff(pids(kept), pids(st)); diff != "" {
		t.Errorf("the wanted replica was replaced: %s", diff)
	}
}

func TestCrashLoop(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 1, "crash")})
	st := until(t, s, "fraud-1", "a crash loop", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].State == route.ReplicaCrashLoop && st.Replicas[0].PID == 0
	})
	r := st.Replicas[0]
	if r.Restarts != 5 || !strings.Contains(r.Reason, "code 3") || r.PID != 0 {
		t.Errorf("status: %+v", r)
	}
	if len(r.LogTail) != 20 || r.LogTail[19] != "giving up \ufffd[31m" || r.LogTail[18] != "line 29" {
		t.Errorf("log tail: %q", r.LogTail)
	}
}

func TestUnusableExecutable(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Command = []string{filepath.Join(dir, "missing")}
	s := open(t, o)
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, s, "fraud-1", "a failed start", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].Restarts > 0
	})
	if !strings.Contains(st.Replicas[0].Reason, "cannot be started") {
		t.Errorf("reason %q", st.Replicas[0].Reason)
	}
}

func TestNeverReady(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Timing.Start = 200 * time.Millisecond
	s := open(t, o)
	s.Want([]*route.Revision{revision("fraud-1", 1, "deaf")})
	st := until(t, s, "fraud-1", "a restart", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].Restarts > 0
	})
	if !strings.Contains(st.Replicas[0].Reason, "not ready within 200ms") {
		t.Errorf("reason %q", st.Replicas[0].Reason)
	}
}

func TestDrainAnswersRequestsInFlight(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, s, "fraud-1", "a ready replica", allReady(1))
	type result struct {
		pid int
		err error
	}
	slow := make(chan result)
	go func() {
		pid, err := ask(s, "fraud-1", message{Sleep: 300 * time.Millisecond})
		slow <- result{pid, err}
	}()
	time.Sleep(100 * time.Millisecond) // it is with the replica by now; if not, it has no replica and the test fails
	s.Want(nil)
	if _, err := ask(s, "fraud-1", message{}); !isNoReplica(err) {
		t.Errorf("a new request after Want: %v", err)
	}
	if st := s.Status("fraud-1"); len(st.Replicas) != 1 || st.Replicas[0].State != route.ReplicaDraining || st.Want != 0 {
		t.Errorf("while draining: %+v", st)
	}
	if got := <-slow; got.err != nil || got.pid != st.Replicas[0].PID {
		t.Errorf("the request in flight: %+v", got)
	}
	until(t, s, "fraud-1", "its end", allReady(0))
	for _, pattern := range []string{dir + "/replicas/*", dir + "/config/*", runDir + "/*"} {
		if files, _ := filepath.Glob(pattern); len(files) != 0 {
			t.Errorf("files left: %v", files)
		}
	}
}

func TestStubbornReplicaIsKilled(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Timing.Term = 100 * time.Millisecond
	s := open(t, o)
	s.Want([]*route.Revision{revision("fraud-1", 1, "stubborn")})
	until(t, s, "fraud-1", "a ready replica", allReady(1))
	s.Want(nil)
	until(t, s, "fraud-1", "its end", allReady(0))
}

func TestStopAllHurries(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 2, "stubborn")})
	until(t, s, "fraud-1", "ready replicas", allReady(2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.StopAll(ctx); err != nil {
		t.Error(err)
	}
	if left := leftOvers(dir); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

func TestScale(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	one := until(t, s, "fraud-1", "one ready replica", allReady(1))
	s.Want([]*route.Revision{revision("fraud-1", 3)})
	three := until(t, s, "fraud-1", "three ready replicas", allReady(3))
	s.Want([]*route.Revision{revision("fraud-1", 2), revision("fraud-2", 0)})
	two := until(t, s, "fraud-1", "two ready replicas", allReady(2))
	if p := pids(three); p[0] != one.Replicas[0].PID || !slices.Equal(p[:2], pids(two)) {
		t.Errorf("pids %v, %v, %v", pids(one), p, pids(two))
	}
}

func TestDeadSocket(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, s, "fraud-1", "a ready replica", allReady(1))
	if _, err := ask(s, "fraud-1", message{Do: "hide"}); err != nil {
		t.Fatal(err)
	}
	after := until(t, s, "fraud-1", "a replacement", func(after route.RevisionStatus) bool {
		return after.Ready == 1 && after.Replicas[0].PID != st.Replicas[0].PID
	})
	if !strings.Contains(after.Replicas[0].Reason, "health check") {
		t.Errorf("reason %q", after.Replicas[0].Reason)
	}
}

func TestFrozenReplicaIsReplaced(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Timing.Answer = 50 * time.Millisecond
	s := open(t, o)
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, s, "fraud-1", "a ready replica", allReady(1))
	_ = syscall.Kill(st.Replicas[0].PID, syscall.SIGSTOP)
	until(t, s, "fraud-1", "a replacement", func(after route.RevisionStatus) bool {
		return after.Ready == 1 && after.Replicas[0].PID != st.Replicas[0].PID
	})
}

func TestBrokenConnectionIsMadeAgain(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Timing.Health = time.Hour // only the failed request can ask for the check
	var broken atomic.Bool
	var dials atomic.Int64
	o.Dial = func(ctx context.Context, socket string) (process.Conn, error) {
		if _, err := dialFake(ctx, socket); err != nil {
			return nil, err
		}
		first := dials.Add(1) == 1
		return &fakeConn{socket: socket, broken: func() bool { return first && broken.Load() }}, nil
	}
	s := open(t, o)
	s.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, s, "fraud-1", "a ready replica", allReady(1))
	broken.Store(true)
	if _, err := ask(s, "fraud-1", message{}); err == nil {
		t.Fatal("the broken connection answered")
	}
	for {
		pid, err := ask(s, "fraud-1", message{})
		if err == nil {
			if pid != st.Replicas[0].PID {
				t.Errorf("the process was replaced")
			}
			break
		}
	}
}

func TestReleaseHandsOver(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	old := open(t, o)
	old.Want([]*route.Revision{revision("fraud-1", 1)})
	st := until(t, old, "fraud-1", "a ready replica", allReady(1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := process.New(ctx, o); !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
		t.Fatalf("a second supervisor: %v", err)
	}
	old.Release()
	fresh := open(t, o)
	until(t, fresh, "fraud-1", "the adopted replica", allReady(1))
	for _, s := range []*process.Supervisor{old, fresh} {
		if pid, err := ask(s, "fraud-1", message{}); err != nil || pid != st.Replicas[0].PID {
			t.Errorf("answer of %d, %v", pid, err)
		}
	}
	old.Want(nil) // no longer its business
	if err := old.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if st := fresh.Status("fraud-1"); st.Ready != 1 {
		t.Errorf("after the old one closed: %+v", st)
	}
}

func TestMemoryLimitOfKernel(t *testing.T) {
	dir, runDir := dirs(t)
	o := options(dir, runDir)
	o.Cgroups = "/sys/fs/cgroup"
	var log bytes.Buffer
	o.Log = textLog(&log)
	s := open(t, o)
	if strings.Contains(log.String(), "kind=soft") {
		t.Skip("no memory cgroup can be made here")
	}
	rev := revision("fraud-1", 1)
	rev.MemoryBytes = 128 << 20
	s.Want([]*route.Revision{rev})
	until(t, s, "fraud-1", "a ready replica", allReady(1))
	if _, err := ask(s, "fraud-1", message{Do: "eat"}); err == nil {
		t.Fatal("512 MiB fitted into 128 MiB")
	}
	st := until(t, s, "fraud-1", "a restart", func(st route.RevisionStatus) bool {
		return len(st.Replicas) == 1 && st.Replicas[0].Restarts > 0
	})
	if !strings.Contains(st.Replicas[0].Reason, "out of memory") {
		t.Errorf("reason %q", st.Replicas[0].Reason)
	}
}

func TestLongRunDir(t *testing.T) {
	dir, _ := dirs(t)
	_, err := process.New(t.Context(), options(dir, "/"+strings.Repeat("x", 100)))
	if !errors.Is(err, &slipway.Error{Code: slipway.CodeInvalid}) {
		t.Errorf("error %v", err)
	}
}

func TestUnusableRevisionID(t *testing.T) {
	dir, runDir := dirs(t)
	s := open(t, options(dir, runDir))
	s.Want([]*route.Revision{revision("../../etc/x", 1)})
	if st := s.Status("../../etc/x"); len(st.Replicas) != 0 {
		t.Errorf("started %+v", st)
	}
}
