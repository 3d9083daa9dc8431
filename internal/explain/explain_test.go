package explain_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/explain"
)

var update = flag.Bool("update", false, "rewrite the goldens")

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func endpoint() api.Endpoint {
	return api.Endpoint{Name: "fraud", State: "serving", Owner: "risk", Stable: &api.Revision{ID: "fraud-1", Model: "fraud", Version: 1, Weight: 100, Ready: 1, Want: 1}}
}

// TestAccounts: why it is so, who can act and what to type, for each state there is.
func TestAccounts(t *testing.T) {
	with := func(change func(*api.Deployment)) api.Deployment {
		d := api.Deployment{ID: "dep_2", Endpoint: "fraud", Status: "running", Model: "fraud", Version: 2}
		change(&d)
		return d
	}
	stage := func(name, verdict string, results ...api.Result) api.Stage {
		st := api.Stage{Stage: name, Verdict: verdict, Results: results, Started: noon.Add(-90 * time.Second), Log: []string{"first", "last line"}}
		if verdict != "unknown" {
			st.Finished = noon
		}
		return st
	}
	bad := endpoint()
	bad.Stable.Ready, bad.Stable.Counts = 0, api.Counts{Requests: 10, Errors: 3}
	bad.Stable.Replicas = []api.Replica{{ID: "fraud-1-r0", State: "crash loop", Reason: "exit status 3", LogTail: []string{"boom"}}}
	starting := endpoint()
	starting.Candidate = bad.Stable
	gone := api.Endpoint{Name: "fraud", State: "withdrawn", Reason: "its first deployment did not pass", Owner: "risk"}
	first := endpoint()
	first.State, first.Stable.ID = "provisional", "fraud-2"
	failed := with(func(d *api.Deployment) {
		d.Status, d.Code, d.Message, d.Next = "failed", "SLIP-E0301", "validate did not pass", "train a better model"
		d.Stages = []api.Stage{stage("resolve", "pass"), stage("validate", "fail", api.Result{Check: "rows", Verdict: "pass", Message: "1800"},
			api.Result{Check: "roc_auc", Verdict: "fail", Message: "0.7 is below 0.9", Next: "change the bound"}, api.Result{Check: "p95", Verdict: "unknown", Message: "not measured"})}
	})
	for _, tt := range []struct {
		name string
		got  explain.Account
	}{
		{"queued", explain.Deployment(with(func(d *api.Deployment) {}), endpoint(), nil, noon)},
		{"in a stage", explain.Deployment(with(func(d *api.Deployment) {
			d.Stages = []api.Stage{stage("resolve", "pass"), stage("environment", "unknown")}
		}), endpoint(), nil, noon)},
		{"failed", explain.Deployment(failed, endpoint(), nil, noon)},
		{"starting", explain.Deployment(with(func(d *api.Deployment) { d.Phase, d.Waiting = "starting", "0 of 1 replicas ready" }), starting, nil, noon)},
		{"stepping", explain.Deployment(with(func(d *api.Deployment) {
			d.Phase, d.Waiting, d.Missing = "stepping", "not enough evidence: 8 more requests", 8
		}), endpoint(), []string{"evidence against it: 1 of 1,000"}, noon)},
		{"paused", explain.Deployment(with(func(d *api.Deployment) { d.Phase, d.Waiting = "paused", "the candidate was judged worse" }), endpoint(), []string{"evidence"}, noon)},
		{"rolled back", explain.Deployment(with(func(d *api.Deployment) {
			d.Status, d.Code, d.Message, d.Revision = "rolled back", "SLIP-E0402", "failures compared with stable", "fraud-2"
		}), endpoint(), []string{"candidate 7 of 37 failed"}, noon)},
		{"aborted", explain.Deployment(with(func(d *api.Deployment) {
			d.Status, d.Message, d.Next = "aborted", "aborted by ada: wrong", "platform deploy"
		}), api.Endpoint{Name: "fraud"}, nil, noon)},
		{"serves", explain.Deployment(with(func(d *api.Deployment) { d.Status, d.Revision = "succeeded", "fraud-2" }), first, nil, noon)},
		{"superseded", explain.Deployment(with(func(d *api.Deployment) { d.Status, d.Revision = "succeeded", "fraud-0" }), endpoint(), nil, noon)},
		{"endpoint well", explain.Endpoint(endpoint(), nil, nil, noon)},
		{"endpoint ill", explain.Endpoint(bad, &failed, nil, noon)},
		{"endpoint withdrawn", explain.Endpoint(gone, &failed, nil, noon)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.MarshalIndent(tt.got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", tt.name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Error(diff)
			}
			if len(tt.got.Why) == 0 || len(tt.got.Do) == 0 || tt.got.Who == "" {
				t.Error("it says too little")
			}
		})
	}
}
