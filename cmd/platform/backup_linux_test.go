package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/templates"
)

// platform runs a command, and gives what it printed.
func platform(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("platform", args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("platform %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := platform(t, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// predicted is the answer of an endpoint.
func (s *server) predicted(ctx context.Context) string {
	s.t.Helper()
	golden, err := fs.ReadFile(templates.FS, "xgboost/golden.jsonl")
	if err != nil {
		s.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(golden), "\n")
	var record struct{ Inputs json.RawMessage }
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		s.t.Fatal(err)
	}
	body, err := s.c.Invocations(ctx, "fraud", fmt.Appendf(nil, `{"dataframe_records":[%s]}`, record.Inputs))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

// serverAt starts a server on a home that is there.
func serverAt(t *testing.T, home string, args []string, env ...string) *server {
	t.Helper()
	s := &server{t: t, exe: lookPath(t), home: home, args: args, env: append(os.Environ(), env...)}
	s.up("127.0.0.1:0")
	t.Cleanup(func() {
		if out, err := exec.Command("platform", "down", "--home", home).CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
		_ = s.cmd.Wait()
	})
	return s
}

// shortDir is a directory whose sockets have short names.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "slipt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(dir) })
	return dir
}

// awaitReady waits until the endpoint answers.
func (s *server) awaitReady() {
	s.t.Helper()
	for range 1000 {
		if e, err := s.c.Endpoint(s.t.Context(), "fraud"); err == nil && e.Stable != nil && e.Stable.Ready > 0 || err == nil && e.Candidate != nil && e.Candidate.Ready > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the endpoint is not ready after 10 s")
}

// backedUp makes a key and a backup of a server.
func (s *server) backedUp() (target, key string) {
	s.t.Helper()
	target, key = filepath.Join(s.t.TempDir(), "target"), filepath.Join(s.t.TempDir(), "key")
	must(s.t, "backup", "key", "--replace", key, "--home", s.home)
	must(s.t, "backup", "create", target, "--home", s.home)
	return target, key
}

// bringRootKey gives a restored home what no backup has: operators keep a copy of it.
func bringRootKey(t *testing.T, from, to string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(from, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "root.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreIntoTheOtherDatabase: a backup of PostgreSQL comes back in SQLite, and one of
// that in PostgreSQL; the endpoint answers the same each time.
func TestRestoreIntoTheOtherDatabase(t *testing.T) {
	db := storetest.StartPostgres(t)
	s := newServer(t, "SLIPWAY_DATABASE="+db.Database().URL)
	s.deployed("one")
	want := s.predicted(t.Context())
	for _, kind := range []string{"sqlite", "postgres"} {
		target, key := s.backedUp()
		home := filepath.Join(shortDir(t), "h")
		env := []string{"SLIPWAY_DATABASE="}
		if kind == "postgres" {
			env = []string{"SLIPWAY_DATABASE=" + db.Database().URL}
		}
		if _, err := platform(t, env, "backup", "restore", target, "--key", key, "--home", home); err != nil {
			t.Fatal(err)
		}
		bringRootKey(t, s.home, home)
		s = serverAt(t, home, nil, env...)
		s.awaitReady()
		if got := s.predicted(t.Context()); got != want {
			t.Errorf("%s answers %s, want %s", kind, got, want)
		}
	}
}

// TestRestoreIsKilled: a restore that is killed at any moment leaves a home on which no
// server starts, and the same command brings it to its end.
func TestRestoreIsKilled(t *testing.T) {
	unraced(t)
	s := newServer(t)
	s.deployed("one")
	want := s.predicted(t.Context())
	target, key := s.backedUp()
	home := filepath.Join(shortDir(t), "h")
	args := []string{"backup", "restore", target, "--key", key, "--home", home}
	began := time.Now()
	must(t, args...)
	took := time.Since(began)
	for i := range 15 {
		removeAll(home)
		cmd := exec.Command("platform", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(took))
		_ = cmd.Process.Kill()
		if cmd.Wait() == nil {
			continue // it had ended
		}
		if _, err := os.Stat(filepath.Join(home, "RESTORING")); err == nil {
			if out, err := platform(t, nil, "up", "--home", home, "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "SLIP-E1104") {
				t.Fatalf("%d: a server starts on a half: %s %v", i, out, err)
			}
		} else if _, err := os.Stat(filepath.Join(home, "state.db")); err == nil {
			continue // it had brought all back
		}
		must(t, args...)
	}
	bringRootKey(t, s.home, home)
	s = serverAt(t, home, nil)
	s.awaitReady()
	if got := s.predicted(t.Context()); got != want {
		t.Errorf("it answers %s, want %s", got, want)
	}
}

// TestBackupIsKilled: whenever the server is killed while it makes a backup under load,
// what the target lists is whole, and the next backup goes on.
func TestBackupIsKilled(t *testing.T) {
	unraced(t)
	s := newServer(t)
	s.deployed("one")
	target, key := s.backedUp()
	for i := range 8 {
		s.register(t.Context(), fmt.Sprint("killed ", i)) // something new to copy
		if _, err := s.c.CreateBackup(t.Context(), api.CreateBackup{Target: target, Full: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.up("127.0.0.1:0")
		must(t, "backup", "verify", target, "--key", key, "--home", s.home)
	}
	must(t, "backup", "create", target, "--home", s.home)
	must(t, "backup", "verify", target, "--key", key, "--home", s.home)
}

// TestEveryFileOfAHomeHasItsPlace: what appears in a home is named as state, which backups
// copy, or as something else, with a reason.
func TestEveryFileOfAHomeHasItsPlace(t *testing.T) {
	s := newServer(t)
	s.deployed("one")
	s.backedUp()
	err := filepath.WalkDir(s.home, func(path string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.home, path)
		if errors.Is(err, fs.ErrNotExist) || rel == "." {
			return nil
		}
		for _, i := range config.State { // a directory on the way to state
			if strings.HasPrefix(i.Path, rel+"/") {
				return err
			}
		}
		if _, known := config.Belongs(filepath.ToSlash(rel)); !known {
			t.Errorf("%s is neither in config.State nor in config.NotState: would a restore need it?", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestScheduledBackups: the server makes them by itself, a killed one too, and keeps some.
func TestScheduledBackups(t *testing.T) {
	home := filepath.Join(shortDir(t), "h")
	target := filepath.Join(t.TempDir(), "target")
	must(t, "backup", "key", filepath.Join(t.TempDir(), "key"), "--home", home)
	s := serverAt(t, home, []string{"--backup-to", target, "--backup-every", "1h", "--backup-keep", "3"})
	var all api.Backups
	for range 500 {
		out := must(t, "backup", "list", "--json", "--home", home)
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Backups) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(all.Backups) != 1 || all.Every != "1h0m0s" || all.Keep != 3 {
		t.Fatalf("%+v", all)
	}
	events, err := s.c.Events(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if strings.HasPrefix(e.Action, "backup.") {
			got = append(got, e.Action+" by "+e.Actor+" of "+e.Subject)
		}
	}
	if diff := cmp.Diff([]string{"backup.created by system of " + all.Backups[0].ID}, got); diff != "" {
		t.Error(diff)
	}
}

// TestBackupToABucket: the same story with a bucket, of a server of another's making.
func TestBackupToABucket(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("safe"); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(gofakes3.New(backend).Server())
	defer service.Close()
	target := "s3://safe/one?region=us-east-1&endpoint=" + service.URL
	env := []string{"SLIPWAY_BACKUP_ACCESS_KEY_ID=id", "SLIPWAY_BACKUP_SECRET_ACCESS_KEY=the-secret"}
	s := newServerWith(t, lookPath(t), []string{"--backup-to", target}, env...)
	s.deployed("one")
	want := s.predicted(t.Context())
	key := filepath.Join(t.TempDir(), "key")
	must(t, "backup", "key", key, "--home", s.home)
	must(t, "backup", "create", "--home", s.home)
	home := filepath.Join(shortDir(t), "h")
	for _, args := range [][]string{{"backup", "verify", target, "--key", key}, {"backup", "restore", target, "--key", key, "--home", home}} {
		if _, err := platform(t, env, args...); err != nil {
			t.Fatal(err)
		}
	}
	bringRootKey(t, s.home, home)
	again := serverAt(t, home, nil)
	again.awaitReady()
	if got := again.predicted(t.Context()); got != want {
		t.Errorf("it answers %s, want %s", got, want)
	}
	log, err := os.ReadFile(filepath.Join(s.home, "logs", "server.log"))
	if err != nil || bytes.Contains(log, []byte("the-secret")) {
		t.Errorf("the log has the secret, or cannot be read: %v", err)
	}
}

func lookPath(t *testing.T) string {
	t.Helper()
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	return exe
}
