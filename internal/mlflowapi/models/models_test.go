package models_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
)

var at = time.UnixMilli(1_795_000_000_123).UTC()

// one has one model with one version, and remembers what it was asked.
type one struct {
	models.Registry // what is not here is not asked
	version         models.NewVersion
	search          registry.Search
	tag             *string
}

func (*one) Authenticate(context.Context, string) (slipway.Principal, error) {
	return slipway.Principal{ID: "ada"}, nil
}

func (*one) Enter(context.Context, slipway.Principal, authz.Action, string) error { return nil }

var first = registry.Version{Model: "m", Number: 1, Created: at, Updated: at, By: "ada", Stage: "None", Source: "s3://b", Tags: map[string]string{"b": "2", "a": ""},
	Aliases: []string{"champion"}, LoggedModel: "m-1"}

func (*one) Model(_ context.Context, _ mlflowapi.Caller, name string) (registry.Entry, error) {
	if name != "m" {
		return registry.Entry{}, registry.NoModel(name)
	}
	return registry.Entry{Model: registry.Model{Name: "m", Latest: 1, Created: at, Updated: at, By: "ada"}, Tags: map[string]string{"k": "v"},
		Aliases: map[string]int{"champion": 1}, Newest: []registry.Version{first}}, nil
}

func (o *one) AddVersion(_ context.Context, _ mlflowapi.Caller, v models.NewVersion) (registry.Version, error) {
	o.version = v
	return first, nil
}

func (*one) Aliased(_ context.Context, _ mlflowapi.Caller, model, alias string) (registry.Version, error) {
	if model != "m" {
		return registry.Version{}, registry.NoModel(model)
	}
	return registry.Version{}, registry.NoAlias(model, alias)
}

func (o *one) SearchVersions(_ context.Context, _ mlflowapi.Caller, in registry.Search) ([]registry.Version, string, error) {
	o.search = in
	return nil, "next", nil
}

func (o *one) TagModel(_ context.Context, _ mlflowapi.Caller, _, _ string, value *string) error {
	o.tag = value
	return nil
}

func (*one) AddModel(_ context.Context, _ mlflowapi.Caller, name, _ string, _ map[string]string) (registry.Entry, error) {
	return registry.Entry{}, registry.ModelExists(name, name == "prompt", false)
}

const wantVersion = `{"name":"m","version":"1","creation_timestamp":1795000000123,"last_updated_timestamp":1795000000123,"user_id":"ada","current_stage":"None",` +
	`"description":"","source":"s3://b","run_id":"","status":"READY","tags":[{"key":"a","value":""},{"key":"b","value":"2"}],"run_link":"","aliases":["champion"],"model_id":"m-1"}`

// Answers and errors are MLflow's, byte for byte where its clients look.
func TestWire(t *testing.T) {
	o := &one{}
	h := mlflowapi.New(mlflowapi.Config{Auth: o, Access: o, Routes: models.Routes(o), Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "registered-models/get?name=m", "", 200, `{"registered_model":{"name":"m","creation_timestamp":1795000000123,"last_updated_timestamp":1795000000123,"user_id":"ada",` +
			`"latest_versions":[` + wantVersion + `],"tags":[{"key":"k","value":"v"}],"aliases":[{"alias":"champion","version":"1"}]}}`},
		{"GET", "registered-models/get?name=x", "", 404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Registered Model with name=x not found"}`},
		{"GET", "registered-models/get", "", 400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Missing value for required parameter 'name'. See the API docs for more information about request parameters."}`},
		{"GET", "registered-models/alias?name=m&alias=x", "", 400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Registered model alias x not found."}`},
		{"GET", "registered-models/alias?name=x&alias=x", "", 404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Registered Model with name=x not found"}`},
		{"POST", "registered-models/create", `{"name":"m"}`, 400, `{"error_code":"RESOURCE_ALREADY_EXISTS","message":"Registered Model (name=m) already exists."}`},
		{"POST", "registered-models/create", `{"name":"prompt"}`, 400, `{"error_code":"RESOURCE_ALREADY_EXISTS","message":"Tried to create a registered model with name 'prompt', but the name is already taken by a prompt. MLflow does not allow creating a model and a prompt with the same name."}`},
		{"POST", "registered-models/create", `{"name":12}`, 400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value 12 for parameter 'name' supplied:  Hint: Value was of type 'int'. See the API docs for more information about request parameters."}`},
		{"DELETE", "registered-models/delete-tag", `{"name":"m","key":"k"}`, 200, `{}`},
		{"POST", "model-versions/create", `{"name":"m","source":"s3://b","runId":"r","tags":[{"key":"a","value":"1"},{"key":"a","value":"2"}]}`, 200, `{"model_version":` + wantVersion + `}`},
		{"GET", "model-versions/search?filter=name%3D'm'&order_by=name&order_by=version_number+DESC&page_token=t", "", 200, `{"next_page_token":"next"}`},
		{"GET", "model-versions/search?max_results=x", "", 400, ""},
	} {
		r := httptest.NewRequest(c.method, "/api/2.0/mlflow/"+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.want != "" && w.Body.String() != c.want {
			t.Errorf("%s %s: %d\n%s\nwant %d\n%s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
	if v := o.version; v.Run == nil || *v.Run != "r" || v.Logged != nil || v.Tags["a"] != "2" {
		t.Errorf("a version was asked for as %+v", v)
	}
	if s := o.search; s.Limit != 200_000 || s.Filter != "name='m'" || len(s.OrderBy) != 2 || s.Token != "t" {
		t.Errorf("the search was %+v", s)
	}
	if o.tag != nil {
		t.Error("a tag was set and not removed")
	}
	if n := len(models.Routes(o)); n != 22 {
		t.Errorf("%d routes, and MLflow's registry has 22 with both verbs of get-latest-versions", n)
	}
	for _, r := range models.Routes(o) {
		if r.Method == http.MethodGet && r.Action != authz.ModelRead {
			t.Errorf("%s is read by %s", r.Path, r.Action)
		}
	}
}
