package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// control is a control plane that takes uploads and plays the states of one deployment.
type control struct {
	t      *testing.T
	states []api.Deployment
	end    api.Endpoint // after the deployment

	mu       sync.Mutex
	blobs    map[string]int64
	version  api.RegisterVersion
	created  api.CreateDeployment
	key      string
	watchers int
}

func (s *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/blobs/missing":
		var in, out api.MissingBlobs
		s.read(r, &in)
		for _, d := range in.Digests {
			if _, ok := s.blobs[d]; !ok {
				out.Digests = append(out.Digests, d)
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	case "POST /v1/models/fraud/versions":
		s.read(r, &s.version)
		_ = json.NewEncoder(w).Encode(api.Version{Model: "fraud", Number: 2, Digest: "sha256:" + strings.Repeat("ab", 32), New: true})
	case "POST /v1/deployments":
		s.read(r, &s.created)
		s.key = r.Header.Get("Idempotency-Key")
		_ = json.NewEncoder(w).Encode(s.states[0])
	case "GET /v1/deployments/dep_1/events":
		s.watch(w)
	case "GET /v1/endpoints/fraud":
		_ = json.NewEncoder(w).Encode(s.end)
	default:
		digest, ok := strings.CutPrefix(r.URL.Path, "/v1/blobs/")
		if !ok || r.Method != http.MethodPut {
			problem(w, 404, "SLIP-E0003", "nothing at "+r.URL.Path)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		s.blobs[digest] = n
	}
}

// watch gives the states in two streams, as if the server were restarted in between.
func (s *control) watch(w http.ResponseWriter) {
	s.watchers++
	half := len(s.states) / 2
	states := s.states[:half]
	if s.watchers > 1 {
		states = s.states[max(half-1, 0):]
	}
	for _, d := range states {
		b, err := json.Marshal(d)
		if err != nil {
			s.t.Error(err)
		}
		_, _ = fmt.Fprintf(w, "event: deployment\ndata: %s\n\n", b)
	}
}

func (s *control) read(r *http.Request, v any) {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		s.t.Error(err)
	}
}

// stages are two checks that passed and, with a verdict, a third.
func stages(verdict string) []api.Stage {
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	out := []api.Stage{
		{Stage: "fetch", Verdict: "pass", Started: at(0), Finished: at(120), Results: []api.Result{{Check: "files", Verdict: "pass", Message: "8 files"}}},
		{Stage: "golden", Verdict: "warn", Started: at(120), Finished: at(1500), Results: []api.Result{{Check: "golden", Verdict: "pass", Message: "60 of 60 records agree"},
			{Check: "signature", Verdict: "warn", Message: "one column is new", Next: "tell the callers"}}},
	}
	if verdict != "" {
		out = append(out, api.Stage{Stage: "metrics", Verdict: verdict, Started: at(1500), Finished: at(2000),
			Results: []api.Result{{Check: "roc_auc", Verdict: verdict, Message: "0.71, at least 0.9 is required"}}, Log: []string{"scored 4000 rows"}})
	}
	return out
}

// history is a canary's way to 100 %; first is a first deployment's.
func history(first bool) []api.Deployment {
	base := api.Deployment{ID: "dep_1", Number: 7, Kind: "deploy", Endpoint: "fraud", Status: "running", Model: "fraud", Version: 2, By: "owner", Created: noon,
		Previous: "fraud-1", Steps: []api.Step{{Weight: 10, HoldSeconds: 120, MinRequests: 100}, {Weight: 50, MinRequests: 1000}, {Weight: 100}}}
	if first {
		base.Previous = ""
	}
	var out []api.Deployment
	add := func(change func(*api.Deployment)) {
		change(&base)
		out = append(out, base)
	}
	add(func(*api.Deployment) {})
	add(func(d *api.Deployment) { d.Stages = []api.Stage{{Stage: "fetch", Started: noon}} })
	add(func(d *api.Deployment) { d.Stages = stages("") })
	add(func(d *api.Deployment) {
		d.Phase, d.Revision, d.Waiting = "starting", "fraud-2", "0 of 2 replicas ready"
	})
	if first {
		add(func(d *api.Deployment) { d.Phase, d.Waiting = "checking", "goldens go through the live path" })
	} else {
		add(func(d *api.Deployment) {
			d.Phase, d.Weight, d.Missing, d.Waiting = "stepping", 10, 58, "holds 10 % for 1m30s more"
		})
		add(func(d *api.Deployment) { d.Step, d.Weight, d.Missing, d.Waiting = 1, 50, 1000, "" })
	}
	add(func(d *api.Deployment) {
		d.Phase, d.Missing, d.Waiting = "promoting", 0, "waits for the gateway's acknowledgement"
	})
	add(func(d *api.Deployment) { d.Phase, d.Status, d.Waiting, d.Finished = "done", "succeeded", "", noon })
	return out
}

func deployed(t *testing.T, s *control) *machine {
	t.Helper()
	s.t, s.blobs = t, map[string]int64{}
	return newMachine(t, s).project()
}

func TestDeployAndWatch(t *testing.T) {
	s := &control{states: history(false), end: api.Endpoint{Name: "fraud", State: "serving", Tier: 3}}
	m := deployed(t, s)
	out, stderr := m.run(0, "deploy --watch --idempotency-key build-17")
	golden(t, "deploy", out+"--- stderr\n"+stderr)
	if s.key != "build-17" || s.created.Version != 2 || s.created.Environment != slipway.Production || s.watchers != 2 {
		t.Errorf("key %q, version %d, environment %q, %d streams", s.key, s.created.Version, s.created.Environment, s.watchers)
	}
	if len(s.version.Files) < 5 || s.version.Source != "./model" {
		t.Errorf("registered %+v", s.version)
	}
	for _, f := range s.version.Files {
		if n, ok := s.blobs[f.Digest]; !ok || n != f.Size {
			t.Errorf("%s: %d of %d bytes arrived", f.Path, n, f.Size)
		}
	}
	for _, role := range []string{"golden", "dataset"} {
		if s.blobs[s.created.Files[role]] == 0 {
			t.Errorf("the file %s did not arrive", role)
		}
	}
	if !strings.Contains(s.created.PlatformYAML, "kind: RealtimeModel") {
		t.Error("platform.yaml did not arrive as written")
	}
}

// TestFirstDeployment succeeds although its endpoint has still to prove itself.
func TestFirstDeployment(t *testing.T) {
	s := &control{states: history(true), end: api.Endpoint{Name: "fraud", State: "provisional", Tier: 3}}
	out, stderr := deployed(t, s).run(0, "deploy -w")
	golden(t, "deploy_first", out+"--- stderr\n"+stderr)
}

func TestDeployWithoutWatch(t *testing.T) {
	s := &control{states: history(false)}
	m := deployed(t, s)
	out, stderr := m.run(0, "deploy --env staging")
	contains(t, out, "deployment dep_1 of fraud:2 to fraud is under way")
	contains(t, stderr, "next: platform status fraud --watch")
	if s.created.Environment != "staging" || s.key == "" {
		t.Errorf("environment %q, key %q", s.created.Environment, s.key)
	}
	out, _ = m.run(0, "deploy --json --force --reason", "the feed is fixed")
	var d api.Deployment
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.ID != "dep_1" || !s.created.Force || s.created.Reason != "the feed is fixed" {
		t.Errorf("%v %+v %+v", err, d, s.created)
	}
}

// TestDeployOfAVersion uploads no model.
func TestDeployOfAVersion(t *testing.T) {
	for _, source := range []string{"fraud:3", "fraud@champion"} {
		s := &control{states: history(false)}
		m := deployed(t, s)
		m.write("platform.yaml", strings.Replace(readFile(t, m, "platform.yaml"), "./model", source, 1))
		m.run(0, "deploy")
		if s.created.Version != 0 || len(s.version.Files) != 0 || len(s.blobs) != 2 {
			t.Errorf("%s: version %d, %d blobs", source, s.created.Version, len(s.blobs))
		}
	}
}

func TestDeployEndsBadly(t *testing.T) {
	judgement := json.RawMessage(`{"crossed":true,"judge":"errors","log_e":7.1,"threshold":6.907755,"alpha":0.001,
		"judges":[{"name":"errors","weight":0.5,"log_e":7.7}],"stable":{"requests":9000,"failed":9},"candidate":{"requests":100,"failed":21}}`)
	for name, change := range map[string]func(d *api.Deployment){
		"rolled_back": func(d *api.Deployment) {
			d.Status, d.Phase, d.Code, d.Message, d.Next = "rolled back", "rolled-back", "SLIP-E0402", "failures compared with stable", "platform logs fraud"
			d.Judgement, d.FirstBad, d.LastSent = judgement, noon, noon.Add(1900*time.Millisecond)
		},
		"gate": func(d *api.Deployment) {
			d.Status, d.Phase, d.Stages, d.Code, d.Message = "failed", "failed", stages("fail"), "SLIP-E0301", "metrics did not pass"
		},
		"aborted": func(d *api.Deployment) { d.Status, d.Phase, d.Message = "aborted", "aborted", "" },
	} {
		t.Run(name, func(t *testing.T) {
			states := history(false)[:5]
			if name == "gate" {
				states = states[:2]
			}
			bad := states[len(states)-1]
			change(&bad)
			s := &control{states: append(states, bad)}
			m := deployed(t, s)
			out, stderr := m.run(3, "deploy -w")
			golden(t, "deploy_"+name, out+"--- stderr\n"+stderr)
			s.watchers = 0
			out, stderr = m.run(3, "deploy -w --json")
			if lines := strings.Count(out, "\n"); lines < len(states) {
				t.Errorf("%d lines:\n%s", lines, out)
			}
			for line := range strings.Lines(out) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
			contains(t, stderr, `"code":"SLIP-E0`)
		})
	}
}

// TestPaused tells once who has to decide.
func TestPaused(t *testing.T) {
	states := history(false)
	pause := states[4]
	pause.Phase, pause.Waiting = "paused", "the candidate was judged worse than stable"
	again := pause
	again.Weight = 0
	s := &control{states: append(append(states[:5:5], pause, again), states[5:]...)}
	out, stderr := deployed(t, s).run(0, "deploy -w")
	if strings.Count(out, "paused  the candidate was judged worse") != 1 {
		t.Error(out)
	}
	contains(t, stderr, "next: platform promote dep_1, or: platform abort dep_1")
}

func TestDeployRefusals(t *testing.T) {
	m := newMachine(t, newReplies(t, map[string]any{})).project()
	_, stderr := m.run(4, "deploy")
	contains(t, stderr, "SLIP-E0003")
	m.write("platform.yaml", strings.Replace(readFile(t, m, "platform.yaml"), "./golden.jsonl", "./gone.jsonl", 1))
	_, stderr = m.run(2, "deploy")
	contains(t, stderr, "names ./gone.jsonl, which does not exist")
}

// TestInterruptedWatch says that the deployment goes on.
func TestInterruptedWatch(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := &control{states: history(false)}
	m := deployed(t, s)
	m.env.Stdout = writer(func(p []byte) (int, error) {
		if strings.Contains(string(p), "golden") {
			stop()
		}
		return m.out.Write(p)
	})
	_, stderr := m.runIn(ctx, 1, "deploy --watch")
	contains(t, stderr, "the deployment goes on without being watched: platform status fraud --watch", "interrupted")
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
