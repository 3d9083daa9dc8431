package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/doctor"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// state is a store with one endpoint and its deployments, newest first.
type state struct {
	endpoint rollout.Endpoint
	all      []rollout.Deployment
	refused  slipway.Digest
	models   []registry.Model
	artifact slipway.Digest
}

func (s *state) Endpoints(context.Context) ([]rollout.Endpoint, error) {
	return []rollout.Endpoint{s.endpoint}, nil
}

func (s *state) Deployments(_ context.Context, _ string, before, limit int) (out []rollout.Deployment, _ error) {
	for _, d := range s.all {
		if before == 0 || d.Number < before {
			out = append(out, d)
		}
	}
	return out[:min(limit, len(out))], nil
}

func (s *state) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	for _, d := range s.all {
		if d.ID == id {
			return d, nil
		}
	}
	return rollout.Deployment{}, errors.New("none")
}

func (s *state) Refusal(_ context.Context, _ string, d slipway.Digest) (*rollout.Refusal, error) {
	if d == s.refused {
		return &rollout.Refusal{}, nil
	}
	return nil, nil
}

func (s *state) Models(_ context.Context, after string, limit int) (out []registry.Model, _ error) {
	for _, m := range s.models {
		if m.Name > after && len(out) < limit {
			out = append(out, m)
		}
	}
	return out, nil
}

func (s *state) Versions(_ context.Context, model string, before, limit int) (out []registry.Version, _ error) {
	for _, m := range s.models {
		for n := m.Latest; m.Name == model && n > 0; n-- {
			if (before == 0 || n < before) && len(out) < limit {
				out = append(out, registry.Version{Model: model, Number: n})
			}
		}
	}
	return out, nil
}

func (s *state) Version(_ context.Context, model string, ref registry.Ref) (registry.Version, error) {
	return registry.Version{Files: []registry.File{{Digest: digest(model, ref.Number)}, {Digest: digest("shared", 0)}}}, nil
}

func digest(kind string, n int) slipway.Digest { return slipway.DigestOf(fmt.Append(nil, kind, n)) }

// installation has ten revisions, each with an image, an environment and a log. The tenth
// serves, and the ninth was refused.
func installation(t *testing.T) (doctor.Installation, *state) {
	t.Helper()
	c := config.Config{Home: t.TempDir()}
	if err := os.Chmod(c.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	envs, err := pyenv.New(pyenv.Options{Dir: filepath.Join(c.Home, "environments"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s := &state{refused: digest("version", 9)}
	old := time.Now().Add(-60 * 24 * time.Hour)
	for n := 10; n > 0; n-- {
		env := filepath.Join(c.Home, "environments", digest("environment", n).Hex())
		r := &route.Revision{ID: fmt.Sprint("fraud-", n), VersionDigest: digest("version", n), ImageDigest: digest("image", n),
			Runtime: route.Runtime{Kind: route.RuntimePython, Python: filepath.Join(env, "bin", "python")}, Replicas: 1}
		s.all = append(s.all, rollout.Deployment{ID: fmt.Sprint("dep_", n), Number: n, Status: rollout.Succeeded, Digest: r.VersionDigest, Revision: r})
		log := filepath.Join(c.Gateway(), "logs", r.ID+"-r0.log.1")
		for _, file := range []string{filepath.Join(env, "lib", "x"), filepath.Join(c.Revisions(), r.ImageDigest.Hex(), "model", "x"), log} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, make([]byte, 1000), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chtimes(log, old, old), os.Chmod(filepath.Join(c.Revisions(), r.ImageDigest.Hex(), "model"), 0o500)); err != nil {
			t.Fatal(err)
		}
	}
	s.endpoint = rollout.Endpoint{Key: "fraud", State: route.Serving, Stable: s.all[0].Revision}
	blobs, err := blob.Open(c.Blobs(), oneKey{})
	if err != nil {
		t.Fatal(err)
	}
	i := doctor.Installation{Backup: func(context.Context) api.Finding { return api.Finding{Check: "backup", Verdict: "pass"} }, Config: c, Store: s, Environments: envs, Blobs: blobs, Registry: s, Program: func() slipway.Digest { return "" },
		Alone:    func() (func(), bool) { return func() {}, true },
		Database: func(context.Context) error { return nil }, Keys: func(context.Context) []api.Finding { return nil },
		Artifacts: func(_ context.Context, asked []slipway.Digest) (map[slipway.Digest]bool, error) {
			if s.artifact == "" && len(s.models) > 0 {
				return nil, errors.New("the database is down")
			}
			return map[slipway.Digest]bool{s.artifact: slices.Contains(asked, s.artifact)}, nil
		},
		Audit: func(context.Context) []api.Finding { return nil }, Webhooks: func(context.Context) []api.Finding { return nil },
		Gateway: func(context.Context) (route.Observation, error) {
			return route.Observation{Revisions: []route.RevisionStatus{{ID: "fraud-10", Ready: 1, Want: 1}}}, nil
		}}
	return i, s
}

func of(t *testing.T, found []api.Finding, check string) api.Finding {
	t.Helper()
	for _, f := range found {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("nothing is said of %s: %+v", check, found)
	return api.Finding{}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".flock") {
			out = append(out, e.Name())
		}
	}
	return out
}

// TestLeftovers: what serves and the three revisions that a rollback would choose keep all
// they need; the rest is told, and removed when that is asked for.
func TestLeftovers(t *testing.T) {
	i, s := installation(t)
	broken := filepath.Join(i.Config.Revisions(), digest("image", 99).Hex()+".gone") // a removal that was broken off
	stranger := filepath.Join(i.Config.Revisions(), "notes")
	if err := errors.Join(os.Mkdir(broken, 0o700), os.Mkdir(stranger, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.all[2].Status = rollout.RolledBack // fraud-8
	s.endpoint.Active = "dep_2"
	kept := []int{10, 7, 6, 5, 2}

	f := of(t, i.Examine(t.Context(), false), "leftovers")
	if f.Verdict != "warn" || !f.Fixable || !strings.HasPrefix(f.Message, "16 environments") || len(names(t, i.Config.Revisions())) != 12 {
		t.Errorf("%+v, %d directories", f, len(names(t, i.Config.Revisions())))
	}
	f = of(t, i.Examine(t.Context(), true), "leftovers")
	if f.Verdict != "pass" || !strings.HasPrefix(f.Message, "removed 16") {
		t.Errorf("%+v", f)
	}
	want := map[string][]string{"environments": nil, "revisions": {"notes"}, "gateway/logs": nil}
	for _, n := range kept {
		want["environments"] = append(want["environments"], digest("environment", n).Hex())
		want["revisions"] = append(want["revisions"], digest("image", n).Hex())
		want["gateway/logs"] = append(want["gateway/logs"], fmt.Sprintf("fraud-%d-r0.log.1", n))
	}
	for dir, want := range want {
		slices.Sort(want)
		if got := names(t, filepath.Join(i.Config.Home, dir)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", dir, got, want)
		}
	}
	if f = of(t, i.Examine(t.Context(), false), "leftovers"); f.Verdict != "pass" || f.Message != "there are none" {
		t.Errorf("%+v", f)
	}
	i.Alone = func() (func(), bool) { return nil, false }
	if f = of(t, i.Examine(t.Context(), true), "leftovers"); !strings.Contains(f.Message, "while a pipeline or a backup runs") {
		t.Errorf("%+v", f)
	}
}

// TestUploads: a blob that a version or a deployment names stays, however old; of the others
// the old ones go. There are more versions and deployments than are read at once.
func TestUploads(t *testing.T) {
	i, s := installation(t)
	s.all = s.all[:1]
	for n := range 120 {
		s.models = append(s.models, registry.Model{Name: fmt.Sprintf("model-%03d", n), Latest: 2})
		s.all = append([]rollout.Deployment{{Number: 100 + n, Endpoint: "other", Files: map[string]slipway.Digest{"golden": digest("golden", n)}}}, s.all...)
	}
	old := time.Now().Add(-25 * time.Hour)
	store := func(kind string, n int, when time.Time) slipway.Digest {
		content := fmt.Append(nil, kind, n)
		d := slipway.DigestOf(content)
		path := filepath.Join(i.Config.Blobs(), d.Hex()[:2], d.Hex()+".sealed")
		if err := errors.Join(i.Blobs.Put(t.Context(), d, int64(len(content)), bytes.NewReader(content)), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	stay := []slipway.Digest{store("model-000", 1, old), store("model-119", 2, old), store("shared", 0, old), store("golden", 0, old), store("golden", 119, old),
		store("just sent", 0, time.Now())}
	gone := []slipway.Digest{store("model-000", 3, old), store("sent long ago", 0, old)}
	artifact := store("artifact", 0, old)
	if f := of(t, i.Examine(t.Context(), true), "leftovers"); f.Verdict != "warn" {
		t.Errorf("without knowing of artifacts: %+v", f)
	}
	for _, d := range append(slices.Clone(gone), artifact) { // nothing was removed, and they are old again
		if err := os.Chtimes(filepath.Join(i.Config.Blobs(), d.Hex()[:2], d.Hex()+".sealed"), old, old); err != nil {
			t.Error(err)
		}
	}
	s.artifact = artifact
	stay = append(stay, artifact)
	if f := of(t, i.Examine(t.Context(), true), "leftovers"); f.Verdict != "pass" || !strings.HasPrefix(f.Message, "removed ") {
		t.Errorf("%+v", f)
	}
	missing, err := i.Blobs.Missing(t.Context(), append(stay, gone...))
	if err != nil || !slices.Equal(missing, gone) {
		t.Errorf("%v are gone, want %v; %v", missing, gone, err)
	}
}

// TestImages: the image of what serves stays, and that of a deployment which failed goes
// after a day.
func TestImages(t *testing.T) {
	i, s := installation(t)
	image := func(spec string) slipway.Digest {
		d, err := oci.Build(t.Context(), i.Config.Images(), oci.Image{Spec: []byte(spec)})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	serving, failed := image("serves"), image("failed")
	s.endpoint.Stable.ImageDigest = serving
	_ = i.Examine(t.Context(), true)
	there := func(d slipway.Digest) bool {
		return oci.Unpack(t.Context(), i.Config.Images(), d, nil, filepath.Join(t.TempDir(), "x")) == nil
	}
	if !there(serving) || !there(failed) {
		t.Error("an image of today is gone")
	}
	files, err := filepath.Glob(filepath.Join(i.Config.Images(), "blobs", "sha256", "*"))
	old := time.Now().Add(-25 * time.Hour)
	for _, f := range files {
		err = errors.Join(err, os.Chtimes(f, old, old))
	}
	if err != nil {
		t.Fatal(err)
	}
	if f := of(t, i.Examine(t.Context(), true), "leftovers"); f.Verdict != "pass" || !strings.HasPrefix(f.Message, "removed 1 ") {
		t.Errorf("%+v", f)
	}
	if !there(serving) || there(failed) {
		t.Errorf("the image that serves is there: %v, the one that failed: %v", there(serving), there(failed))
	}
}

// TestFindings: each trouble is named, with the next step.
func TestFindings(t *testing.T) {
	i, s := installation(t)
	for _, f := range i.Examine(t.Context(), false) {
		if f.Verdict == "fail" {
			t.Errorf("%+v", f)
		}
	}
	if f := of(t, i.Examine(t.Context(), false), "python"); f.Verdict != "warn" || !strings.Contains(f.Message, "uv") {
		t.Errorf("%+v", f)
	}
	if err := os.Chmod(i.Config.Home, 0o755); err != nil { //nolint:gosec // what is to be found
		t.Fatal(err)
	}
	i.Database = func(context.Context) error { return errors.New("broken") }
	i.Gateway = func(context.Context) (route.Observation, error) { return route.Observation{}, nil }
	found := i.Examine(t.Context(), false)
	for check, next := range map[string]string{"home": "platform doctor --fix", "database": "platform explain SLIP-E0608", "endpoint": "platform explain fraud"} {
		if f := of(t, found, check); f.Verdict != "fail" || !strings.HasPrefix(f.Next, next) {
			t.Errorf("%+v", f)
		}
	}
	if f := of(t, i.Examine(t.Context(), true), "home"); f.Verdict != "pass" {
		t.Errorf("%+v", f)
	}
	s.endpoint.State, s.endpoint.Reason = route.Withdrawn, "it failed"
	i.Gateway = func(context.Context) (route.Observation, error) {
		return route.Observation{}, errors.New("gone")
	}
	found = i.Examine(t.Context(), false)
	if f := of(t, found, "endpoint"); f.Verdict != "warn" || !strings.Contains(f.Message, "withdrawn: it failed") {
		t.Errorf("%+v", f)
	}
	if f := of(t, found, "gateway"); f.Verdict != "fail" {
		t.Errorf("%+v", f)
	}
}

// oneKey is the key of every blob.
type oneKey struct{}

func (oneKey) Key(context.Context, string) ([]byte, error) { return make([]byte, 32), nil }

func (oneKey) Make(context.Context, string) ([]byte, bool, error) {
	return make([]byte, 32), false, nil
}
