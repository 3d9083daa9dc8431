package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/api"
)

func readFile(t *testing.T, m *machine, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.env.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func fraudEndpoint() api.Endpoint {
	replica := func(id, state, reason string) api.Replica {
		return api.Replica{ID: id, State: state, PID: 4711, Started: noon.Add(-3 * time.Hour), RSSBytes: 12 << 20, Reason: reason}
	}
	return api.Endpoint{Name: "fraud", State: "serving", Owner: "payments", Tier: 3, Deployment: "dep_1", Active: true,
		Stable: &api.Revision{ID: "fraud-1", Model: "fraud", Version: 1, Weight: 90, Ready: 1, Want: 1, P50MS: 0.41, P95MS: 1.62,
			Counts: api.Counts{Requests: 1234567, Failed: 12, Errors: 3}, Replicas: []api.Replica{replica("fraud-1-a", "ready", "")}},
		Candidate: &api.Revision{ID: "fraud-2", Model: "fraud", Version: 2, Weight: 10, Ready: 1, Want: 2, P50MS: 0.5, P95MS: 2,
			Counts: api.Counts{Requests: 42, Failed: 1, Rescued: 1}, Replicas: []api.Replica{replica("fraud-2-a", "ready", ""), replica("fraud-2-b", "starting", "killed\x1b[31m")}},
		Judgement: json.RawMessage(`{"log_e":1.1,"threshold":6.907755,"alpha":0.001,"judges":[{"name":"errors","weight":0.5,"log_e":0.1},{"name":"slow","weight":0.25,"log_e":2}],
			"stable":{"requests":378,"failed":1},"candidate":{"requests":42,"failed":1,"slow":3}}`)}
}

func TestStatus(t *testing.T) {
	e := fraudEndpoint()
	staging := api.Endpoint{Name: "fraud.staging", State: "withdrawn", Reason: "it failed", Tier: 4}
	young := api.Endpoint{Name: "churn", State: "provisional", Owner: "growth", Tier: 3, WarmLeftSeconds: 90,
		Judgement: json.RawMessage(`{"threshold":6.9,"confirm":{"log_e":1.2,"threshold":2.995732,"beta":0.05},"candidate":{"requests":200}}`)}
	m := newMachine(t, newReplies(t, map[string]any{
		"GET /v1/endpoints": []api.Endpoint{e, staging, young}, "GET /v1/endpoints/fraud": e, "GET /v1/endpoints/churn": young,
		"GET /v1/endpoints/fraud.staging": staging, "GET /v1/deployments/dep_1": history(false)[4],
	}))
	var all strings.Builder
	for _, line := range []string{"status", "status fraud", "status churn", "status fraud.staging"} {
		out, stderr := m.run(0, line)
		all.WriteString("$ platform " + line + "\n" + out + stderr + "\n")
	}
	golden(t, "status", all.String())
	if strings.Contains(all.String(), "\x1b") {
		t.Error("a control character of a server reached the terminal")
	}
	out, _ := m.run(0, "status fraud --json")
	var got struct {
		api.Endpoint
		Running api.Deployment `json:"running"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Candidate.Version != 2 || got.Running.Missing != 58 {
		t.Errorf("%v %+v", err, got)
	}
	m.run(4, "status nothing")
}

func TestColour(t *testing.T) {
	m := newMachine(t, newReplies(t, map[string]any{"GET /v1/endpoints": []api.Endpoint{fraudEndpoint()}}))
	m.env.Terminal, m.env.Width = true, 60
	out, _ := m.run(0, "status")
	contains(t, out, "\x1b[32mserving\x1b[0m")
	m.vars["NO_COLOR"] = "1"
	if out, _ := m.run(0, "status"); strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

// wire is a server without a network, so that time can be simulated.
type wire struct{ http.Handler }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = io.NopCloser(&bytes.Buffer{})
	}
	w.ServeHTTP(rec, r)
	return rec.Result(), r.Context().Err()
}

// simulated is a machine whose clock is the bubble's.
func simulated(t *testing.T, h http.HandlerFunc) *machine {
	m := newMachine(t, nil)
	m.serve("http://127.0.0.1:1")
	m.env.HTTPClient, m.env.Now = &http.Client{Transport: wire{h}}, time.Now
	return m
}

func TestStatusWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		m := simulated(t, func(w http.ResponseWriter, _ *http.Request) {
			polls++
			_ = json.NewEncoder(w).Encode([]api.Endpoint{{Name: "fraud", State: "serving", Tier: 1 + polls/4}})
		})
		ctx, stop := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer stop()
		out, _ := m.runIn(ctx, 0, "status -w")
		if polls != 6 || strings.Count(out, "ENDPOINT") != 2 {
			t.Errorf("%d polls:\n%s", polls, out)
		}
		ctx, stop = context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer stop()
		polls, m.env.Terminal = 0, true
		out, _ = m.runIn(ctx, 0, "status -w")
		contains(t, out, "\x1b[2A\x1b[J")
	})
}

func logLines(n int) []api.LogLine {
	var out []api.LogLine
	for i := range n {
		out = append(out, api.LogLine{Time: noon.Add(time.Duration(i/2) * time.Second), Level: "info", Replica: "r1", Message: fmt.Sprint("line ", i)})
	}
	return out
}

func TestLogs(t *testing.T) {
	lines := logLines(4)
	lines[3].Level, lines[3].Message, lines[3].Request = "error", "two\nlines\x07", "q-1"
	lines[3].Attributes = map[string]string{"cause": "here", "b": "2"}
	var asked url.Values
	m := newMachine(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		_ = json.NewEncoder(w).Encode(api.Logs{Lines: lines, Cursor: "c"})
	})).project()
	out, stderr := m.run(0, "logs")
	contains(t, out, "r1 info line 0\n", "r1 error two lines\uFFFD  b=2  cause=here  request=q-1\n")
	contains(t, stderr, "next: platform status fraud")
	out, _ = m.run(0, "logs fraud --json")
	if strings.Count(out, "\n") != 4 {
		t.Error(out)
	}
	m.env.Now = func() time.Time { return noon }
	m.run(0, "logs fraud --since 90s --until 2026-03-01T12:00:00Z --replica r2 --revision fraud-1 --request q-1 --level warn -n 7")
	want := url.Values{"since": {noon.Add(-90 * time.Second).UTC().Format(time.RFC3339Nano)}, "until": {"2026-03-01T12:00:00Z"}, "replica": {"r2"},
		"revision": {"fraud-1"}, "request": {"q-1"}, "level": {"warn"}, "tail": {"7"}}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	_, stderr = m.run(2, "logs fraud --since yesterday")
	contains(t, stderr, `--since is no time: "yesterday"`, "next: give an age such as 10m")
	lines = nil
	_, stderr = m.run(0, "logs fraud")
	contains(t, stderr, "there are no such lines")
}

// TestLogsFollow: from cursor to cursor, also when the server was away.
func TestLogsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, polls := logLines(9), 0
		m := simulated(t, func(w http.ResponseWriter, r *http.Request) {
			polls++
			at, _ := strconv.Atoi(r.URL.Query().Get("after"))
			if polls > 1 && polls < 10 {
				problem(w, 503, "SLIP-E0604", "restarting")
				return
			}
			_ = json.NewEncoder(w).Encode(api.Logs{Lines: all[at:min(at+2, 9)], Cursor: strconv.Itoa(min(at+2, 9)), Missed: at == 4})
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		out, stderr := m.runIn(ctx, 0, "logs fraud -f -n 2")
		var got []string
		for line := range strings.Lines(out) {
			got = append(got, line[strings.LastIndex(line, " ")+1:len(line)-1])
		}
		if want := "0 1 2 3 4 5 6 7 8"; strings.Join(got, " ") != want {
			t.Errorf("%v, want %s", got, want)
		}
		contains(t, stderr, "some lines came too fast")
	})
}

func TestRollbackPromoteAbort(t *testing.T) {
	d := history(false)[4]
	s := newReplies(t, map[string]any{
		"POST /v1/endpoints/fraud/rollback":   api.RolledBack{Endpoint: "fraud", FromRevision: "fraud-2", ToRevision: "fraud-1", TookMS: 3.21},
		"POST /v1/endpoints/churn/rollback":   api.RolledBack{Endpoint: "churn", Deployment: "dep_9"},
		"GET /v1/endpoints/fraud":             fraudEndpoint(),
		"GET /v1/endpoints/idle":              api.Endpoint{Name: "idle", Deployment: "dep_1"},
		"POST /v1/deployments/dep_1/commands": d,
	})
	m := newMachine(t, s).project()
	out, stderr := m.run(0, "rollback --reason", "scores are off")
	contains(t, out+stderr, "fraud is back on fraud-1, away from fraud-2, after 3.21 ms", "next: platform status fraud\n")
	contains(t, s.got["POST /v1/endpoints/fraud/rollback"], `{"reason":"scores are off"}`)
	out, stderr = m.run(0, "rollback churn")
	contains(t, out+stderr, "dep_9 takes churn back", "next: platform status churn --watch")
	out, _ = m.run(0, "rollback churn --json")
	contains(t, out, `"deployment": "dep_9"`)

	for _, target := range []string{"", " fraud", " dep_1"} {
		m.run(0, "promote"+target)
		contains(t, s.got["POST /v1/deployments/dep_1/commands"], `{"command":"promote"}`)
	}
	out, _ = m.run(0, "abort fraud --reason wrong")
	contains(t, out, "dep_1 is being aborted")
	contains(t, s.got["POST /v1/deployments/dep_1/commands"], `{"command":"abort","reason":"wrong"}`)
	_, stderr = m.run(1, "abort idle")
	contains(t, stderr, "no deployment of idle is under way", "next: platform deployments idle")
}

func TestDeployments(t *testing.T) {
	ds := history(false)
	bad := ds[4]
	bad.ID, bad.Number, bad.Status, bad.Message = "dep_0", 6, "rolled back", "failures compared with stable"
	m := newMachine(t, newReplies(t, map[string]any{"GET /v1/deployments": []api.Deployment{ds[len(ds)-1], bad}, "GET /v1/deployments/dep_1": ds[len(ds)-1]}))
	m.env.Now = func() time.Time { return noon.Add(5 * time.Minute) }
	list, next := m.run(0, "deployments fraud")
	one, after := m.run(0, "deployments dep_1")
	golden(t, "deployments", list+next+one+after)
	out, _ := m.run(0, "deployments --json")
	var got []api.Deployment
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 2 {
		t.Error(err, out)
	}
}
