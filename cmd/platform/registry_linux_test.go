package main

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/templates"
)

// askMLflow calls MLflow's API and gives its answer.
func (s *server) askMLflow(method, path string, in any) (status int, out map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	status, text, _ := s.ask(method, s.url+"/api/2.0/mlflow/"+path, string(body))
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		s.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return status, out
}

// must is an answer of 200.
func (s *server) must(method, path string, in any) object {
	s.t.Helper()
	status, out := s.askMLflow(method, path, in)
	if status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

// deploys gives the version that a platform.yaml with a source brought out.
func (s *server) deploys(endpoint, model string) api.Deployment {
	s.t.Helper()
	yaml := strings.Replace(strings.Replace(quick, "name: fraud", "name: "+endpoint, 1), "model: {source: ./model}", "model: "+model, 1)
	d, err := s.c.CreateDeployment(s.t.Context(), "", api.CreateDeployment{PlatformYAML: yaml})
	if err != nil {
		s.t.Fatalf("%s: %v", model, err)
	}
	for now, err := range s.c.WatchDeployment(s.t.Context(), d.ID) {
		if err != nil {
			s.t.Fatal(err)
		}
		d = now
	}
	if d.Status != "succeeded" {
		s.t.Fatalf("%s ended %s: %s", model, d.Status, d.Message)
	}
	return d
}

// TestDeployWhatARunLogged: what MLflow's client logs in a run is deployed by the run's
// address, and registered by that; what is written to the run later changes neither.
func TestDeployWhatARunLogged(t *testing.T) {
	s := newServer(t)
	experiment := s.must(http.MethodPost, "experiments/create", object{"name": "e"})["experiment_id"]
	run, _ := s.must(http.MethodPost, "runs/create", object{"experiment_id": experiment})["run"].(object)["info"].(object)
	place := "artifacts/" + strings.TrimPrefix(run["artifact_uri"].(string), "mlflow-artifacts:/") + "/clf/"
	model, err := fs.Sub(templates.FS, "xgboost/model")
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{}
	files, err := fs.ReadDir(model, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := fs.ReadFile(model, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		contents[f.Name()] = string(b)
		if status, body, _ := s.ask(http.MethodPut, place+f.Name(), string(b)); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	source := "runs:/" + run["run_id"].(string) + "/clf"

	first := s.deploys("fraud", `{source: "`+source+`", name: scores}`)
	if first.Model != "scores" || first.Version != 1 {
		t.Errorf("%s:%d", first.Model, first.Version)
	}
	if d := s.deploys("churn", `{source: "`+source+`", name: scores}`); d.Version != 1 || d.Digest != first.Digest {
		t.Errorf("the same files are version %d", d.Version)
	}
	v, _ := s.must(http.MethodGet, "model-versions/get?name=scores&version=1", nil)["model_version"].(object)
	if v["run_id"] != run["run_id"] || v["source"] != source || v["status"] != "READY" {
		t.Errorf("%v", v)
	}

	s.must(http.MethodPost, "registered-models/create", object{"name": "My scores"})
	s.must(http.MethodPost, "model-versions/create", object{"name": "My scores", "source": source, "run_id": run["run_id"]})
	s.must(http.MethodPost, "registered-models/alias", object{"name": "My scores", "alias": "Champion_1", "version": "1"})
	if status, body, _ := s.ask(http.MethodPut, place+"MLmodel", "something else"); status != http.StatusOK {
		t.Fatal(status, body)
	}
	for endpoint, source := range map[string]string{"a": "models:/My scores/1", "b": "models:/My scores@Champion_1", "c": "models:/My scores/latest"} {
		if d := s.deploys(endpoint, `{source: "`+source+`"}`); d.Model != "My scores" || d.Version != 1 || d.Digest != first.Digest {
			t.Errorf("%s deployed %s:%d", source, d.Model, d.Version)
		}
	}
	uri, _ := s.must(http.MethodGet, "model-versions/get-download-uri?name=My+scores&version=1", nil)["artifact_uri"].(string)
	tree := "artifacts/" + strings.ReplaceAll(strings.TrimPrefix(uri, "mlflow-artifacts:/"), " ", "%20") + "/"
	for name, want := range contents {
		if status, body, _ := s.ask(http.MethodGet, tree+name, ""); status != http.StatusOK || body != want {
			t.Errorf("%s: %d, %d bytes", name, status, len(body))
		}
	}
	if status, _, _ := s.ask(http.MethodPut, tree+"MLmodel", "something else"); status != http.StatusForbidden {
		t.Errorf("the files of a version may be written: %d", status)
	}
	s.inUse()
}

// inUse tries what an endpoint, or the lack of files, forbids.
func (s *server) inUse() {
	s.t.Helper()
	for path, in := range map[string]object{"registered-models/delete": {"name": "My scores"}, "model-versions/delete": {"name": "scores", "version": "1"}} {
		if status, out := s.askMLflow(http.MethodDelete, path, in); status != http.StatusConflict || out["error_code"] != "RESOURCE_CONFLICT" {
			s.t.Errorf("%s of what serves: %d %v", path, status, out)
		}
	}
	s.must(http.MethodPost, "registered-models/create", object{"name": "elsewhere"})
	s.must(http.MethodPost, "model-versions/create", object{"name": "elsewhere", "source": "s3://bucket/model"})
	for model, want := range map[string]string{
		`{source: "models:/elsewhere/1"}`:           slipway.CodeNoFiles,
		`{source: "models:/elsewhere/2"}`:           slipway.CodeNotFound,
		`{source: "runs:/none/model", name: x}`:     slipway.CodeNoSource,
		`{source: "models:/scores/Production"}`:     slipway.CodeSpec,
		`{source: "models:/scores@nobody"}`:         slipway.CodeNotFound,
		`{source: "models:/scores/1", name: other}`: slipway.CodeSpec,
	} {
		yaml := strings.Replace(quick, "model: {source: ./model}", "model: "+model, 1)
		_, err := s.c.CreateDeployment(s.t.Context(), "", api.CreateDeployment{PlatformYAML: yaml})
		if e := slipway.AsError(err); e.Code != want && !strings.Contains(err.Error(), want) {
			s.t.Errorf("%s: %v, want %s", model, err, want)
		}
	}
	names := []string{}
	for _, m := range s.must(http.MethodGet, "registered-models/search?max_results=2&order_by=name+DESC", nil)["registered_models"].([]any) {
		names = append(names, m.(object)["name"].(string))
	}
	if !slices.Equal(names, []string{"scores", "elsewhere"}) {
		s.t.Errorf("models %v", names)
	}
}
