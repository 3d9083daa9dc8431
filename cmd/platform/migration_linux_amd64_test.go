package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// firstChanges is how many system calls of a start change something until the database is
// open and up to date, and some more.
const firstChanges = 80

// TestMigrationInterrupted kills a new server at its first changes on a home of the last
// release, which bring the database up to date. The next server goes on with everything,
// and the home can be given back to the last release each time.
func TestMigrationInterrupted(t *testing.T) {
	unraced(t)
	old := previous(t)
	s := newServerOf(t, old)
	d := s.deployed("before")
	s.stopControl()
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	s.exe = exe
	points, reached := max(8, *killPoints/4), 0
	for i := range points {
		tr := s.trace(1+i*firstChanges/points, []string{killBefore, killTorn, killAfter}[i%3])
		if tr.killed(t) {
			reached++
		}
		s.up(strings.TrimPrefix(s.url, "http://"))
		found, err := s.c.Deployment(t.Context(), d.ID)
		if err != nil || found.Status != "succeeded" || found.Digest != d.Digest {
			t.Fatalf("point %d: %+v, %v", i, found, err)
		}
		if back := s.upgrade(0, "--to", old); back.Database.To != 1 {
			t.Fatalf("point %d: %+v", i, back)
		}
		s.end()
	}
	t.Logf("killed at %d of %d points", reached, points)
	if reached < points/2 {
		t.Errorf("only %d of %d points were reached", reached, points)
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	s.deployed("after")
}

// killed waits until the traced server is killed. One that got further than its point is
// killed now, and the answer is false.
func (tr *traced) killed(t *testing.T) bool {
	t.Helper()
	select {
	case code := <-tr.ended:
		return code == killed
	case <-time.After(300 * time.Millisecond): // it has said that it is ready, so it will not come there
	}
	b, err := os.ReadFile(tr.pid)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may be dead
	<-tr.ended
	return false
}

// end stops a control plane that is not our child.
func (s *server) end() {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.home, "server.lock"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	for range 3000 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the server does not end")
}
