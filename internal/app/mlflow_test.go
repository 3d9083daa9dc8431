package app

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/authz"
)

// mlflowPath is where a route is served, with parameters that name nothing.
func mlflowPath(path string, major int) string {
	path = regexp.MustCompile(`\{\w+(\.\.\.)?\}`).ReplaceAllString(path, "1")
	if major == 0 {
		return path
	}
	return "/api/" + string(rune('0'+major)) + ".0" + path
}

func askMLflow(h http.Handler, method, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.SetBasicAuth("anybody", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestNoMLflowRouteIsAnonymous: each names an action, is closed to nobody's and unknown
// tokens, and none fails on our side for somebody who may do nothing.
func TestNoMLflowRouteIsAnonymous(t *testing.T) {
	i := install(t, nil)
	h := i.withMLflow(i.api)
	nobody := i.tokenOf(t, "nobody")
	routes := i.mlflow()
	for _, r := range routes {
		if _, ok := authz.Actions[r.Action]; !ok {
			t.Errorf("%s %s names the action %q", r.Method, r.Path, r.Action)
		}
		path := mlflowPath(r.Path, r.Major)
		for _, token := range []string{"", "unknown"} {
			if w := askMLflow(h, r.Method, path, token); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "UNAUTHENTICATED") {
				t.Errorf("%s %s with token %q: %d %s", r.Method, path, token, w.Code, w.Body)
			}
		}
		w := askMLflow(h, r.Method, path, nobody)
		if w.Code != http.StatusForbidden && r.Action != authz.ServerRead || w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%s %s for somebody who may do nothing: %d %s", r.Method, path, w.Code, w.Body)
		}
	}
	if len(routes) < 70 {
		t.Errorf("only %d routes were found", len(routes))
	}
}
