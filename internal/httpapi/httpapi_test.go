package httpapi_test

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/httpapi"
)

var update = flag.Bool("update", false, "rewrite testdata/openapi.yaml")

// tokens knows an owner and a caller.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (slipway.Principal, error) {
	switch token {
	case "owner":
		return slipway.Principal{ID: "ana"}, nil
	case "caller":
		return slipway.Principal{ID: "shop"}, nil
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
}

// access lets ana do everything, and shop nothing; it must be asked for an action that there is.
type access struct{ t *testing.T }

func (x access) Enter(_ context.Context, p slipway.Principal, a authz.Action, name string) error {
	if _, ok := authz.Actions[a]; !ok {
		x.t.Errorf("%q is no action", a)
	}
	if p.ID == "ana" {
		return nil
	}
	return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask somebody", "%s may not do %s on %q", p.ID, a, name)
}

// fleet has one endpoint, whose name is not "missing".
type fleet struct{ httpapi.Fleet }

func (fleet) Endpoint(_ context.Context, _ slipway.Principal, key string) (api.Endpoint, error) {
	if key == "missing" {
		return api.Endpoint{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status", "no endpoint missing")
	}
	return api.Endpoint{Name: key}, nil
}

func handler(t *testing.T) http.Handler {
	return httpapi.New(httpapi.Config{Version: "test", Auth: tokens{}, Access: access{t}, Fleet: fleet{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

func ask(h http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOpenAPI(t *testing.T) {
	got, err := httpapi.OpenAPI("test")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/openapi.yaml"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
}

// Every route that the document names is closed to nobody's, wrong and callers' tokens.
func TestNoRouteIsAnonymous(t *testing.T) {
	doc, err := httpapi.OpenAPI("test")
	if err != nil {
		t.Fatal(err)
	}
	var api3 struct {
		Paths map[string]map[string]struct {
			Action authz.Action `yaml:"x-slipway-action"`
		}
	}
	if err := yaml.Unmarshal(doc, &api3); err != nil {
		t.Fatal(err)
	}
	h, routes := handler(t), 0
	for path, methods := range api3.Paths {
		path = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
		for method, op := range methods {
			routes++
			if _, ok := authz.Actions[op.Action]; !ok {
				t.Errorf("%s %s names the action %q", method, path, op.Action)
			}
			for token, status := range map[string]int{"": 401, "wrong": 401, "caller": 403} {
				w := ask(h, strings.ToUpper(method), path, token, "{}")
				var p api.Problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != status || p.Code == "" || p.Next == "" {
					t.Errorf("%s %s with token %q: %d %s", method, path, token, w.Code, w.Body)
				}
			}
		}
	}
	if routes < 30 {
		t.Errorf("only %d routes were found", routes)
	}
	for _, path := range []string{"/openapi.yaml", "/openapi.json", "/openapi-3.0.yaml", "/docs", "/"} {
		if w := ask(h, http.MethodGet, path, "", ""); w.Code != 401 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := ask(h, http.MethodGet, "/openapi.yaml", "owner", ""); w.Code != 200 {
		t.Errorf("the document: %d", w.Code)
	}
}

func TestProblems(t *testing.T) {
	h := handler(t)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"found":         {http.MethodGet, "/v1/endpoints/fraud", "", 200, ""},
		"not found":     {http.MethodGet, "/v1/endpoints/missing", "", 404, slipway.CodeNotFound},
		"no route":      {http.MethodGet, "/v1/nothing", "", 404, slipway.CodeNotFound},
		"wrong type":    {http.MethodPost, "/v1/endpoints/fraud/rollback", `{"reason":4711}`, 422, slipway.CodeInvalid},
		"unknown field": {http.MethodPost, "/v1/endpoints/fraud/rollback", `{"raeson":"4711"}`, 422, slipway.CodeInvalid},
		"no JSON":       {http.MethodPost, "/v1/endpoints/fraud/rollback", `{4711`, 400, slipway.CodeInvalid},
		"not a digest":  {http.MethodPut, "/v1/blobs/4711", "x", 422, slipway.CodeInvalid},
	} {
		w := ask(h, c.method, c.path, "owner", c.body)
		var p api.Problem
		_ = json.Unmarshal(w.Body.Bytes(), &p)
		if w.Code != c.status || p.Code != c.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if c.status != 200 && (p.Next == "" || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s: %v %s", name, w.Header(), w.Body)
		}
	}
}
