package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/cli"
	"github.com/slipway-ml/slipway/internal/config"
)

func TestCompletion(t *testing.T) {
	m := newMachine(t, newReplies(t, map[string]any{
		"GET /v1/endpoints":   []api.Endpoint{{Name: "fraud", State: "serving"}, {Name: "churn", State: "pending"}},
		"GET /v1/deployments": []api.Deployment{{ID: "dep_1", Endpoint: "fraud", Status: "succeeded", Revision: "fraud-3"}, {ID: "dep_2", Endpoint: "churn", Status: "failed"}},
	}))
	for _, tt := range []struct{ line, want string }{
		{"logs f", "fraud\tserving\n:4\n"},
		{"predict ", "fraud\tserving\nchurn\tpending\n:4\n"},
		{"status fraud ", ":4\n"},
		{"diff fraud-", "fraud-3\tsucceeded\n:4\n"},
		{"abort d", "dep_1\tfraud succeeded\ndep_2\tchurn failed\n:4\n"},
		{"logs --level ", "debug\ninfo\nwarn\nerror\n:4\n"},
		{"init x --template ", "custom\npython\nsklearn\nxgboost\n:4\n"},
	} {
		words := strings.Split(tt.line, " ")
		out, _ := m.run(0, "__complete", words...)
		if out != tt.want {
			t.Errorf("%q completes to %q, want %q", tt.line, out, tt.want)
		}
	}
	out, _ := newMachine(t, nil).run(0, "__complete", "logs", "")
	if out != ":4\n" {
		t.Errorf("without a server: %q", out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, _ := m.run(0, "completion "+shell); !strings.Contains(out, "platform") {
			t.Errorf("nothing for %s", shell)
		}
	}
}

func TestDoctor(t *testing.T) {
	well := []api.Finding{{Check: "disk", Verdict: "pass", Message: "64 GiB are free"}}
	ill := []api.Finding{{Check: "endpoint", Verdict: "fail", Message: "fraud has 0 of 1 replicas ready", Next: "platform explain fraud"},
		{Check: "leftovers", Verdict: "warn", Message: "3 environments", Next: "platform doctor --fix", Fixable: true}}
	s := newReplies(t, map[string]any{"POST /v1/examinations": well, "GET /v1/info": api.Info{Version: "1.2.3"}})
	m := newMachine(t, s)
	out, stderr := m.run(0, "doctor --fix")
	contains(t, out+stderr, "pass  server  it answers, and is 1.2.3\n", "pass  disk    64 GiB are free\n", "next: platform status\n")
	contains(t, s.got["POST /v1/examinations"], `{"fix":true}`)
	s.values["POST /v1/examinations"], s.values["GET /v1/info"] = ill, api.Info{Version: "1.0.0"}
	out, stderr = m.run(3, "doctor")
	contains(t, out+stderr, "warn  server     it is 1.0.0, and this program 1.2.3\n", "platform upgrade\n", "fail  endpoint   fraud has 0 of 1", "something is wrong", "next: platform doctor --fix\n")
	out, _ = m.run(3, "doctor --json")
	var got []api.Finding
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 3 {
		t.Error(err, out)
	}

	m = newMachine(t, nil)
	m.env.Examine = func(_ context.Context, home string, fix bool) []api.Finding {
		if home != m.vars["SLIPWAY_HOME"] || !fix {
			t.Error(home, fix)
		}
		return well
	}
	out, stderr = m.run(0, "doctor --fix")
	contains(t, out+stderr, "warn  server  no platform runs in ", "pass  disk", "next: platform up\n")
	_, stderr = m.run(6, "doctor --server http://127.0.0.1:1") // its machine is another
	contains(t, stderr, "there is no token for")
}

func TestUpgrade(t *testing.T) {
	m := newMachine(t, nil)
	done := cli.Upgraded{From: "1.0.0", To: "1.2.3", PID: 42, Previous: "/h/backups/1.0.0/platform", Changed: true, TookMS: 120}
	done.Database.Backup = "/h/backups/state.db"
	var asked cli.Upgrade
	var fails error
	m.env.Upgrade = func(_ context.Context, u cli.Upgrade) (cli.Upgraded, error) {
		asked = u
		u.Report("stopping")
		return done, fails
	}
	out, stderr := m.run(0, "upgrade")
	contains(t, out+stderr, "stopping\n", "done 1.2.3 serves instead of 1.0.0  the control plane paused for 120ms, models served on\n", "as it was: /h/backups/state.db",
		"the way back: platform upgrade --to /h/backups/1.0.0/platform\n", "next: platform status\n")
	if asked.Home != m.vars["SLIPWAY_HOME"] || asked.To != "" || asked.Plan {
		t.Errorf("%+v", asked)
	}
	out, stderr = m.run(0, "upgrade --plan --to ./older")
	contains(t, out+stderr, "1.0.0 (process 42) would be replaced by 1.2.3\n", "next: platform upgrade --to ./older\n")
	if asked.To != "./older" || !asked.Plan {
		t.Errorf("%+v", asked)
	}
	out, _ = m.run(0, "upgrade --json")
	contains(t, out, `"took_ms": 120`, `"previous": "/h/backups/1.0.0/platform"`)
	done.Changed = false
	out, _ = m.run(0, "upgrade")
	contains(t, out, "1.2.3 serves already")
	fails = slipway.Errorf(slipway.Conflict, slipway.CodeDowngrade, "stay", "fraud runs on python")
	_, stderr = m.run(1, "upgrade")
	contains(t, stderr, "error: fraud runs on python", "next: stay", "more: platform explain SLIP-E0609")
}

func TestPrepare(t *testing.T) {
	m := newMachine(t, nil)
	m.env.Prepare = func(_ context.Context, c config.Config, build string) (json.RawMessage, error) {
		if build == "bad" {
			return nil, errors.New("no")
		}
		return json.RawMessage(`{"from":2,"to":1,"home":"` + c.Home + `"}`), nil
	}
	out, _ := m.run(0, "up --json --prepare", "good")
	contains(t, out, `"to": 1`, m.vars["SLIPWAY_HOME"])
	m.run(1, "up --json --prepare", "bad")
}
