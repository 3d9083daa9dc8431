package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
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
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/templates"
)

// released is the last release before this one: the program that people upgrade from.
const released = "feb3ddd7786a0260379e360423de7ebdfc643f6e"

// previous builds the program of the last release from the history of this repository.
func previous(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if exec.Command("git", "-C", root, "cat-file", "-e", released+"^{commit}").Run() != nil {
		t.Skip("this copy of the repository does not have the last release: git fetch --unshallow")
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	exe := filepath.Join(dir, "platform")
	for _, args := range [][]string{
		{"git", "-C", root, "archive", "-o", archive, released},
		{"tar", "-C", dir, "-xf", archive},
		{"go", "build", "-C", dir, "-trimpath", "-ldflags", "-X main.version=v0.2.0", "-o", exe, "./cmd/platform"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return exe
}

// traffic asks an endpoint without a pause and without a second try.
func traffic(t *testing.T, c *client.Client) (sent *atomic.Int64, end func()) {
	t.Helper()
	golden, err := fs.ReadFile(templates.FS, "xgboost/golden.jsonl")
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
	var wg sync.WaitGroup
	sent = new(atomic.Int64)
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.Invocations(context.WithoutCancel(ctx), "fraud", body); err != nil {
					t.Error("lost:", err)
					return
				}
				sent.Add(1)
			}
		})
	}
	return sent, func() { stop(); wg.Wait() }
}

// upgraded is what the command answers.
type upgraded struct {
	From, To, Previous, Program string
	Changed                     bool
	Database                    struct {
		From, To int64
		Backup   string
	}
	Code, Detail, Next string // of an error
}

func (s *server) upgrade(want int, args ...string) (out upgraded) {
	s.t.Helper()
	cmd := exec.Command("platform", append([]string{"upgrade", "--json", "--home", s.home}, args...)...)
	text, _ := cmd.Output()
	if want != 0 {
		text = nil
	}
	if cmd.ProcessState.ExitCode() != want {
		s.t.Fatalf("upgrade %v ended with %d: %s", args, cmd.ProcessState.ExitCode(), text)
	}
	if want == 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			s.t.Fatal(err, string(text))
		}
	}
	return out
}

func (s *server) deployed(note string) api.Deployment {
	s.t.Helper()
	d, err := s.deploy(s.t.Context(), note)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// deploy uploads, deploys and waits; its error is also that of a deployment which failed.
func (s *server) deploy(ctx context.Context, note string) (api.Deployment, error) {
	v, err := s.upload(ctx, note)
	if err != nil {
		return api.Deployment{}, err
	}
	return s.bring(ctx, quick, v)
}

// bring deploys a version and waits.
func (s *server) bring(ctx context.Context, yaml string, v api.Version) (api.Deployment, error) {
	d, err := s.c.CreateDeployment(ctx, "", api.CreateDeployment{PlatformYAML: yaml, Version: v.Number})
	if err != nil {
		return d, err
	}
	for now, err := range s.c.WatchDeployment(ctx, d.ID) {
		if err != nil {
			return d, err
		}
		d = now
	}
	if d.Status != "succeeded" {
		return d, &slipway.Error{Code: d.Code, Message: d.Message, Next: d.Next}
	}
	return d, nil
}

func (s *server) version() string {
	s.t.Helper()
	i, err := s.c.Info(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return i.Version
}

// TestUpgradeAndBack goes from the last release to this program and back, twice, under
// load: no request is lost, and each deploys what the other has left.
func TestUpgradeAndBack(t *testing.T) {
	old := previous(t)
	s := newServerOf(t, old)
	s.deployed("before")
	sent, end := traffic(t, s.c)
	for i := range 2 {
		up := s.upgrade(0)
		if up.From != "v0.2.0" || up.To != version || !up.Changed || up.Database.From != 1 || s.version() != version {
			t.Fatalf("%+v, %s serves", up, s.version())
		}
		if again := s.upgrade(0); again.Changed {
			t.Errorf("%+v", again)
		}
		s.deployed(fmt.Sprint("upgraded ", i))
		again(t.Context(), t, "encrypting what the older one has stored", func() error {
			if k, err := s.c.Keys(t.Context()); err != nil || k.InClear.Blobs > 0 {
				return fmt.Errorf("%+v, %w", k.InClear, err)
			}
			plain, err := filepath.Glob(filepath.Join(s.home, "blobs", "??", strings.Repeat("?", 64)))
			if err != nil || len(plain) > 0 {
				return fmt.Errorf("%v are in clear, %w", plain, err)
			}
			return nil
		})
		down := s.upgrade(0, "--to", up.Previous)
		if down.To != "v0.2.0" || down.Database.From != sqlstore.Schema() || down.Database.To != 1 || s.version() != "v0.2.0" {
			t.Fatalf("%+v, %s serves", down, s.version())
		}
		for _, file := range []string{up.Database.Backup, down.Database.Backup} {
			if info, err := os.Stat(file); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", file, err)
			}
		}
		s.deployed(fmt.Sprint("back ", i))
	}
	for from := sent.Load(); sent.Load() < from+100 && !t.Failed(); time.Sleep(time.Millisecond) {
	}
	end()
	history, err := s.c.Deployments(t.Context(), "fraud", 0, 50)
	if err != nil || len(history) != 5 {
		t.Errorf("%d deployments are known: %v", len(history), err)
	}
}

// written is a program that is a shell script.
func written(t *testing.T, name, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// says makes a script answer what it is.
const says = `[ "$1" = version ] && echo '{"version":"v9","schema":9,"runtimes":["tree"]}' && exit
`

// TestUpgradeKilled kills the command when the old server has stopped and no other has
// started: models serve on, every command names the one that goes on, and that does.
func TestUpgradeKilled(t *testing.T) {
	unraced(t)
	s := newServer(t)
	s.deployed("before")
	sent, end := traffic(t, s.c)
	mark := filepath.Join(t.TempDir(), "started")
	cmd := exec.Command("platform", "upgrade", "--home", s.home, "--to", written(t, "stalls", says+"echo $$ > "+mark+".new; mv "+mark+".new "+mark+"; exec sleep 1000\n"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var next int
	for range 6000 {
		if b, err := os.ReadFile(mark); err == nil {
			if next, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
				t.Fatal(err)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil || next == 0 {
		t.Fatal("the upgrade did not come so far", err)
	}
	_, _ = cmd.Wait(), s.cmd.Wait() // the one was killed, the other stopped
	if err := syscall.Kill(next, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"doctor"}, {"deployments"}, {"upgrade"}} {
		out, _ := exec.Command("platform", append(args, "--home", s.home)...).CombinedOutput()
		if !strings.Contains(string(out), "next: platform up\n") {
			t.Errorf("%s does not say what to do: %s", args, out)
		}
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	if v := s.version(); v != version {
		t.Errorf("%s serves", v)
	}
	s.deployed("after")
	for from := sent.Load(); sent.Load() < from+100 && !t.Failed(); time.Sleep(time.Millisecond) {
	}
	end()
}

// TestUpgradeRefused: what an older program could not go on with is not given to it, and
// one that does not come up is replaced by the one before; callers notice nothing.
func TestUpgradeRefused(t *testing.T) {
	s := newServer(t)
	s.deployed("here")
	_, end := traffic(t, s.c)
	program := func(name, script string) string { return written(t, name, script) }
	refused := func(want, code string, args ...string) {
		t.Helper()
		cmd := exec.Command("platform", append([]string{"upgrade", "--json", "--home", s.home}, args...)...)
		var text strings.Builder
		cmd.Stderr = &text
		if err := cmd.Run(); err == nil || !strings.Contains(text.String(), want) || !strings.Contains(text.String(), code) {
			t.Errorf("%v: %v %s, want %q", args, err, text.String(), want)
		}
		if v := s.version(); v != version {
			t.Fatalf("%s serves after it", v)
		}
	}
	refused("ended as soon as it was started: broken", "SLIP-E0", "--to", program("dies", says+"echo broken; exit 3"))
	refused("is no program of this platform", "SLIP-E0007", "--to", program("other", "echo hello"))
	refused("is no program of this platform", "SLIP-E0007", "--to", "/nowhere")

	url, _ := elsewhere(t)
	dir := t.TempDir()
	for _, args := range [][]string{{"adopt", url, "--name", "twice", "--team", "risk"}, {"deploy", "--watch", "-f", "twice/platform.yaml"}} {
		cmd := exec.Command("platform", append(args, "--home", s.home)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	refused("twice runs on the runtime remote, which v1 does not have", "SLIP-E0609", "--to", program("older", strings.ReplaceAll(strings.ReplaceAll(says, "v9", "v1"), "9,", "1,")))
	all := program("without-accounts", `[ "$1" = version ] && echo '{"version":"v2","schema":2,"runtimes":["tree","command","python","remote"]}' && exit
`)
	if _, err := s.c.CreateAccount(t.Context(), api.CreateAccount{Name: "ada", Kind: slipway.Person}); err != nil {
		t.Fatal(err)
	}
	refused("ada and its roles would be lost", "SLIP-E0609", "--to", all)
	end()
	if plan := s.upgrade(0, "--plan", "--to", program("newer", says)); plan.To != "v9" || !plan.Changed || s.version() != version {
		t.Errorf("%+v", plan)
	}
}
