package mlflowapi_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

func TestDoor(t *testing.T) {
	h := handler(t)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for header, status := range map[string]int{
		"": 401, "Bearer": 401, "Bearer wrong": 401, "Digest ana": 401, "Basic !": 401, basic("ana:wrong"): 401, basic(":"): 401,
		"Bearer ana": 200, "bearer ana": 200, basic("anybody:ana"): 200, basic(":ana"): 200, basic("ana:"): 200, basic("ana"): 200,
		"Bearer shop": 403,
	} {
		w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "", `{"pet_id":"a"}`, "Authorization", header)
		if w.Code != status {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
		if asked := len(w.Header()["Www-Authenticate"]); (asked == 2) != (status == 401) {
			t.Errorf("%q: %v", header, w.Header())
		}
		if code, _ := failed(t, w); status == 401 && code != "UNAUTHENTICATED" || status == 403 && code != "PERMISSION_DENIED" {
			t.Errorf("%q: %s", header, code)
		}
	}
	for _, path := range []string{"/health", "/version", "/teams/risk/health", "/teams/risk/version"} {
		if w := ask(h, http.MethodGet, path, "", ""); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestPaths(t *testing.T) {
	h := handler(t)
	for what, want := range map[string]string{
		"POST /api/2.0/mlflow/pets/create":                 "200 ",
		"POST /ajax-api/2.0/mlflow/pets/create":            "200 ",
		"POST /teams/risk/api/2.0/mlflow/pets/create":      "200 ",
		"POST //api/2.0/mlflow/pets/create":                "200 ",
		"POST /teams/risk//api/2.0/mlflow/pets/create":     "200 ",
		"POST /api/3.0/mlflow/pets/create":                 "404 ENDPOINT_NOT_FOUND",
		"GET /api/2.0/mlflow/pets/create":                  "405 ENDPOINT_NOT_FOUND",
		"GET /api/2.0/mlflow/pets/a":                       "405 ENDPOINT_NOT_FOUND",
		"GET /api/2.0/mlflow/pets/a/b":                     "404 ENDPOINT_NOT_FOUND",
		"GET /api/2.0/preview/mlflow/runs/get":             "404 ENDPOINT_NOT_FOUND",
		"POST /graphql":                                    "404 ENDPOINT_NOT_FOUND",
		"GET /api/2.0//mlflow/../pets/get":                 "404 ENDPOINT_NOT_FOUND",
		"POST /teams/No%20Team/api/2.0/mlflow/pets/create": "400 INVALID_PARAMETER_VALUE",
		"POST /teams/%zz/api/2.0/mlflow/pets/create":       "",
	} {
		if want == "" {
			continue // net/http refuses it
		}
		method, path, _ := strings.Cut(what, " ")
		w := ask(h, method, path, "ana", `{"pet_id":"a"}`)
		code, _ := failed(t, w)
		if got := http.StatusText(w.Code); !strings.HasPrefix(want, strings.TrimSpace(itoa(w.Code))) || strings.TrimSpace(want[3:]) != code {
			t.Errorf("%s: %d %s %s, want %s", what, w.Code, got, code, want)
		}
	}
	if w := ask(h, http.MethodGet, "/api/2.0/mlflow/pets/create", "ana", ""); w.Header().Get("Allow") != "POST" {
		t.Errorf("%v", w.Header())
	}
	if w := ask(h, http.MethodGet, "/nothing", "shop", ""); w.Code != 403 {
		t.Errorf("who may not know of the server learns of its paths: %d", w.Code)
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestTeams(t *testing.T) {
	h := handler(t)
	for name, c := range map[string]struct {
		token, prefix, header string
		team                  string
		named                 bool
	}{
		"the only one":            {token: "ana", team: "risk"},
		"of two, none is the one": {token: "two", team: "default"},
		"by its path":             {token: "two", prefix: "/teams/growth", team: "growth", named: true},
		"by a header":             {token: "two", header: "risk", team: "risk", named: true},
		"the path wins":           {token: "ana", prefix: "/teams/growth", header: "risk", team: "growth", named: true},
	} {
		w := ask(h, http.MethodPost, c.prefix+"/api/2.0/mlflow/pets/create", c.token, `{"pet_id":"a"}`, mlflowapi.WorkspaceHeader, c.header)
		named := strings.Contains(w.Body.String(), `"named":true`)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"team":"`+c.team+`"`) || named != c.named {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", `{"pet_id":"a"}`, mlflowapi.WorkspaceHeader, "../x"); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestErrors: each kind has MLflow's word, and none that lasts a status that its clients
// repeat for minutes.
func TestErrors(t *testing.T) {
	for code, c := range map[string]struct {
		err    error
		status int
	}{
		"INVALID_PARAMETER_VALUE": {mlflowapi.Invalid("no"), 400},
		"RESOURCE_ALREADY_EXISTS": {slipway.Errorf(slipway.Conflict, slipway.CodeExists, "n", "there"), 400},
		"RESOURCE_DOES_NOT_EXIST": {slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "n", "none"), 404},
		"RESOURCE_CONFLICT":       {slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "n", "no"), 409},
		"PERMISSION_DENIED":       {slipway.Errorf(slipway.Denied, slipway.CodeDenied, "n", "no"), 403},
		"NOT_IMPLEMENTED":         {slipway.Errorf(slipway.NotFound, slipway.CodeNotServed, "n", "no"), 501},
		"REQUEST_LIMIT_EXCEEDED":  {slipway.Errorf(slipway.Exhausted, slipway.CodeDiskFull, "n", "full"), 429},
		"TEMPORARILY_UNAVAILABLE": {slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "n", "later"), 503},
		"INTERNAL_ERROR":          {errors.New("/secret/path"), 500},
	} {
		h := handler(t, mlflowapi.JSON(http.MethodGet, "/mlflow/fail", authz.ExperimentRead, func(context.Context, mlflowapi.Caller, *mlflowapi.Empty) (mlflowapi.Empty, error) {
			return mlflowapi.Empty{}, c.err
		}))
		w := ask(h, http.MethodGet, "/api/2.0/mlflow/fail", "ana", "")
		got, message := failed(t, w)
		if got != code || w.Code != c.status || strings.Contains(message, "secret") || message == "" {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
		if c.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Error("a client is not told when to come again")
		}
	}
}
