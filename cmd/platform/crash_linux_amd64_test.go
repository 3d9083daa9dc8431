package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/templates"
)

var killPoints = flag.Int("killpoints", 12, "how many times TestKillPoints kills the server")

// traced is a server under the tracer. Ended gets the tracer's exit code.
type traced struct {
	ended chan int
	count string // file
	pid   string // file
}

// trace starts the server so that it is killed at its nth change.
func (s *server) trace(at int, how string) *traced {
	s.t.Helper()
	tracer, err := exec.LookPath("tracer")
	if err != nil {
		s.t.Fatal(err)
	}
	tr := &traced{ended: make(chan int, 1), count: filepath.Join(s.t.TempDir(), "count"), pid: filepath.Join(s.t.TempDir(), "pid")}
	cmd := exec.Command(tracer, strconv.Itoa(at), how, s.exe, "up", "--json", "--home", s.home, "--listen", strings.TrimPrefix(s.url, "http://"))
	cmd.Stderr = s.t.Output()
	cmd.Env = append(append(os.Environ(), s.env...), "TRACE_COUNT="+tr.count, "TRACE_PID="+tr.pid)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_, _ = bufio.NewReader(out).ReadBytes('\n') // ready, or killed before it was
	go func() {
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			tr.ended <- -1
			return
		}
		tr.ended <- cmd.ProcessState.ExitCode()
	}()
	return tr
}

// signal sends a signal to the server by the number in its lock.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.home, "server.lock"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// stopControl ends the control plane alone.
func (s *server) stopControl() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Error(err)
	}
}

// TestKillPoints kills the server at system calls that change something, before, in the
// middle of and after them, spread over its start and one deployment; the next server goes
// on. What was acknowledged is there, nothing half-made is seen, the deployment completes.
// `make crash` does it at 300 points.
func TestKillPoints(t *testing.T) {
	unraced(t)
	onBoth(t, killPointsOf)
}

// onBoth runs a test with the state in SQLite and in PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, *server)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newServer(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, newServer(t, "SLIPWAY_DATABASE="+storetest.Postgres(t).URL)) })
}

func killPointsOf(t *testing.T, s *server) {
	k := &killing{server: *s, process: s}
	k.deploy(t.Context(), 0)
	s.stopControl()
	tr := s.trace(0, killAfter)
	k.deploy(t.Context(), 1)
	s.signal(syscall.SIGTERM)
	if code := <-tr.ended; code != 0 {
		t.Fatalf("the traced server ended with %d", code)
	}
	b, err := os.ReadFile(tr.count)
	if err != nil {
		t.Fatal(err)
	}
	total, err := strconv.Atoi(string(b))
	if err != nil || total < 100 {
		t.Fatalf("%d changes in a start and a deployment, %v", total, err)
	}
	reached := 0
	for i := range *killPoints {
		at, how := 1+i*total/(*killPoints), []string{killBefore, killTorn, killAfter}[i%3]
		if k.at(t.Context(), i+2, at, how) {
			reached++
		}
		if t.Failed() {
			t.Fatalf("point %d, %s change %d of %d", i, how, at, total)
		}
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	k.checkEvents()
	t.Logf("killed at %d of %d points of %d changes", reached, *killPoints, total)
	if reached < *killPoints*3/4 {
		t.Errorf("only %d of %d points were reached", reached, *killPoints)
	}
}

// killing is what was acknowledged so far.
type killing struct {
	server      // as callers know it, who keep their client
	process     *server
	versions    []api.Version
	deployments []api.Deployment
}

// at kills the server at one point of a deployment and looks at what its successor makes of
// it. It answers whether the point was reached.
func (k *killing) at(ctx context.Context, n, at int, how string) bool {
	k.t.Helper()
	tr := k.trace(at, how)
	reached := make(chan bool, 1)
	go func() {
		code := <-tr.ended
		if err := k.process.start(strings.TrimPrefix(k.url, "http://")); err != nil {
			k.t.Error(err)
		}
		reached <- code == killed
	}()
	k.deploy(ctx, n)
	select {
	case <-time.After(10 * time.Millisecond):
		select {
		case hit := <-reached:
			reached <- hit
		default:
			k.kill(tr) // the deployment had fewer changes this time, or the next server starts
		}
	case hit := <-reached:
		reached <- hit
	}
	hit := <-reached
	k.check(ctx)
	k.process.stopControl()
	return hit
}

// kill ends the traced server if it lives.
func (k *killing) kill(tr *traced) {
	k.t.Helper()
	b, err := os.ReadFile(tr.pid)
	if err != nil {
		k.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		k.t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may be dead
}

// deploy registers a version and deploys it, and outlives the server.
func (k *killing) deploy(ctx context.Context, n int) {
	k.t.Helper()
	v := k.register(ctx, fmt.Sprint("kill ", n))
	k.versions = append(k.versions, v)
	d, err := k.c.CreateDeployment(ctx, fmt.Sprint("kill ", n), api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
	if err != nil {
		k.t.Fatal(err)
	}
	for now, err := range k.c.WatchDeployment(ctx, d.ID) {
		if err != nil {
			k.t.Fatal(err)
		}
		d = now
	}
	if d.Status != "succeeded" {
		k.t.Fatalf("deployment %d ended %s: %s", n, d.Status, d.Message)
	}
	k.deployments = append(k.deployments, d)
}

// check holds the state against what was acknowledged.
func (k *killing) check(ctx context.Context) {
	k.t.Helper()
	for _, want := range k.versions {
		got, err := k.c.Version(ctx, "fraud", strconv.Itoa(want.Number))
		if err != nil || got.Digest != want.Digest || len(got.Files) != len(want.Files) {
			k.t.Errorf("version %d is %+v, %v", want.Number, got, err)
		}
	}
	for _, want := range k.deployments {
		got, err := k.c.Deployment(ctx, want.ID)
		if err != nil || got.Status != "succeeded" || got.Image != want.Image {
			k.t.Errorf("deployment %s is %+v, %v", want.ID, got, err)
		}
	}
	// A candidate whose replica is not ready for a moment has no weight for that moment.
	last := k.deployments[len(k.deployments)-1]
	var serving *api.Revision
	for range 500 {
		e, err := k.c.Endpoint(ctx, "fraud")
		if err != nil {
			k.t.Fatal(err)
		}
		if serving = e.Candidate; serving == nil {
			serving = e.Stable
		}
		if serving != nil && serving.Version == last.Version && serving.Weight == 100 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if serving == nil || serving.Version != last.Version || serving.Weight != 100 {
		k.t.Errorf("version %d serves %+v", last.Version, serving)
	}
	if _, err := k.c.Metadata(ctx, "fraud"); err != nil {
		k.t.Error(err)
	}
}

// checkEvents holds the record of changes to be without a gap and to have each step once.
func (k *killing) checkEvents() {
	k.t.Helper()
	created := map[string]int{}
	seq := int64(0)
	for {
		events, err := k.c.Events(context.Background(), seq, 1000)
		if err != nil {
			k.t.Fatal(err)
		}
		for _, e := range events {
			if seq++; e.Seq != seq {
				k.t.Fatalf("event %d has the number %d", seq, e.Seq)
			}
			switch e.Action {
			case "deployment.created":
				created[e.Subject]++
			case "version.registered":
				created[e.Detail["digest"]]++
			}
		}
		if len(events) == 0 {
			break
		}
	}
	for what, n := range created {
		if n != 1 {
			k.t.Errorf("%s is recorded %d times", what, n)
		}
	}
	if want := len(k.deployments) + len(k.versions); len(created) != want {
		k.t.Errorf("%d creations are recorded of %d", len(created), want)
	}
}

var randomKills = flag.Int("kills", 6, "how many processes TestRandomKills kills")

// TestRandomKills kills the server, the gateway and replicas in turn, at random moments of
// deployments, under load. Callers repeat what got no answer at all, as clients do. Nothing
// that was acknowledged is lost, and only what a killed replica had in hand fails.
func TestRandomKills(t *testing.T) {
	unraced(t)
	onBoth(t, randomKillsOf)
}

func randomKillsOf(t *testing.T, s *server) {
	k := &killing{server: *s, process: s}
	k.deploy(t.Context(), 0)
	l := startLoad(t, k.c)
	reached := 0
	for i := range *randomKills {
		what := []string{"server", "gateway", "replica"}[i%3]
		before := l.failed.Load()
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			if pid := k.pidOf(what); pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil {
				reached++
				t.Logf("%s: kill %d, the %s, process %d", time.Now().Format("05.000"), i, what, pid)
			}
			if what == "server" {
				_ = k.process.cmd.Wait()
				if err := k.process.start(strings.TrimPrefix(k.url, "http://")); err != nil {
					t.Error(err)
				}
			}
		}()
		k.deploy(t.Context(), i+1)
		<-done
		k.check(t.Context())
		if n := l.failed.Load() - before; n > 0 && what != "replica" || n > int64(l.callers) {
			t.Errorf("kill %d, of the %s, failed %d requests: %s", i, what, n, *l.first.Load())
		}
		if t.Failed() {
			break
		}
	}
	sent := l.end()
	k.checkEvents()
	t.Logf("%d kills, %d requests, %d failed inside killed replicas, %d sent again", reached, sent, l.failed.Load(), l.again.Load())
	if reached < *randomKills*3/4 {
		t.Errorf("only %d of %d kills found their process", reached, *randomKills)
	}
}

// pidOf finds a process of the platform.
func (k *killing) pidOf(what string) int {
	switch what {
	case "server":
		return k.process.cmd.Process.Pid
	case "gateway":
		// The gateway is the one process that runs as `platform gateway --home HOME`.
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range all {
			b, err := os.ReadFile(file)
			if err == nil && strings.Contains(string(b), "\x00gateway\x00--home\x00"+k.home+"\x00") {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				return pid
			}
		}
	default:
		e, err := k.c.Endpoint(context.Background(), "fraud")
		if err != nil {
			return 0
		}
		for _, r := range []*api.Revision{e.Stable, e.Candidate} {
			if r != nil && len(r.Replicas) > 0 {
				return r.Replicas[0].PID
			}
		}
	}
	return 0
}

// callers ask the endpoint all the time.
type callers struct {
	callers             int
	failed, again, sent atomic.Int64
	first               atomic.Pointer[string]
	stop                context.CancelFunc
	wg                  sync.WaitGroup
}

func startLoad(t *testing.T, c *client.Client) *callers {
	t.Helper()
	golden, err := templates.FS.ReadFile("xgboost/golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(golden), "\n")
	var record struct{ Inputs json.RawMessage }
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"dataframe_records":[%s]}`, record.Inputs)
	ctx, stop := context.WithCancel(t.Context())
	l := &callers{callers: 4, stop: stop}
	for range l.callers {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				l.ask(ctx, c, body)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return l
}

// ask asks once, and again if the connection was lost.
func (l *callers) ask(ctx context.Context, c *client.Client, body []byte) {
	l.sent.Add(1)
	for try := 0; ; try++ {
		_, err := c.Invocations(context.WithoutCancel(ctx), "fraud", body)
		if err == nil {
			return
		}
		if e := slipway.AsError(err); e.Code == slipway.CodeNoServer && try < 100 {
			l.again.Add(1)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		text := time.Now().Format("05.000") + " " + err.Error()
		l.first.Store(&text)
		l.failed.Add(1)
		return
	}
}

func (l *callers) end() int64 {
	l.stop()
	l.wg.Wait()
	return l.sent.Load()
}
