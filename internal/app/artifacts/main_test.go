package artifacts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/artifacts"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/kms/local"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	front "github.com/slipway-ml/slipway/internal/mlflowapi/artifacts"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	store "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	keystore "github.com/slipway-ml/slipway/internal/sqlstore/keys"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// site is a server with the artifacts of two teams: risk has experiment 1 with run r and model
// m-1, growth has experiment 2.
type site struct {
	*testing.T
	http.Handler
	service *artifacts.Service
	blobs   *blob.Dir
	path    string // of the blobs
	events  *event.Store
	store   *store.Store
	ring    *keys.Ring
	named   map[slipway.Digest]bool // beside artifacts
	denied  []string
	backup  bool // one runs
	mu      sync.Mutex
	now     time.Time
}

type blobs struct{ *blob.Dir }

func (b blobs) Open(ctx context.Context, d slipway.Digest) (artifact.Bytes, error) {
	return b.OpenAt(ctx, d)
}

func newSite(t *testing.T) *site {
	return siteOn(t, storetest.SQLite(t))
}

func siteOn(t *testing.T, db *sqlstore.DB) *site {
	s := &site{T: t, path: filepath.Join(t.TempDir(), "blobs"), events: event.New(db), store: store.New(db), named: map[slipway.Digest]bool{}, now: time.Now()}
	dir := t.TempDir()
	kms, err := local.Open(local.Options{Keyset: filepath.Join(dir, "keyset"), RootKey: filepath.Join(dir, "root.key")})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s.ring = keys.New(keys.Config{Store: keystore.New(db), Service: kms, Now: time.Now, Log: log})
	objects := keys.NewObjects(s.ring, keystore.New(db))
	if s.blobs, err = blob.Open(s.path, objects); err != nil {
		t.Fatal(err)
	}
	files := artifact.New(artifact.Config{Store: s.store, Roots: s.store, Ledger: s.store, Uploads: s.store, Blobs: blobs{s.blobs}, Now: s.clock,
		Adopt: func(ctx context.Context, team string, digests ...slipway.Digest) {
			for _, d := range digests {
				if err := objects.Adopt(ctx, keys.Team(team), string(d)); err != nil {
					t.Error(err)
				}
			}
		},
		Named: func(context.Context, []slipway.Digest) (map[slipway.Digest]bool, error) { return s.named, nil },
		Alone: func() (func(), bool) { return func() {}, !s.backup }})
	s.service = &artifacts.Service{Artifacts: files, Access: s, Tracking: tracks{}, Versions: released{s}, Sealer: s.ring, Now: s.clock}
	routes := front.Routes(front.Config{Files: s.service, Parts: s.service, Places: s.service, Signer: s.service, Base: func(r *http.Request) string { return "http://" + r.Host }})
	door := mlflowapi.New(mlflowapi.Config{Auth: s, Access: s, Routes: routes, Log: log})
	signed := front.Handler(s.service, log)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if front.IsSigned(r.URL.Path) {
			signed.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	})
	return s
}

func (s *site) clock() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }

func (s *site) later(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.now = s.now.Add(d) }

var engine = sync.OnceValue(func() *authz.Engine {
	e, err := authz.New(authz.Policies(), time.Now)
	if err != nil {
		panic(err)
	}
	return e
})

// people: ana develops in risk, gus in growth, and his token is for growth alone; eve reads
// what is open, and owns nothing; shop calls endpoints.
func (s *site) Authenticate(_ context.Context, token string) (slipway.Principal, error) {
	role := func(name, team string) []slipway.Role { return []slipway.Role{{Name: name, Team: team}} }
	switch token {
	case "ana":
		return slipway.Principal{ID: "ana", Kind: slipway.Person, Roles: role(slipway.RoleEngineer, "risk")}, nil
	case "gus":
		return slipway.Principal{ID: "gus", Kind: slipway.Person, Roles: role(slipway.RoleEngineer, "growth"), Limit: slipway.Limit{Teams: []string{"growth"}}}, nil
	case "eve":
		return slipway.Principal{ID: "eve", Kind: slipway.Person, Roles: role(slipway.RoleEngineer, "other")}, nil
	case "shop":
		return slipway.Principal{ID: "shop", Kind: slipway.Service, Roles: role(slipway.RoleCaller, "risk")}, nil
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
}

func (s *site) Enter(_ context.Context, p slipway.Principal, a authz.Action, _ string) error {
	if engine().Conceivable(p, a) {
		return nil
	}
	return engine().Check(authz.Request{Principal: p, Action: a, Resource: authz.Resource{Kind: authz.Actions[a].Kind}})
}

func (s *site) Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool {
	return engine().Decide(authz.Request{Principal: p, Action: a, Resource: r}).Allow
}

func (s *site) Check(_ context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error {
	err := engine().Check(authz.Request{Principal: p, Action: a, Resource: r})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.denied = append(s.denied, p.ID+" "+string(a)+" "+r.Name)
	}
	return err
}

type tracks struct{}

func gone(format string, id string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", format, id)
}

func (tracks) Experiment(_ context.Context, teams []string, id string) (tracking.Experiment, error) {
	team := map[string]string{"1": "risk", "2": "growth"}[id]
	if team == "" || teams != nil && !slices.Contains(teams, team) {
		return tracking.Experiment{}, gone("No Experiment with id=%s exists", id)
	}
	return tracking.Experiment{ID: id, Team: team}, nil
}

func (tracks) Run(_ context.Context, teams []string, id string) (tracking.Run, error) {
	r, ok := map[string]tracking.Run{"r": {ID: "r", ExperimentID: "1", Team: "risk", ArtifactURI: "mlflow-artifacts:/1/r/artifacts"},
		"s3": {ID: "s3", ExperimentID: "1", Team: "risk", ArtifactURI: "s3://somewhere/else"}}[id]
	if !ok || teams != nil && !slices.Contains(teams, r.Team) {
		return r, gone("Run with id=%s not found", id)
	}
	return r, nil
}

func (tracks) Model(_ context.Context, teams []string, id string) (tracking.Model, error) {
	if id != "m-1" || teams != nil && !slices.Contains(teams, "risk") {
		return tracking.Model{}, gone("Logged model with ID '%s' not found.", id)
	}
	return tracking.Model{ID: id, ExperimentID: "1", Team: "risk", ArtifactURI: "mlflow-artifacts:/1/models/m-1/artifacts"}, nil
}

// released has version 3 of fraud, which is risk's.
type released struct{ s *site }

func (v released) VersionFiles(_ context.Context, c mlflowapi.Caller, model string, number int) ([]registry.File, error) {
	if model != "fraud" || number != 3 || !v.s.Allows(c.Principal, authz.ModelRead, authz.Resource{Kind: authz.KindModel, Name: model, Team: "risk"}) {
		return nil, gone("Registered Model with name=%s not found", model)
	}
	of := func(path, content string) registry.File {
		return registry.File{Path: path, Digest: slipway.DigestOf([]byte(content)), Size: int64(len(content))}
	}
	return []registry.File{of("MLmodel", "flavors"), of("data/model.bin", "weights")}, nil
}

func (v released) DownloadURI(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error) {
	n, _ := strconv.Atoi(version)
	_, err := v.VersionFiles(ctx, c, model, n)
	return "mlflow-artifacts:/versions/" + model + "/" + version, err
}

const api = "/api/2.0/mlflow-artifacts/"

// do sends a request; the headers come in pairs.
func (s *site) do(who, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	var in io.Reader = http.NoBody
	kind := "application/octet-stream"
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.Fatal(err)
		}
		in, kind = bytes.NewReader(text), "application/json"
	}
	r := httptest.NewRequest(method, path, in)
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code >= 500 {
		s.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w
}

// want sends a request whose answer has a status and holds a text.
func (s *site) want(status int, text, who, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	w := s.do(who, method, path, body, headers...)
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		s.Errorf("%s %s as %q: %d %.300s, want %d %s", method, path, who, w.Code, w.Body, status, text)
	}
	return w
}

func (s *site) actions() (out []string) {
	for _, e := range eventtest.All(s.T, s.events) {
		if strings.HasPrefix(e.Action, "artifact.") {
			out = append(out, e.Action)
		}
	}
	return out
}
