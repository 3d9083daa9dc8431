package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
)

var killPoints = flag.Int("killpoints", 12, "how many times TestKillPoints kills the server")

// traced is a server under the tracer. Ended gets the tracer's exit code.
type traced struct {
	ended chan int
	count string // file
}

// trace starts the server so that it is killed at its nth change.
func (s *server) trace(at int, how string) *traced {
	s.t.Helper()
	tracer, err := exec.LookPath("tracer")
	if err != nil {
		s.t.Fatal(err)
	}
	tr := &traced{ended: make(chan int, 1), count: filepath.Join(s.t.TempDir(), "count")}
	cmd := exec.Command(tracer, strconv.Itoa(at), how, s.exe, "up", "--json", "--home", s.home, "--listen", strings.TrimPrefix(s.url, "http://"))
	cmd.Stderr = s.t.Output()
	cmd.Env = append(os.Environ(), "TRACE_COUNT="+tr.count)
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
	s := newServer(t)
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
	server  // as callers know it, who keep their client
	process *server
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
		k.process.up(strings.TrimPrefix(k.url, "http://"))
		reached <- code == killed
	}()
	k.deploy(ctx, n)
	select {
	case <-time.After(10 * time.Millisecond):
		select {
		case hit := <-reached:
			reached <- hit
		default:
			k.signal(syscall.SIGKILL) // the deployment had fewer changes this time
		}
	case hit := <-reached:
		reached <- hit
	}
	hit := <-reached
	k.check(ctx)
	k.process.stopControl()
	return hit
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
	last := k.deployments[len(k.deployments)-1]
	e, err := k.c.Endpoint(ctx, "fraud")
	if err != nil {
		k.t.Fatal(err)
	}
	serving := e.Candidate
	if serving == nil {
		serving = e.Stable
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
