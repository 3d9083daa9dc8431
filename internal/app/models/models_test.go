package models_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/models"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
)

// site is an installation around the use cases: who is of a team may do everything with its
// models, and see those of the team "open".
type site struct {
	*models.Service
	denied    []string
	adopted   map[string]int
	endpoints []rollout.Endpoint
	places    map[string]models.Place // of runs and logged models
	files     map[string][]registry.File
	noted     []string
}

func (s *site) allows(p slipway.Principal, a authz.Action, r authz.Resource) bool {
	return r.Team == p.ID || a == authz.ModelRead && r.Team == "open"
}

func (s *site) Check(_ context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error {
	if s.allows(p, a, r) {
		return nil
	}
	s.denied = append(s.denied, string(a)+" "+r.Name)
	return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask", "denied")
}

func (s *site) CheckNamed(context.Context, slipway.Principal, authz.Action, string) error { return nil }

func (s *site) Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool {
	return s.allows(p, a, r)
}

func (s *site) Visible(p slipway.Principal, a authz.Action, teams []string) []string {
	return slices.DeleteFunc(slices.Clone(teams), func(t string) bool { return !s.allows(p, a, authz.Resource{Team: t}) })
}

func (s *site) Endpoints(context.Context) ([]rollout.Endpoint, error) { return s.endpoints, nil }

func (s *site) Deployment(_ context.Context, id string) (rollout.Deployment, error) {
	return rollout.Deployment{ID: id, Model: "driven", Version: 1}, nil
}

var errNone = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "none")

func (s *site) place(id string, logged bool) (models.Place, error) {
	if p, ok := s.places[id]; ok && p.Logged == logged {
		return p, nil
	}
	return models.Place{}, errNone
}

func (s *site) Run(_ context.Context, _ mlflowapi.Caller, id string) (models.Place, error) {
	return s.place(id, false)
}

func (s *site) Logged(_ context.Context, _ mlflowapi.Caller, id string) (models.Place, error) {
	return s.place(id, true)
}

func (s *site) Output(_ context.Context, _ mlflowapi.Caller, run, name string) (models.Place, error) {
	for _, p := range s.places {
		if p.Logged && p.Run == run && name == "model" {
			return p, nil
		}
	}
	return models.Place{}, errNone
}

// Files are those of what begins with a number: that is an experiment.
func (s *site) Files(_ context.Context, _ mlflowapi.Caller, path string) ([]registry.File, error) {
	if !strings.HasPrefix(path, "1/") {
		return nil, errNone
	}
	return s.files[path], nil
}

func (s *site) Registered(_ context.Context, _ mlflowapi.Caller, logged, model string, version int) error {
	s.noted = append(s.noted, fmt.Sprint(logged, " ", model, " ", version))
	return nil
}

func (s *site) Sizes(_ context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error) {
	out := map[slipway.Digest]int64{}
	for _, d := range digests {
		out[d] = 1
	}
	return out, nil
}

func newSite(t *testing.T) *site {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: t.TempDir() + "/db", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	file := []registry.File{{Path: "MLmodel", Digest: slipway.DigestOf([]byte("x")), Size: 1}}
	s := &site{adopted: map[string]int{},
		places: map[string]models.Place{
			"run":   {ID: "run", URI: "mlflow-artifacts:/1/run/artifacts", Path: "1/run/artifacts"},
			"other": {ID: "other", URI: "mlflow-artifacts:/1/other/artifacts", Path: "1/other/artifacts"},
			"far":   {ID: "far", URI: "s3://bucket/far"},
			"m-1":   {ID: "m-1", URI: "mlflow-artifacts:/1/models/m-1/artifacts", Path: "1/models/m-1/artifacts", Run: "run", Logged: true},
		},
		files: map[string][]registry.File{"1/run/artifacts/old": file, "1/other/artifacts/x": file, "1/models/m-1/artifacts": file},
	}
	s.Service = models.New(models.Config{Registry: registry.New(registrystore.New(db), s, time.Now), Access: s, Fleet: s, Sources: s, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Adopt: func(_ context.Context, team string, digests ...slipway.Digest) { s.adopted[team] += len(digests) }})
	return s
}

func as(team string) mlflowapi.Caller {
	return mlflowapi.Caller{Principal: slipway.Principal{ID: team}, Team: team}
}

func (s *site) model(t *testing.T, team, name string) {
	t.Helper()
	if _, err := s.AddModel(t.Context(), as(team), name, "", nil); err != nil {
		t.Fatal(err)
	}
}

func ptr(s string) *string { return &s }

func TestSources(t *testing.T) {
	s := newSite(t)
	s.model(t, "risk", "m")
	add := func(source string, run, logged *string) (registry.Version, error) {
		return s.AddVersion(t.Context(), as("risk"), mlflow.NewVersion{Model: "m", Source: source, Run: run, Logged: logged})
	}
	for _, c := range []struct {
		source      string
		run, logged *string
		want        string // run, logged model, whether there are files, or a part of the error
	}{
		{"s3://bucket/x", ptr("r"), nil, "r  false"},
		{"path/to/source", nil, nil, "  false"},
		{"runs:/elsewhere/model", ptr("yet another"), nil, "yet another  false"},
		{"mlflow-artifacts:/models", nil, nil, "  false"},
		{"mlflow-artifacts:/models", ptr("run"), nil, "run  false"},
		{"mlflow-artifacts://host:9000/models", nil, nil, "  false"},
		{"runs:/run/old", ptr("run"), nil, "run  true"},
		{"runs:/run/old", nil, nil, "run  true"},
		{"runs:/run/model", ptr("run"), nil, "run m-1 true"}, // what the run logged under that name
		{"runs:/run/none", ptr("run"), nil, "run  false"},
		{"runs:/far/model", ptr("far"), nil, "far  false"},
		{"runs:/run/old", ptr("other"), nil, "The run_id request parameter must identify"},
		{"runs:/run/old", ptr("run"), ptr("m-1"), "The model_id request parameter must identify"},
		{"runs://host/run/old", nil, nil, "The run_id request parameter must identify"},
		{"mlflow-artifacts:/1/run/artifacts/old", ptr("run"), nil, "run  true"},
		{"mlflow-artifacts:/1/other/artifacts/x", ptr("run"), nil, "The run_id request parameter must identify"},
		{"mlflow-artifacts:/1/other/artifacts/x", nil, nil, "The run_id request parameter must identify"},
		{"mlflow-artifacts:/1/models/m-1/artifacts", ptr("run"), ptr("m-1"), "run m-1 true"},
		{"mlflow-artifacts:/1/models/m-1/artifacts", nil, ptr("m-1"), "run m-1 true"},
		{"mlflow-artifacts:/1/models/m-1/artifactsx", nil, ptr("m-1"), "The model_id request parameter must identify"},
		{"mlflow-artifacts:/1/run/artifacts/old", nil, ptr("m-2"), "The model_id request parameter must identify"},
		{"models:/m-1", nil, ptr("m-1"), "run m-1 true"},
		{"models:/m-1", nil, nil, "The model_id request parameter must identify"},
		{"models:/m-2", nil, ptr("m-2"), "Unable to fetch model from model URI"},
		{"models:/m/7", nil, nil, "run  true"},
		{"models:/m/1", ptr("other"), nil, "must match the referenced model version"},
		{"models:/m/99", nil, nil, "Model Version (name=m, version=99) not found"},
		{"models:/none/1", nil, nil, "Registered Model with name=none not found"},
		{"models:/m/a/b", nil, nil, "The model_id request parameter must identify"},
		{"/tmp/x", ptr("run"), nil, "To use a local path"},
		{"file:///tmp/x", nil, nil, "To use a local path"},
		{"./x", nil, nil, "To use a local path"},
		{"a/../b", nil, nil, "To use a local path"},
		{"s3://bucket/../x", nil, nil, "an absolute path must be provided without relative path references"},
		{"mlflow-artifacts:/1/run/artifacts/%252e%252e/x", ptr("run"), nil, "an absolute path must be provided"},
	} {
		v, err := add(c.source, c.run, c.logged)
		got := fmt.Sprint(v.RunID, " ", v.LoggedModel, " ", v.Digest != "")
		if err != nil {
			got = err.Error()
			if k := slipway.AsError(err).Kind; k != slipway.Invalid && k != slipway.NotFound {
				t.Errorf("%s: %v", c.source, err)
			}
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s of run %s and logged model %s: %q, want %q", c.source, text(c.run), text(c.logged), got, c.want)
		}
	}
	if s.adopted["risk"] == 0 || !slices.Contains(s.noted, "m-1 m 9") {
		t.Errorf("adopted %v, noted %v", s.adopted, s.noted)
	}
}

func text(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

// A copy points where its original lies, and a version that is here never changes.
func TestDownload(t *testing.T) {
	s := newSite(t)
	c := as("risk")
	names := []string{"m", "My model", "ä#?%"}
	for _, name := range names {
		s.model(t, "risk", name)
		for _, source := range []string{"runs:/run/old", "s3://bucket/x", "models:/" + name + "/2"} {
			if _, err := s.AddVersion(t.Context(), c, mlflow.NewVersion{Model: name, Source: source}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range names {
		uri, err := s.DownloadURI(t.Context(), c, name, "1")
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(strings.TrimPrefix(uri, "mlflow-artifacts:/versions/"), "/")
		files, err := s.VersionFiles(t.Context(), c, parts[0], 1)
		if err != nil || len(files) != 1 || files[0].Path != "MLmodel" || strings.ContainsAny(uri, "#?%") {
			t.Errorf("%s: %s, %v, %v", name, uri, files, err)
		}
		for _, number := range []string{"2", "3"} {
			if uri, err := s.DownloadURI(t.Context(), c, name, number); err != nil || uri != "s3://bucket/x" {
				t.Errorf("%s %s: %s, %v", name, number, uri, err)
			}
		}
		if _, err := s.VersionFiles(t.Context(), c, parts[0], 2); !errors.Is(err, &slipway.Error{Code: slipway.CodeNoFiles}) {
			t.Errorf("files elsewhere: %v", err)
		}
		if _, err := s.VersionFiles(t.Context(), as("growth"), parts[0], 1); slipway.AsError(err).Kind != slipway.NotFound {
			t.Errorf("files of another team: %v", err)
		}
	}
}

// What somebody may not see is not there, by no route; what he may see and not change is
// denied. The first is recorded as well.
func TestTeams(t *testing.T) {
	s := newSite(t)
	s.model(t, "risk", "secret")
	s.model(t, "open", "public")
	for team, model := range map[string]string{"risk": "secret", "open": "public"} {
		for range 2 {
			if _, err := s.AddVersion(t.Context(), as(team), mlflow.NewVersion{Model: model, Source: "s3://b/x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetAliasOf(t.Context(), as(team), model, "champion", "1"); err != nil {
			t.Fatal(err)
		}
	}
	gil := as("growth")
	ctx := t.Context()
	calls := func(m string) map[string]error {
		errs := map[string]error{}
		_, errs["get"] = s.Model(ctx, gil, m)
		_, errs["version"] = s.VersionOf(ctx, gil, m, "1")
		_, errs["alias"] = s.Aliased(ctx, gil, m, "champion")
		_, errs["newest"] = s.NewestOf(ctx, gil, m, nil)
		_, errs["uri"] = s.DownloadURI(ctx, gil, m, "1")
		return errs
	}
	changes := func(m string) map[string]error {
		errs := map[string]error{}
		_, errs["describe"] = s.DescribeModel(ctx, gil, m, "x")
		_, errs["rename"] = s.RenameModel(ctx, gil, m, "x")
		errs["delete"] = s.DeleteModel(ctx, gil, m)
		errs["tag"] = s.TagModel(ctx, gil, m, "k", ptr("v"))
		errs["untag"] = s.TagModel(ctx, gil, m, "k", nil)
		errs["alias"] = s.SetAliasOf(ctx, gil, m, "x", "1")
		errs["unalias"] = s.DeleteAlias(ctx, gil, m, "champion")
		_, errs["add"] = s.AddVersion(ctx, gil, mlflow.NewVersion{Model: m, Source: "s3://b/x"})
		_, errs["describe version"] = s.DescribeVersion(ctx, gil, m, "1", "x")
		_, errs["stage"] = s.Stage(ctx, gil, m, "1", "Production", false)
		errs["tag version"] = s.TagVersion(ctx, gil, m, "1", "k", ptr("v"))
		errs["delete version"] = s.DeleteVersion(ctx, gil, m, "1")
		return errs
	}
	for what, err := range calls("secret") {
		if slipway.AsError(err).Kind != slipway.NotFound || strings.Contains(err.Error(), "denied") {
			t.Errorf("%s of a model that is not to be seen: %v", what, err)
		}
	}
	for what, err := range changes("secret") {
		if slipway.AsError(err).Kind != slipway.NotFound {
			t.Errorf("%s of a model that is not to be seen: %v", what, err)
		}
	}
	if len(s.denied) != len(calls("secret"))+len(changes("secret")) {
		t.Errorf("%d attempts were recorded", len(s.denied))
	}
	for what, err := range calls("public") {
		if err != nil {
			t.Errorf("%s of a model that is open: %v", what, err)
		}
	}
	for what, err := range changes("public") {
		if slipway.AsError(err).Kind != slipway.Denied {
			t.Errorf("%s of a model that is open: %v", what, err)
		}
	}
	if _, err := s.AddModel(ctx, gil, "secret", "", nil); !errors.Is(err, &slipway.Error{Code: slipway.CodeExists}) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := s.AddVersion(ctx, as("growth"), mlflow.NewVersion{Model: "public", Source: "models:/secret/1"}); slipway.AsError(err).Kind == slipway.Internal {
		t.Error(err)
	}
}

func TestSearchShowsWhatMayBeSeen(t *testing.T) {
	s := newSite(t)
	for i, team := range []string{"risk", "open", "growth", "risk"} {
		name := fmt.Sprint("m", i)
		s.model(t, team, name)
		if _, err := s.AddVersion(t.Context(), as(team), mlflow.NewVersion{Model: name, Source: "s3://b/x"}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(c mlflowapi.Caller) (out []string) {
		t.Helper()
		for in := (registry.Search{Limit: 1}); ; { // pages of one: tokens lead past what is hidden
			found, next, err := s.SearchModels(t.Context(), c, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				out = append(out, e.Name)
			}
			if in.Token = next; next == "" {
				break
			}
		}
		found, _, err := s.SearchVersions(t.Context(), c, registry.Search{Limit: 10, OrderBy: []string{"name"}})
		var versions []string
		for _, v := range found {
			versions = append(versions, v.Model)
		}
		if diff := cmp.Diff(out, versions); diff != "" || err != nil {
			t.Errorf("models and versions: %v %s", err, diff)
		}
		return out
	}
	named := as("growth")
	named.Team, named.Named = "open", true
	hidden := as("growth")
	hidden.Team, hidden.Named = "risk", true
	for _, c := range []struct {
		caller mlflowapi.Caller
		want   []string
	}{{as("risk"), []string{"m0", "m1", "m3"}}, {as("growth"), []string{"m1", "m2"}}, {named, []string{"m1"}}, {hidden, nil}} {
		if diff := cmp.Diff(c.want, names(c.caller)); diff != "" {
			t.Error(diff)
		}
	}
	_, next, err := s.SearchModels(t.Context(), as("risk"), registry.Search{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []registry.Search{{Limit: 1, Token: next, Filter: "name = 'm0'"}, {Limit: 1, Token: "x"}, {Limit: 0}, {Limit: 1001}, {Limit: 1, Filter: "a = "}, {Limit: 1, OrderBy: []string{"x"}}} {
		if _, _, err := s.SearchModels(t.Context(), as("risk"), in); slipway.AsError(err).Kind != slipway.Invalid {
			t.Errorf("%+v: %v", in, err)
		}
	}
	if _, _, err := s.SearchVersions(t.Context(), as("risk"), registry.Search{Limit: 1, Token: next}); slipway.AsError(err).Kind != slipway.Invalid {
		t.Errorf("a token of another search: %v", err)
	}
}

// What serves, or is about to, is neither deleted nor renamed.
func TestInUse(t *testing.T) {
	s := newSite(t)
	c := as("risk")
	for _, m := range []string{"served", "driven"} {
		s.model(t, "risk", m)
		for range 2 {
			if _, err := s.AddVersion(t.Context(), c, mlflow.NewVersion{Model: m, Source: "s3://b/x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.endpoints = []rollout.Endpoint{{Key: "fraud", Stable: &route.Revision{Model: "served", Version: 2}, Active: "dep_1"}}
	for _, m := range []string{"served", "driven"} {
		_, rename := s.RenameModel(t.Context(), c, m, "x")
		used, unused := "2", "1"
		if m == "driven" {
			used, unused = "1", "2"
		}
		for what, err := range map[string]error{"rename": rename, "delete": s.DeleteModel(t.Context(), c, m), "delete a version": s.DeleteVersion(t.Context(), c, m, used)} {
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeServing}) || !strings.Contains(err.Error(), "fraud") {
				t.Errorf("%s %s: %v", what, m, err)
			}
		}
		if err := s.DeleteVersion(t.Context(), c, m, unused); err != nil {
			t.Errorf("another version of %s: %v", m, err)
		}
	}
	s.endpoints = nil
	for _, m := range []string{"served", "driven"} {
		if err := s.DeleteModel(t.Context(), c, m); err != nil {
			t.Error(err)
		}
	}
}
