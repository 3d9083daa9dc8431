package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// member is one of several servers of one home and one PostgreSQL. Said gets each line that
// it prints.
type member struct {
	cmd  *exec.Cmd
	said chan map[string]any
}

func (s *server) join(database string) *member {
	s.t.Helper()
	m := &member{cmd: exec.Command(s.exe, "up", "--json", "--home", s.home, "--listen", strings.TrimPrefix(s.url, "http://")), said: make(chan map[string]any, 100)}
	m.cmd.Env = append(os.Environ(), "SLIPWAY_DATABASE="+database)
	m.cmd.Stderr = s.t.Output()
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = m.cmd.Process.Kill(); _ = m.cmd.Wait() })
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				m.said <- line
			}
		}
		close(m.said)
	}()
	return m
}

// hear waits until the member says something with the key.
func (m *member) hear(t *testing.T, key string) map[string]any {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line, ok := <-m.said:
			if !ok {
				t.Fatalf("it ended without saying %q", key)
			}
			if line[key] != nil {
				return line
			}
		case <-limit:
			t.Fatalf("it did not say %q", key)
		}
	}
}

// Two servers share one PostgreSQL. One leads; the other takes over when that one is killed
// or paused, each deployment is driven once, and a leader that wakes up too late stands by.
func TestTwoServers(t *testing.T) {
	database := storetest.Postgres(t).URL
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "slipt")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, exe: exe, home: home + "/h", url: "http://127.0.0.1:0"}
	t.Cleanup(func() {
		if out, err := exec.Command(exe, "down", "--home", s.home).CombinedOutput(); err != nil {
			t.Logf("down: %v: %s", err, out)
		}
		removeAll(home)
	})
	first := s.join(database)
	s.url = first.hear(t, "url")["url"].(string)
	token, err := os.ReadFile(s.home + "/owner.token")
	if err != nil {
		t.Fatal(err)
	}
	if s.c, err = client.New(client.Config{BaseURL: s.url, Token: strings.TrimSpace(string(token))}); err != nil {
		t.Fatal(err)
	}
	other := exec.Command(exe, "up", "--json", "--home", home+"/other", "--listen", "127.0.0.1:0")
	other.Env = append(os.Environ(), "SLIPWAY_DATABASE="+database)
	if out, err := other.CombinedOutput(); err == nil || !strings.Contains(string(out), "belongs to the home directory "+s.home) {
		t.Errorf("another home: %v, %s", err, out)
	}
	second := s.join(database)
	if who := second.hear(t, "standby")["standby"].(string); !strings.Contains(who, fmt.Sprintf("process %d ", first.cmd.Process.Pid)) {
		t.Errorf("it stands by for %s", who)
	}
	deploy := func(n int, meanwhile func()) {
		v := s.register(t.Context(), fmt.Sprint("lease ", n))
		d, err := s.c.CreateDeployment(t.Context(), fmt.Sprint("lease ", n), api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
		if err != nil {
			t.Fatal(err)
		}
		meanwhile()
		for now, err := range s.c.WatchDeployment(t.Context(), d.ID) {
			if err != nil {
				t.Fatal(err)
			}
			d = now
		}
		if d.Status != "succeeded" {
			t.Fatalf("deployment %d ended %s: %s", n, d.Status, d.Message)
		}
	}
	deploy(0, func() {})
	deploy(1, func() {
		if err := first.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		second.hear(t, "url")
	})
	third := s.join(database)
	third.hear(t, "standby")
	deploy(2, func() {
		if err := second.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		third.hear(t, "url")
	})
	if err := second.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	second.hear(t, "standby")
	deploy(3, func() {
		if err := third.cmd.Process.Signal(syscall.SIGTERM); err != nil { // lets the lease go
			t.Fatal(err)
		}
		second.hear(t, "url")
	})
	var released []string
	for seq := int64(0); ; {
		events, err := s.c.Events(t.Context(), seq, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if seq++; e.Seq != seq {
				t.Fatalf("event %d has the number %d", seq, e.Seq)
			}
			if e.Action == "deployment.released" {
				released = append(released, e.Subject)
			}
		}
		if len(events) == 0 {
			break
		}
	}
	if slices.Sort(released); len(released) != 4 || len(slices.Compact(released)) != 4 {
		t.Errorf("releases of %q are recorded, want one of each of 4 deployments", released)
	}
}
