package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/templates"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// TestMain makes the test binary the platform when it is called so: by the scripts, and by
// the processes that it starts itself.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"platform": main, "tracer": traceMain})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, Deadline: time.Now().Add(5 * time.Minute),
		Setup: func(e *testscript.Env) error {
			home, err := os.MkdirTemp("", "slipt") // short, for the sockets
			if err != nil {
				return err
			}
			e.Setenv("SLIPWAY_HOME", filepath.Join(home, "h"))
			e.Defer(func() {
				stop := exec.Command("platform", "down", "--home", filepath.Join(home, "h"))
				stop.Env = e.Vars
				_ = stop.Run() // the script has stopped it, unless it failed
				removeAll(home)
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"ready": ready, "until": until},
	})
}

// ready waits until the platform of the script answers.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	for range 1000 {
		if b, err := os.ReadFile(filepath.Join(ts.Getenv("SLIPWAY_HOME"), "address")); err == nil && len(b) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("the platform is not ready after 10 s")
}

// until runs a command again and again until it prints a text.
func until(ts *testscript.TestScript, _ bool, args []string) {
	for range 1000 {
		if err := ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%q was not printed after 20 s", args[0])
}

func removeAll(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}

// server is a platform of a test.
type server struct {
	t    *testing.T
	env  []string // nil: as the test has it
	exe  string
	args []string // beside those of every test
	home string
	cmd  *exec.Cmd
	url  string
	c    *client.Client
}

func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	exe, err := exec.LookPath("platform") // testscript.Main has put it there
	if err != nil {
		t.Fatal(err)
	}
	return newServerOf(t, exe, env...)
}

// newServerOf starts a program of another build. The one that is tested stops it.
func newServerOf(t *testing.T, exe string, env ...string) *server {
	t.Helper()
	return newServerWith(t, exe, nil, env...)
}

// newServerWith starts a program with more arguments.
func newServerWith(t *testing.T, exe string, args []string, env ...string) *server {
	t.Helper()
	home, err := os.MkdirTemp("", "slipt")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, exe: exe, args: args, home: filepath.Join(home, "h")}
	if len(env) > 0 {
		s.env = append(os.Environ(), env...)
	}
	s.up("127.0.0.1:0")
	t.Cleanup(func() {
		if out, err := exec.Command("platform", "down", "--home", s.home).CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
		_ = s.cmd.Wait()
		removeAll(home)
	})
	return s
}

func (s *server) up(listen string) {
	s.t.Helper()
	if err := s.start(listen); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start(listen string) error {
	s.cmd = exec.Command(s.exe, append([]string{"up", "--json", "--home", s.home, "--listen", listen}, s.args...)...)
	s.cmd.Stderr, s.cmd.Env = s.t.Output(), s.env
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ URL string }
	if err != nil || json.Unmarshal(line, &ready) != nil {
		return fmt.Errorf("the server did not start: %w", err)
	}
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		return err
	}
	s.url = ready.URL
	s.c, err = client.New(client.Config{BaseURL: s.url, Token: strings.TrimSpace(string(token))})
	return err
}

// register uploads the model of the template, with a note that makes it a version of its own.
func (s *server) register(ctx context.Context, note string) api.Version {
	s.t.Helper()
	v, err := s.upload(ctx, note)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *server) upload(ctx context.Context, note string) (api.Version, error) {
	model, err := fs.Sub(templates.FS, "xgboost/model")
	if err != nil {
		return api.Version{}, err
	}
	files, err := fs.ReadDir(model, ".")
	if err != nil {
		return api.Version{}, err
	}
	contents := map[string][]byte{"NOTE": []byte(note)}
	for _, f := range files {
		if contents[f.Name()], err = fs.ReadFile(model, f.Name()); err != nil {
			return api.Version{}, err
		}
	}
	return s.send(ctx, "fraud", contents)
}

// send uploads files and registers them as a version.
func (s *server) send(ctx context.Context, model string, contents map[string][]byte) (api.Version, error) {
	var r api.RegisterVersion
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		r.Files = append(r.Files, api.File{Path: name, Digest: digest(contents[name]), Size: int64(len(contents[name]))})
	}
	open := func(f api.File) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(contents[f.Path])), nil }
	return s.c.UploadVersion(ctx, model, r, open, func(int64, int64) {})
}

const quick = "apiVersion: platform/v1\nkind: RealtimeModel\nname: fraud\ntier: 4\nowner: {team: risk}\nmodel: {source: ./model}\n" +
	"rollout: {steps: [{weight: 50}, {weight: 100}], on_no_data: continue, keep_previous_warm: 0s}\n"

// The server is killed at a random moment of each deployment; its successor brings it to
// its end, and predictions never stop.
func TestKilledServerCompletesDeployments(t *testing.T) {
	unraced(t)
	s := newServer(t)
	ctx := t.Context()
	for i := range 8 {
		v := s.register(ctx, fmt.Sprint(i))
		d, err := s.c.CreateDeployment(ctx, fmt.Sprint("key ", i), api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		s.up(strings.TrimPrefix(s.url, "http://"))
		again, err := s.c.CreateDeployment(ctx, fmt.Sprint("key ", i), api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
		if err != nil || again.ID != d.ID {
			t.Fatalf("the same key gave %s, not %s: %v", again.ID, d.ID, err)
		}
		var last api.Deployment
		for now, err := range s.c.WatchDeployment(ctx, d.ID) {
			if err != nil {
				t.Fatal(err)
			}
			last = now
		}
		if last.Status != "succeeded" {
			t.Fatalf("deployment %d was killed and ended %s: %s", i, last.Status, last.Message)
		}
		names := map[string]int{}
		for _, st := range last.Stages {
			names[st.Stage]++
		}
		if len(names) != 5 || len(last.Stages) != 5 {
			t.Errorf("stages %v", names)
		}
		if _, err := s.c.Metadata(ctx, "fraud"); err != nil {
			t.Error(err)
		}
	}
	events, err := s.c.Events(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has the number %d", i, e.Seq)
		}
	}
}

func digest(b []byte) string { return string(slipway.DigestOf(b)) }

// Another build takes over from the one that serves, under load: no request is lost, and
// the replicas go on.
func TestUpgradeLosesNothing(t *testing.T) {
	s := newServer(t)
	v := s.register(t.Context(), "upgrade")
	d, err := s.c.CreateDeployment(t.Context(), "", api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range s.c.WatchDeployment(t.Context(), d.ID) {
		if err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.c.Endpoint(t.Context(), "fraud")
	if err != nil || before.Candidate == nil || len(before.Candidate.Replicas) != 1 {
		t.Fatalf("%+v %v", before, err)
	}
	sent, end := traffic(t, s.c)
	old := s.exe
	if s.exe = filepath.Join(t.TempDir(), "platform"); copyFile(s.exe, old) != nil {
		t.Fatal("the executable was not copied")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil { // the control plane alone
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	for from := sent.Load(); sent.Load() < from+100 && !t.Failed(); time.Sleep(time.Millisecond) {
	}
	end()
	after, err := s.c.Endpoint(t.Context(), "fraud")
	if err != nil {
		t.Fatal(err)
	}
	serving := after.Candidate
	if serving == nil { // confirmed by the load
		serving = after.Stable
	}
	if got, want := serving.Replicas[0], before.Candidate.Replicas[0]; got.PID != want.PID || got.State != "ready" {
		t.Errorf("replica %+v, before %+v", got, want)
	}
	log := filepath.Join(s.home, "logs", "gateway.log")
	for range 1000 { // the old one says so when the last client has gone over
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "handed over") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the gateway was not replaced")
}

// copyFile copies an executable: a copy is another build, by its time of change.
func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o700)
}

// unraced skips a test that starts many processes, each of which takes ten times as long with
// the race detector: other tests play their parts with it.
func unraced(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("runs without the race detector")
	}
}
