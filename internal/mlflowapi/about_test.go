package mlflowapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// teams are two.
type teams struct{}

func (teams) Teams(context.Context, slipway.Principal) ([]string, error) {
	return []string{"growth", "risk"}, nil
}

func TestWorkspacesAreTeams(t *testing.T) {
	h := mlflowapi.New(mlflowapi.Config{Auth: tokens{}, Access: access{t}, Log: slog.New(slog.DiscardHandler),
		Routes: mlflowapi.About(mlflowapi.Info{StoreType: "SqlStore", Workspaces: true, MultipartUploads: true}, teams{})})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{http.MethodGet, "/api/3.0/mlflow/server-info", 200, `{"store_type":"SqlStore","workspaces_enabled":true,"multipart_uploads_enabled":true,"multipart_downloads_enabled":false}`},
		{http.MethodGet, "/ajax-api/3.0/mlflow/workspaces", 200, `{"workspaces":[{"name":"growth"},{"name":"risk"}]}`},
		{http.MethodGet, "/api/3.0/mlflow/workspaces/risk", 200, `{"workspace":{"name":"risk"}}`},
		{http.MethodGet, "/api/3.0/mlflow/workspaces/pay", 404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Workspace 'pay' not found"}`},
	} {
		if w := ask(h, c.method, c.path, "ana", ""); w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	for _, r := range []struct{ method, path string }{{http.MethodPost, "/workspaces"}, {http.MethodPatch, "/workspaces/risk"}, {http.MethodDelete, "/workspaces/risk"}} {
		w := ask(h, r.method, "/api/3.0/mlflow"+r.path, "ana", `{"name":"new"}`)
		if code, _ := failed(t, w); w.Code != 501 || code != "NOT_IMPLEMENTED" {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
	}
}
