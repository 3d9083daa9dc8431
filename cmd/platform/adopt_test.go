package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// elsewhere is a server of both protocols that doubles its input x.
func elsewhere(t *testing.T) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	mux.HandleFunc("GET /v2/health/ready", ok)
	mux.HandleFunc("GET /ping", ok)
	mux.HandleFunc("GET /v2/models/twice", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name":"twice","inputs":[{"name":"x","datatype":"FP64","shape":[-1]}],"outputs":[{"name":"y","datatype":"FP64","shape":[-1]}]}`)
	})
	mux.HandleFunc("POST /v2/models/twice/infer", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Inputs []struct{ Data []float64 } }
		if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Inputs) != 1 {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		asked.Add(1)
		out := make([]float64, len(in.Inputs[0].Data))
		for i, v := range in.Inputs[0].Data {
			out[i] = 2 * v
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"model_name": "twice", "outputs": []any{map[string]any{
			"name": "y", "datatype": "FP64", "shape": []int{len(out)}, "data": out}}})
	})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Frame struct{ Data [][]float64 } `json:"dataframe_split"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		asked.Add(1)
		var out []float64
		for _, row := range in.Frame.Data {
			out = append(out, 2*row[0])
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"predictions": out})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, asked
}

// A model that is served elsewhere comes aboard as it is, by either protocol, and callers
// are held to its signature from then on.
func TestAdopt(t *testing.T) {
	url, asked := elsewhere(t)
	s := newServer(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "request.json"), []byte(`{"dataframe_split": {"columns": ["x"], "data": [[1.5]]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(in string, want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(s.exe, append(args, "--home", s.home)...)
		cmd.Dir = filepath.Join(dir, in)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != want {
			t.Fatalf("%q ended with %v:\n%s", args, err, out)
		}
		return string(out)
	}
	run("", 0, "adopt", url, "--name", "twice", "--team", "risk")
	run("", 0, "adopt", url, "--name", "two", "--team", "risk", "--protocol", "mlflow", "--example", "request.json")
	for _, name := range []string{"twice", "two"} {
		before := asked.Load()
		run(name, 0, "deploy", "--watch")
		if out := run(name, 0, "predict", name, "-d", `{"x": 4.5}`); !strings.Contains(out, `"predictions":[9]`) {
			t.Errorf("%s answers %s", name, out)
		}
		if asked.Load() == before {
			t.Errorf("the server was not asked for %s", name)
		}
		if out := run(name, 2, "predict", name, "-d", `{"z": 1}`); !strings.Contains(out, "x") {
			t.Errorf("%s does not name the column: %s", name, out)
		}
		if out := run(name, 0, "status", name, "--json"); !strings.Contains(out, `"remote"`) {
			t.Errorf("status of %s: %s", name, out)
		}
	}
	if out := run("", 5, "adopt", "http://127.0.0.1:1", "--name", "nobody", "--team", "risk"); !strings.Contains(out, "no server at") {
		t.Error(out)
	}
	if out := run("", 4, "adopt", url, "--name", "thrice", "--team", "risk"); !strings.Contains(out, "--model NAME") {
		t.Error(out)
	}
	if out := run("", 2, "adopt", url, "--name", "two", "--team", "risk", "--protocol", "mlflow"); !strings.Contains(out, "--example") {
		t.Error(out)
	}
}
