package mlflowimport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/mlflowimport"
)

// platform is one of a test. A call that fail names is answered with its error.
type platform struct {
	mu      sync.Mutex
	rows    map[string]api.Imported // by kind and id
	runs    map[string]api.ImportRun
	models  map[string]api.ImportLoggedModel
	metrics map[string]int
	named   map[string]api.ImportModel
	version map[string]api.ImportVersion
	aliases map[string]int
	files   map[string]string
	puts    int
	fail    func(call, id string) error
}

func newPlatform() *platform {
	return &platform{rows: map[string]api.Imported{}, runs: map[string]api.ImportRun{}, models: map[string]api.ImportLoggedModel{}, metrics: map[string]int{}, named: map[string]api.ImportModel{},
		version: map[string]api.ImportVersion{}, aliases: map[string]int{}, files: map[string]string{}, fail: func(string, string) error { return nil }}
}

func (p *platform) put(kind, sourceID, id, place string, keep func()) (api.Imported, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fail(kind, sourceID); err != nil {
		return api.Imported{}, err
	}
	keep()
	row := api.Imported{SourceID: sourceID, ID: id, Place: place}
	p.rows[kind+" "+sourceID] = row
	return row, nil
}

func (p *platform) Imported(_ context.Context, q api.ImportQuery) (out []api.Imported, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range q.IDs {
		if row, ok := p.rows[q.Kind+" "+id]; ok {
			out = append(out, row)
		}
	}
	return out, nil
}

func (p *platform) ImportDone(_ context.Context, d api.ImportDone) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := p.rows[d.Kind+" "+d.SourceID]
	row.Mark = d.Mark
	p.rows[d.Kind+" "+d.SourceID] = row
	return nil
}

func (p *platform) ImportExperiment(_ context.Context, e api.ImportExperiment) (api.Imported, error) {
	return p.put(api.ImportExperiments, e.SourceID, "7", "mlflow-artifacts:/7", func() {})
}

func (p *platform) ImportRun(_ context.Context, r api.ImportRun) (api.Imported, error) {
	return p.put(api.ImportRuns, r.SourceID, r.SourceID, "mlflow-artifacts:/7/"+r.SourceID+"/artifacts", func() { p.runs[r.SourceID] = r })
}

func (p *platform) ImportMetrics(_ context.Context, run string, m api.ImportMetrics) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fail("metrics", run); err != nil {
		return err
	}
	p.metrics[run] += len(m.Metrics)
	return nil
}

func (p *platform) ImportLoggedModel(_ context.Context, m api.ImportLoggedModel) (api.Imported, error) {
	return p.put(api.ImportLoggedModels, m.SourceID, m.SourceID, "mlflow-artifacts:/7/models/"+m.SourceID+"/artifacts", func() { p.models[m.SourceID] = m })
}

func (p *platform) ImportModel(_ context.Context, m api.ImportModel) (api.Imported, error) {
	return p.put(api.ImportModels, m.SourceID, m.Name, "", func() { p.named[m.Name] = m })
}

func (p *platform) ImportVersion(_ context.Context, v api.ImportVersion) (api.Imported, error) {
	return p.put(api.ImportVersions, v.SourceID, fmt.Sprintf("%s/%d", v.Model, v.Number), "", func() { p.version[v.SourceID] = v })
}

func (p *platform) SetAlias(_ context.Context, model, alias string, r api.SetAlias) (api.Alias, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aliases[model+"@"+alias] = r.Version
	return api.Alias{}, p.fail("alias", alias)
}

func (p *platform) Artifacts(_ context.Context, dir string) (map[string]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int64{}
	for name, text := range p.files {
		if path.Dir(name) == dir {
			out[path.Base(name)] = int64(len(text))
		}
	}
	return out, nil
}

func (p *platform) PutArtifact(_ context.Context, file string, size int64, in io.Reader) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return errors.Join(&slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Message: "the upload broke off"}, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.puts++
	if size >= 0 && int64(len(b)) != size {
		return slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "", "%d bytes, and %d were announced", len(b), size)
	}
	p.files[file] = string(b)
	return p.fail("put", file)
}

// server is an MLflow server of a test: what it answers by path, or by path and query.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]any
	before  func(w http.ResponseWriter, r *http.Request) (answered bool)
	asked   []string
}

// mlflow has one of everything.
func mlflow(t *testing.T) *server {
	s := &server{before: func(http.ResponseWriter, *http.Request) bool { return false }}
	const a = "/api/2.0/mlflow"
	type j = map[string]any
	s.answers = map[string]any{
		"/version":                    "3.1.0",
		a + "/experiments/search":     j{"experiments": []j{{"experiment_id": "12", "name": "churn", "creation_time": 5, "last_update_time": "6", "tags": []j{{"key": "o", "value": "risk"}}}}},
		a + "/runs/search":            j{"runs": []j{oneRun("FINISHED")}},
		a + "/metrics/get-history":    j{"metrics": []j{{"key": "loss", "value": "NaN", "timestamp": 1, "step": "0"}, {"key": "loss", "value": 0.5, "timestamp": 2, "step": 1}}},
		a + "/artifacts/list":         j{"files": []j{{"path": "a b.txt", "file_size": "5"}, {"path": "model", "is_dir": true}}},
		a + "/artifacts/list model":   j{"files": []j{{"path": "model/MLmodel", "file_size": 7}}},
		"/get-artifact a b.txt":       []byte("hello"),
		"/get-artifact model/MLmodel": []byte("flavors"),
		a + "/logged-models/search": j{"models": []j{{"info": j{"model_id": "m-1", "name": "model", "status": "LOGGED_MODEL_READY", "creation_timestamp_ms": 3, "source_run_id": "r1", "artifact_uri": "mlflow-artifacts:/12/models/m-1/artifacts"},
			"data": j{"metrics": []j{{"key": "auc", "value": 1, "timestamp": 1, "step": 0, "run_id": "r1"}}}}}},
		a + "/logged-models/m-1/artifacts/directories":           j{"files": []j{{"path": "x.bin", "file_size": 3}}},
		"/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files": []byte("xyz"),
		a + "/registered-models/search":                          j{"registered_models": []j{{"name": "fraud", "creation_timestamp": 1, "last_updated_timestamp": 9, "aliases": []j{{"alias": "champion", "version": "3"}}}}},
		a + "/model-versions/search": j{"model_versions": []j{{"name": "fraud", "version": 1, "source": "mlflow-artifacts:/12/r1/artifacts/model", "run_id": "r1", "current_stage": "Archived"},
			{"name": "fraud", "version": "3", "source": "models:/m-1", "run_id": "r1"}}},
		a + "/runs/get":         j{"run": oneRun("FINISHED")},
		a + "/traces":           j{"traces": []j{{"request_id": "t"}}},
		a + "/webhooks":         j{"webhooks": []j{{"webhook_id": "w", "name": "to chat"}}},
		a + "/prompts/filtered": j{},
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.Contains(r.URL.Query().Get("filter"), "is_prompt") {
			_, _ = io.WriteString(w, "{}")
			return
		}
		s.asked = append(s.asked, r.URL.Path)
		if s.before(w, r) {
			return
		}
		answer, ok := s.answers[strings.TrimSpace(r.URL.Path+" "+r.URL.Query().Get("path"))]
		switch b := answer.(type) {
		case []byte:
			_, _ = w.Write(b)
		case string:
			_, _ = io.WriteString(w, b)
		default:
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				answer = j{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such thing"}
			}
			_ = json.NewEncoder(w).Encode(answer)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func oneRun(status string) map[string]any {
	type j = map[string]any
	return j{"info": j{"run_id": "r1", "run_name": "quick", "experiment_id": "12", "user_id": "ada", "status": status, "start_time": 100, "end_time": 200, "artifact_uri": "mlflow-artifacts:/12/r1/artifacts"},
		"data":    j{"metrics": []j{{"key": "loss", "value": 0.5, "timestamp": 2, "step": 1}}, "params": []j{{"key": "lr", "value": "0.1"}}, "tags": []j{{"key": "k", "value": "v"}}},
		"inputs":  j{"dataset_inputs": []j{{"dataset": j{"name": "d", "digest": "x", "source_type": "local", "source": "{}"}, "tags": []j{{"key": "mlflow.data.context", "value": "training"}}}}},
		"outputs": j{"model_outputs": []j{{"model_id": "m-1", "step": 4}}}}
}

func (s *server) run(t *testing.T, p *platform, change func(*mlflowimport.SourceConfig, *mlflowimport.Options)) (api.ImportReport, error) {
	t.Helper()
	c, o := mlflowimport.SourceConfig{URL: s.URL}, mlflowimport.Options{Parallel: 2, Now: time.Now}
	if change != nil {
		change(&c, &o)
	}
	source, err := mlflowimport.NewSource(c)
	if err != nil {
		t.Fatal(err)
	}
	return mlflowimport.Run(t.Context(), source.Quick(200*time.Millisecond), p, o)
}

func lefts(r api.ImportReport) (out []string) {
	for _, l := range r.Left {
		out = append(out, l.What+" "+l.ID+": "+l.Why)
	}
	return out
}

// TestImport: everything comes, with its ids and times; what cannot is named; a second time
// nothing comes but what has changed.
func TestImport(t *testing.T) {
	s, p := mlflow(t), newPlatform()
	r, err := s.run(t, p, nil)
	if err != nil {
		t.Fatalf("%v: %q", err, lefts(r))
	}
	one := api.ImportCount{Copied: 1}
	want := api.ImportReport{Source: s.URL, SourceVersion: "3.1.0", Experiments: one, Runs: one, LoggedModels: one, Models: one, Versions: api.ImportCount{Copied: 2}, Aliases: one,
		Metrics: 3, Files: api.ImportCount{Copied: 3}, Bytes: 15, TookMS: r.TookMS, Left: r.Left}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"traces of the experiment churn: the platform keeps no traces", "webhook to chat: its secret cannot be read"}, lefts(r)); diff != "" {
		t.Error(diff)
	}
	end := int64(200)
	wantRun := api.ImportRun{ImportOrigin: api.ImportOrigin{Source: s.URL, SourceID: "r1"}, Experiment: "7", Name: "quick", User: "ada", Status: "FINISHED", Start: 100, End: &end,
		Params: []api.Pair{{Key: "lr", Value: "0.1"}}, Tags: []api.Pair{{Key: "k", Value: "v"}}, Outputs: []api.ImportOutput{{ModelID: "m-1", Step: 4}},
		Datasets: []api.ImportDataset{{Name: "d", Digest: "x", SourceType: "local", Source: "{}", Tags: []api.Pair{{Key: "mlflow.data.context", Value: "training"}}}}}
	if diff := cmp.Diff(wantRun, p.runs["r1"]); diff != "" {
		t.Error(diff)
	}
	files := map[string]string{"7/r1/artifacts/a b.txt": "hello", "7/r1/artifacts/model/MLmodel": "flavors", "7/models/m-1/artifacts/x.bin": "xyz"}
	if diff := cmp.Diff(files, p.files); diff != "" {
		t.Error(diff)
	}
	if v := p.version["fraud/1"]; v.Origin != "mlflow-artifacts:/7/r1/artifacts/model" || v.Number != 1 || v.Stage != "Archived" {
		t.Errorf("%+v", v)
	}
	if v := p.version["fraud/3"]; v.LoggedModel != "m-1" || v.Origin != "models:/m-1" || p.aliases["fraud@champion"] != 3 {
		t.Errorf("%+v, %v", v, p.aliases)
	}
	r, err = s.run(t, p, nil)
	if same := (api.ImportCount{Unchanged: 1}); err != nil || r.Runs != same || r.Experiments != same || r.LoggedModels != same || r.Models != same || r.Bytes+r.Metrics != 0 {
		t.Errorf("a second time: %+v, %v", r, err)
	}
	s.answers["/api/2.0/mlflow/runs/search"].(map[string]any)["runs"].([]map[string]any)[0]["info"].(map[string]any)["run_name"] = "renamed"
	if r, err = s.run(t, p, nil); err != nil || r.Runs.Copied != 1 || p.runs["r1"].Name != "renamed" || r.Files.Copied != 0 || r.Files.Unchanged != 2 {
		t.Errorf("renamed: %+v, %v", r, err)
	}
	if r, err = s.run(t, p, func(_ *mlflowimport.SourceConfig, o *mlflowimport.Options) { o.Full = true }); err != nil || r.Files.Copied != 3 || r.Versions.Copied != 2 {
		t.Errorf("in full: %+v, %v", r, err)
	}
	s.answers["/api/2.0/mlflow/runs/search"] = map[string]any{"runs": []any{oneRun("RUNNING")}}
	for range 2 { // it may go on
		if r, err = s.run(t, p, nil); err != nil || r.Runs.Copied != 1 {
			t.Errorf("a run that goes on: %+v, %v", r, err)
		}
	}
	if r, err = s.run(t, newPlatform(), func(_ *mlflowimport.SourceConfig, o *mlflowimport.Options) {
		o.Experiments, o.Models, o.NoArtifacts = []string{"other"}, []string{"other"}, true
	}); err != nil || r.Runs.Copied+r.Models.Copied != 0 {
		t.Errorf("others only: %+v, %v", r, err)
	}
}

// TestGoesOn: whichever call to the platform is the last before the end, the next import
// brings all.
func TestGoesOn(t *testing.T) {
	s := mlflow(t)
	whole := newPlatform()
	if _, err := s.run(t, whole, nil); err != nil {
		t.Fatal(err)
	}
	for stop := range 60 {
		p, calls := newPlatform(), 0
		p.fail = func(string, string) error {
			if calls++; calls > stop {
				return slipway.Errorf(slipway.Unavailable, slipway.CodeNoServer, "platform up", "gone")
			}
			return nil
		}
		_, err := s.run(t, p, nil)
		if err == nil {
			if stop == 0 {
				t.Error("nothing has failed")
			}
			return
		}
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeNoServer}) {
			t.Fatalf("after %d calls: %v", stop, err)
		}
		p.fail = func(string, string) error { return nil }
		if _, err := s.run(t, p, nil); err != nil {
			t.Fatalf("the next after %d calls: %v", stop, err)
		}
		if diff := cmp.Diff(whole.rows, p.rows); diff != "" {
			t.Errorf("after %d calls: %s", stop, diff)
		}
		if !maps.Equal(whole.files, p.files) || !maps.Equal(whole.aliases, p.aliases) {
			t.Errorf("after %d calls: %v, %v", stop, p.files, p.aliases)
		}
	}
	t.Error("it never ends")
}

// TestPartly: what one thing cannot is named, and the rest comes.
func TestPartly(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *server, p *platform)
		says   string
		code   string
		came   func(p *platform) bool
	}{
		"a bucket that the server cannot read": {func(s *server, _ *platform) {
			s.answers["/api/2.0/mlflow/runs/search"].(map[string]any)["runs"].([]map[string]any)[0]["info"].(map[string]any)["artifact_uri"] = "s3://bucket/r1"
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/2.0/mlflow/artifacts/list" {
					return false
				}
				http.Error(w, `{"error_code":"INTERNAL_ERROR","message":"Unable to locate credentials"}`, http.StatusInternalServerError)
				return true
			}
		}, "s3://bucket/r1", slipway.CodeImport, func(p *platform) bool {
			return p.files["7/models/m-1/artifacts/x.bin"] == "xyz" && p.metrics["r1"] == 3
		}},
		"a run that is here already": {func(_ *server, p *platform) {
			p.fail = func(call, _ string) error {
				if call == api.ImportRuns {
					return slipway.Errorf(slipway.Conflict, slipway.CodeImportTaken, "", "run r1 is here already")
				}
				return nil
			}
		}, "run r1: run r1 is here already", "", func(p *platform) bool { return len(p.version) == 2 }},
		"an alias that is protected": {func(_ *server, p *platform) {
			p.fail = func(call, _ string) error {
				if call == "alias" {
					return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "", "two people move it")
				}
				return nil
			}
		}, "alias fraud@champion: two people move it", slipway.CodeImport, func(p *platform) bool { return len(p.version) == 2 }},
		"a file that leads out": {func(s *server, _ *platform) {
			s.answers["/api/2.0/mlflow/artifacts/list"] = map[string]any{"files": []any{map[string]any{"path": "../../8/other", "file_size": 1}}}
		}, `"../../8/other"`, slipway.CodeImport, func(p *platform) bool { return len(p.files) == 1 }},
		"directories without end": {func(s *server, _ *platform) {
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/2.0/mlflow/artifacts/list" {
					return false
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"files": []any{map[string]any{"path": path.Join(r.URL.Query().Get("path"), "d"), "is_dir": true}}})
				return true
			}
		}, "never end", slipway.CodeImport, func(p *platform) bool { return len(p.files) == 1 }},
		"a file of another size": {func(s *server, _ *platform) { s.answers["/get-artifact a b.txt"] = []byte("hello, world") }, "12 bytes", slipway.CodeImport, func(p *platform) bool { return len(p.files) == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := mlflow(t), newPlatform()
			c.change(s, p)
			r, err := s.run(t, p, nil)
			if got := ""; err != nil {
				got = slipway.AsError(err).Code
				if got != c.code {
					t.Errorf("%v", err)
				}
			} else if c.code != "" {
				t.Error("no error")
			}
			if !slices.ContainsFunc(lefts(r), func(l string) bool { return strings.Contains(l, c.says) }) || !c.came(p) {
				t.Errorf("%q says nothing of %q, or the rest did not come", lefts(r), c.says)
			}
		})
	}
}

// TestHostile: a server that is no MLflow's, or means ill, is told from one, in bounded memory
// and time; credentials go to it alone.
func TestHostile(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody else was asked") }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		before func(w http.ResponseWriter, r *http.Request) bool
		code   string
		says   string
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, slipway.CodeSource, "307"},
		"no MLflow": {func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>hello</html>")
			return true
		}, slipway.CodeSource, "no MLflow's"},
		"wrong credentials": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, slipway.CodeSourceDenied, "401"},
		"an answer without end": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/version" {
				return false
			}
			chunk := bytes.Repeat([]byte(" "), 1<<20)
			for range 70 {
				if _, err := w.Write(chunk); err != nil {
					break
				}
			}
			return true
		}, slipway.CodeSource, "larger than 64 MiB"},
		"numbers that are none": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/2.0/mlflow/experiments/search" {
				return false
			}
			_, _ = io.WriteString(w, `{"experiments":[{"experiment_id":{},"creation_time":"x"}]}`)
			return true
		}, slipway.CodeSource, "cannot be read"},
		"always busy": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, slipway.CodeSource, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := mlflow(t), newPlatform()
			s.before = c.before
			_, err := s.run(t, p, func(c *mlflowimport.SourceConfig, _ *mlflowimport.Options) { c.Username, c.Password = "ada", "hunter2" })
			if !errors.Is(err, &slipway.Error{Code: c.code}) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s and %q", err, c.code, c.says)
			}
			if err != nil && strings.Contains(err.Error()+fmt.Sprint(slipway.AsError(err).Cause), "hunter2") {
				t.Error("the password is in the error")
			}
		})
	}
	for _, url := range []string{"", "ftp://x", "http://", "http://ada:secret@x", "https://x?y=1", "x"} {
		if _, err := mlflowimport.NewSource(mlflowimport.SourceConfig{URL: url}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestPatience: what breaks off, or is silent, is asked for again, and what is busy later.
func TestPatience(t *testing.T) {
	s, p := mlflow(t), newPlatform()
	broken, busy := 0, 0
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/get-artifact" && broken < 2:
			broken++
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "he")
			if broken == 1 {
				panic(http.ErrAbortHandler)
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done() // silence
			return true
		case r.URL.Path == "/api/2.0/mlflow/runs/search" && busy < 3:
			busy++
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	}
	if r, err := s.run(t, p, nil); err != nil || p.files["7/r1/artifacts/a b.txt"] != "hello" || broken != 2 || busy != 3 {
		t.Errorf("%v, %q, broken off %d times, busy %d times", err, lefts(r), broken, busy)
	}
}

// FuzzPage: whatever a server answers is read or refused.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"runs":[{"info":{"run_id":"r","start_time":"1e3","end_time":1.7e12},"data":{"metrics":[{"value":"NaN","step":"7"}]}}]}`))
	f.Add([]byte(`{"model_versions":[{"version":7}],"files":[{"path":"a","file_size":null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p mlflowimport.Page
		if json.Unmarshal(b, &p) == nil {
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzInside: no path that is taken leads out of its directory.
func FuzzInside(f *testing.F) {
	f.Add("", "a")
	f.Add("a", "a/b")
	f.Add("a", "a/../b")
	f.Add("..", "../a")
	f.Fuzz(func(t *testing.T, dir, p string) {
		if mlflowimport.Inside(dir, p) && (strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") || strings.ContainsAny(p, "\\\x00") || path.Join("x", p) != "x/"+p) {
			t.Errorf("%q was taken for something in %q", p, dir)
		}
	})
}
