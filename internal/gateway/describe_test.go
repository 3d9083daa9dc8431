package gateway_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const savedModel = `flavors:
  python_function:
    loader_module: mlflow.sklearn
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}]'
`

// TestDescriptions: whoever may call an endpoint may read what it takes, with the example that
// was saved with the model.
func TestDescriptions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"MLmodel": savedModel, "serving_input_example.json": `{"dataframe_split":{"columns":["a"],"data":[[12345.5],[2],[3]]}}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, t.TempDir(), newFake())
	e := serving(0)
	e.Stable.Dir = dir
	bare := serving(0)
	bare.Key, bare.Stable = "lone", revision(3)
	h.apply(table(1, e, bare))
	for _, c := range []struct {
		path, token string
		status      int
		has         string
	}{
		{"/endpoints/fraud/openapi.json", callerToken, 200, "12345.5"},
		{"/endpoints/fraud/docs", callerToken, 200, "12345.5"},
		{"/endpoints/lone/docs", callerToken, 200, "only fits its signature"},
		{"/endpoints/other/docs", callerToken, 403, "PERMISSION_DENIED"},
		{"/endpoints/other/docs", ownerToken, 404, "RESOURCE_DOES_NOT_EXIST"},
		{"/endpoints/fraud/docs", "", 401, "UNAUTHENTICATED"},
		{"/endpoints/fraud/else", callerToken, 404, "no such path"},
	} {
		w := h.send(http.MethodGet, c.path, c.token, "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%+v: %d %.300s", c, w.Code, w.Body)
		}
		if strings.HasSuffix(c.path, ".json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s is no JSON", c.path)
		}
	}
	if w := h.send(http.MethodPost, "/endpoints/fraud/docs", callerToken, ""); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
}
