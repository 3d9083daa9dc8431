package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// person is invented.
type person struct{ name, phone, card string }

func people(n int) []person {
	first := []string{"Mabel", "Osric", "Thessaly", "Quillon", "Ravenna", "Ignatz", "Wilhelmina", "Bartolo"}
	out := make([]person, n)
	for i := range out {
		out[i] = person{fmt.Sprintf("%s Oakenshield-%04d", first[i%len(first)], i), fmt.Sprintf("+1-202-555-01%04d", i), fmt.Sprintf("4000-0000-%04d-9999", i)}
	}
	return out
}

// found says which of the texts a file holds.
func found(t *testing.T, path string, texts []string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a draft of the running server
		t.Fatal(err)
	}
	for _, text := range texts {
		if bytes.Contains(b, []byte(text)) {
			out = append(out, text)
		}
	}
	return out
}

// put registers a version of one file, for a team.
func (s *server) put(model, team, content string) (api.Version, error) {
	r := api.RegisterVersion{Team: team, Files: []api.File{{Path: "data", Digest: digest([]byte(content)), Size: int64(len(content))}}}
	return s.c.UploadVersion(s.t.Context(), model, r, func(api.File) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }, func(int64, int64) {})
}

// TestNothingInClear: persons who appear in files, in a model that serves, in secrets and in
// requests, good and bad, are nowhere to be read: in no table, no file, no image and no log,
// but for the directory from which the model serves.
func TestNothingInClear(t *testing.T) {
	s := newServer(t)
	all := people(1000)
	var file strings.Builder
	var texts []string
	for _, p := range all {
		fmt.Fprintf(&file, "%s;%s;%s\n", p.name, p.phone, p.card)
		texts = append(texts, p.name, p.phone, p.card)
	}
	s.deployed(file.String())
	if _, err := s.put("persons", "risk", file.String()); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, p := range all {
		team := fmt.Sprint("team-", i/100)
		if _, err := s.c.SetSecret(t.Context(), team, fmt.Sprint("person-", i), api.SetSecret{Value: p.name + " " + p.phone + " " + p.card}); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{
			fmt.Sprintf(`{"dataframe_records":[{"amount":%q,%q:1,"name":%q}]}`, p.name, p.phone, p.card),
			fmt.Sprintf(`{"dataframe_split":{"columns":["name"],"data":[[%q]]}}`, p.name),
			p.name + p.phone + p.card,
		} {
			if _, err := s.c.Invocations(t.Context(), "fraud", []byte(body)); err != nil {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no request was refused")
	}
	s.stopControl() // what is in memory is written
	s.up(strings.TrimPrefix(s.url, "http://"))
	looked, serves := 0, 0
	err := filepath.WalkDir(s.home, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server removes drafts while the walk goes on
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(s.home, path)
		looked++
		if revision, _ := filepath.Match("revisions/*/NOTE", rel); revision {
			serves++
			return nil
		}
		if in := found(t, path, texts); len(in) > 0 {
			t.Errorf("%s holds %d texts of persons, %q first", rel, len(in), in[0])
		}
		return nil
	})
	if err != nil || looked < 20 || serves != 1 {
		t.Errorf("%d files, %d of what serves, %v", looked, serves, err)
	}
	control := filepath.Join(t.TempDir(), "control")
	if err := os.WriteFile(control, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if in := found(t, control, texts); len(in) != len(texts) {
		t.Errorf("the search finds %d of %d texts in clear", len(in), len(texts))
	}
}

// again repeats what a server that is killed meanwhile did not answer, until it did.
func again(ctx context.Context, t *testing.T, what string, do func() error) {
	t.Helper()
	var err error
	for range 400 {
		if err = do(); err == nil {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("%s: %v", what, errors.Join(err, ctx.Err()))
}

// keysOf are the states of the keys of a space.
func (s *server) keysOf(space string) (out []string) {
	s.t.Helper()
	k, err := s.c.Keys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range k.Spaces {
		if v.Space == space {
			for _, version := range v.Versions {
				out = append(out, version.State)
			}
		}
	}
	return out
}

// work rotates, rewraps, sets a secret and shreds a team, whatever happens to the server
// meanwhile.
func (s *server) work(n int) {
	s.t.Helper()
	ctx := s.t.Context()
	doomed := fmt.Sprint("doomed-", n)
	again(ctx, s.t, "registering", func() error { _, err := s.put(doomed, doomed, "the data of "+doomed); return err })
	again(ctx, s.t, "setting a secret", func() error {
		_, err := s.c.SetSecret(ctx, doomed, "key", api.SetSecret{Value: "of " + doomed})
		return err
	})
	again(ctx, s.t, "rotating", func() error {
		_, err := s.c.RotateKeys(ctx, api.RotateKeys{Space: "platform", DestroyOld: n%2 == 0})
		return err
	})
	again(ctx, s.t, "rewrapping", func() error { _, err := s.c.RewrapKeys(ctx); return err })
	again(ctx, s.t, "shredding", func() error {
		_, err := s.c.ShredKeys(ctx, api.ShredKeys{Space: "team/" + doomed, Reason: "a test"})
		if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) { // it was done, but the answer was lost
			err = nil
		}
		return err
	})
}

// whole holds what must be there and what must not.
func (s *server) whole(n int) {
	s.t.Helper()
	doomed := fmt.Sprint("doomed-", n)
	gone := filepath.Join(s.home, "blobs")
	hex := strings.TrimPrefix(digest([]byte("the data of "+doomed)), "sha256:")
	again(s.t.Context(), s.t, "shredding to its end", func() error {
		if states := s.keysOf("team/" + doomed); len(states) == 0 || slices.ContainsFunc(states, func(s string) bool { return s != "destroyed" }) {
			return fmt.Errorf("the keys are %v", states)
		}
		if _, err := os.Stat(filepath.Join(gone, hex[:2], hex+".sealed")); err == nil {
			return errors.New("the file is there")
		}
		left, err := s.c.Secrets(s.t.Context(), doomed)
		if err == nil && len(left) > 0 {
			err = errors.New("the secret is there")
		}
		return err
	})
	// The pipeline reads every file of the version.
	d, err := s.c.CreateDeployment(s.t.Context(), "", api.CreateDeployment{PlatformYAML: quick, Version: 1, Force: true, Reason: "a test"})
	if err != nil {
		s.t.Fatal(err)
	}
	for now, err := range s.c.WatchDeployment(s.t.Context(), d.ID) {
		if err != nil {
			s.t.Fatal(err)
		}
		d = now
	}
	if d.Status != "succeeded" {
		s.t.Errorf("the version of the team whose keys were rotated: %s, %s", d.Status, d.Message)
	}
}

// TestKeysInPlain does the work of TestKeysKilled without a kill.
func TestKeysInPlain(t *testing.T) {
	test := func(t *testing.T, s *server) {
		s.deployed("stays")
		s.work(0)
		s.whole(0)
	}
	t.Run("sqlite", func(t *testing.T) { test(t, newServer(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, newServer(t, "SLIPWAY_DATABASE="+storetest.Postgres(t).URL)) })
}

// TestShredRemovesCopies: what was served from a team's shredded files is not left in clear
// once something else serves, and that goes on.
func TestShredRemovesCopies(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	if _, err := s.c.RegisterVersion(ctx, "fraud", api.RegisterVersion{Team: "risk"}); err == nil {
		t.Error("a version without files")
	}
	const note = "Mabel Oakenshield wrote this"
	if _, err := s.put("fraud", "risk", "the model becomes the team's"); err != nil {
		t.Fatal(err)
	}
	s.deployed(note)
	if _, err := s.c.ShredKeys(ctx, api.ShredKeys{Space: "team/risk", Reason: "a test"}); !errors.Is(err, &slipway.Error{Code: slipway.CodeKeyInUse}) {
		t.Errorf("while it serves: %v", err)
	}
	done, err := s.c.ShredKeys(ctx, api.ShredKeys{Space: "team/risk", Reason: "a test", Force: true})
	if err != nil || len(done.Proof) != 3 || done.Keys != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := s.c.Metadata(ctx, "fraud"); err != nil {
		t.Errorf("it serves no more: %v", err)
	}
	s.deployed("another note")
	s.stopControl()
	s.up(strings.TrimPrefix(s.url, "http://"))
	again(ctx, t, "removing copies", func() error {
		return filepath.WalkDir(s.home, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(note)) {
					return fmt.Errorf("%s has it", path)
				}
			}
			return nil // what goes meanwhile is gone
		})
	})
	if _, err := s.c.Metadata(ctx, "fraud"); err != nil {
		t.Error(err)
	}
}

// TestSecrets: a secret is in the environment of the model's own process and of no other, in
// no file, and there again when the process is started anew while the server is dead.
func TestSecrets(t *testing.T) {
	s := newServer(t)
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"correct-horse-0001", "battery-staple-0002"}
	yaml := strings.Replace(quick, "{source: ./model}", "{source: ./model, command: ["+exe+", demo-server, --socket, '{socket}']}", 1) + "secrets: {DATABASE_PASSWORD: fraud-db}\n"
	ctx := t.Context()
	v := s.register(ctx, "with a secret")
	deploy := func() api.Deployment {
		t.Helper()
		d, err := s.c.CreateDeployment(ctx, "", api.CreateDeployment{PlatformYAML: yaml, Version: v.Number})
		if err != nil {
			t.Fatal(err)
		}
		for now, err := range s.c.WatchDeployment(ctx, d.ID) {
			if err != nil {
				t.Fatal(err)
			}
			d = now
		}
		return d
	}
	if d := deploy(); d.Status != "failed" || d.Code != slipway.CodeSecret || !strings.Contains(d.Next, "platform secrets set fraud-db") {
		t.Errorf("without the secret: %s, %s, %s", d.Status, d.Code, d.Next)
	}
	set := func(value string) api.Secret {
		t.Helper()
		k, err := s.c.SetSecret(ctx, "risk", "fraud-db", api.SetSecret{Value: value})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	set(values[0])
	if d := deploy(); d.Status != "succeeded" {
		t.Fatalf("%s: %s", d.Status, d.Message)
	}
	model := s.holders(t, values[0])
	if len(model) != 1 {
		t.Fatalf("%d processes have it: %v", len(model), model)
	}
	if k := set(values[1]); len(k.Restart) != 1 || k.Version != 2 {
		t.Errorf("after a new value: %+v", k)
	}
	time.Sleep(200 * time.Millisecond) // the gateway is told
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	if err := syscall.Kill(model[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again(ctx, t, "the model with the new value, without a server", func() error {
		if n := len(s.holders(t, values[1])); n != 1 {
			return fmt.Errorf("%d processes have it", n)
		}
		return nil
	})
	err = filepath.WalkDir(s.home, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if in := found(t, path, values); len(in) > 0 {
				t.Errorf("%s holds a value", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	if d := deploy(); d.Unchanged || d.Status != "succeeded" {
		t.Errorf("deployed for the new value: %+v", d)
	}
	if _, err := s.c.Secrets(ctx, "risk"); err != nil {
		t.Error(err)
	}
	if err := s.c.DeleteSecret(ctx, "risk", "fraud-db"); !errors.Is(err, &slipway.Error{Code: slipway.CodeKeyInUse}) {
		t.Errorf("deleting what is needed: %v", err)
	}
}

// holders are the processes that have a value in their environment or on their command line,
// but for those of the tests.
func (s *server) holders(t *testing.T, value string) (out []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		for _, file := range []string{"environ", "cmdline"} {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil && bytes.Contains(b, []byte(value)) && pid != os.Getpid() {
				out = append(out, pid)
			}
		}
	}
	return out
}
