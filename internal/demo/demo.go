// Package demo plays the platform's main job on a real installation in a temporary
// directory: three versions of a model, the third broken as real models break.
package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/templates"
)

// Options say how to play. Exe is the platform's own executable.
type Options struct {
	Exe  string
	Out  io.Writer
	JSON bool // print the report as one JSON document and nothing else
	Keep bool // leave everything running
	Env  []string
	Now  func() time.Time
}

// Report is what really happened.
type Report struct {
	ReadySeconds float64      `json:"ready_seconds"`
	Golden       Golden       `json:"golden"`
	Deployments  []Deployment `json:"deployments"`
	Requests     int64        `json:"requests"`
	Failed       int64        `json:"failed"` // answers that a user would have seen fail
	Rescued      uint64       `json:"rescued"`
	RollbackMS   float64      `json:"rollback_ms"` // from the first bad answer to the last request to the broken version
	RestartMS    float64      `json:"restart_ms"`  // of the control plane, killed under load
	Adopted      bool         `json:"adopted"`
	Home         string       `json:"home"`
}

// Golden compares a prediction with the one that XGBoost stored beside the model.
type Golden struct {
	Platform float64 `json:"platform"`
	XGBoost  float64 `json:"xgboost"`
}

// Deployment is one line of the report.
type Deployment struct {
	What    string  `json:"what"`
	Version int     `json:"version"`
	Status  string  `json:"status"`
	Seconds float64 `json:"seconds"`
	ID      string  `json:"id"`
}

// play is one run of the demo.
type play struct {
	o      Options
	dir    string
	home   string
	server *exec.Cmd
	url    string
	token  string
	c      *client.Client
	report Report
}

// Run plays the demo. It answers nil only if everything happened as it should.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "slipway-demo-")
	if err != nil {
		return err
	}
	p := &play{o: o, dir: dir, home: filepath.Join(dir, "home")}
	p.report.Home = p.home
	if !o.Keep {
		defer func() { err = errors.Join(err, p.clean()) }()
	}
	for _, act := range []func(context.Context) error{p.write, p.start, p.first, p.better, p.broken, p.restart} {
		if err := act(ctx); err != nil {
			return fmt.Errorf("the demo did not go as it should: %w", err)
		}
	}
	return p.table()
}

// say prints a line of the story.
func (p *play) say(format string, args ...any) {
	if !p.o.JSON {
		fmt.Fprintf(p.o.Out, format+"\n", args...)
	}
}

// project is the platform.yaml of the demo: the template's, with short holds.
const project = `apiVersion: platform/v1
kind: RealtimeModel
name: fraud
tier: 3
owner: {team: risk}
model:
  source: ./model%s
validation:
  golden: ./golden.jsonl
  dataset: {file: ./holdout.csv, target: fraud, min_rows: 1000}
  metrics:
    - {name: roc_auc, min: 0.9}
%sscaling: {replicas: 1}
rollout:
  steps:
%s  on_failure: rollback
  keep_previous_warm: 2m
`

const (
	quickSteps = "    - {weight: 5, hold: 2s, min_requests: 10}\n    - {weight: 25, hold: 2s, min_requests: 50}\n    - {weight: 100}\n"
	wideSteps  = "    - {weight: 10, hold: 20s, min_requests: 100}\n    - {weight: 100}\n"

	// The signature of a model with a server of its own does not name the probability that the
	// native evaluator gives.
	anySchema = "  schema: {compatible: none}\n"
)

// write lays out three projects.
func (p *play) write(context.Context) error {
	for _, v := range []struct{ name, from, command, schema, steps string }{
		{"v1", "demo/v1", "", "", quickSteps},
		{"v2", "demo/v2", "", "", quickSteps},
		{"v3", "demo/v2", fmt.Sprintf("\n  command: [%q, demo-server, --socket, \"{socket}\"]", p.o.Exe), anySchema, wideSteps},
	} {
		dir := filepath.Join(p.dir, v.name)
		sub, err := fs.Sub(templates.FS, v.from)
		if err != nil {
			return err
		}
		holdout, err := templates.FS.ReadFile("demo/holdout.csv")
		if err != nil {
			return err
		}
		err = errors.Join(os.CopyFS(dir, sub), os.WriteFile(filepath.Join(dir, "holdout.csv"), holdout, 0o600),
			os.WriteFile(filepath.Join(dir, "platform.yaml"), fmt.Appendf(nil, project, v.command, v.schema, v.steps), 0o600))
		if v.name == "v3" { // other files, so that it is another version
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, "model", "SERVER"), []byte("a custom server around the trees of version 2\n"), 0o600))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start starts a server as a user would.
func (p *play) start(ctx context.Context) error {
	began := p.o.Now()
	if err := p.up(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	p.report.ReadySeconds = p.o.Now().Sub(began).Seconds()
	p.say("1  started on %s in %.2f s, everything in %s", p.url, p.report.ReadySeconds, p.dir)
	return nil
}

// up runs `platform up` and waits until it says that it is ready.
func (p *play) up(ctx context.Context, listen string) error {
	cmd := exec.Command(p.o.Exe, "up", "--json", "--home", p.home, "--listen", listen) // not ctx: it is stopped by clean
	cmd.Env = p.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.server = cmd
	line := make(chan []byte, 1)
	go func() {
		b, _ := bufio.NewReader(out).ReadBytes('\n') // an early end is seen below
		line <- b
	}()
	var ready struct {
		URL     string `json:"url"`
		Adopted bool   `json:"adopted"`
	}
	select {
	case b := <-line:
		if err := json.Unmarshal(b, &ready); err != nil {
			_ = cmd.Wait()
			return fmt.Errorf("the server did not start: %s", strings.TrimSpace(stderr.String()))
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Second):
		return errors.New("the server did not start in 20 s")
	}
	token, err := os.ReadFile(config.Config{Home: p.home}.OwnerToken())
	if err != nil {
		return err
	}
	p.url, p.token, p.report.Adopted = ready.URL, strings.TrimSpace(string(token)), ready.Adopted
	p.c, err = client.New(client.Config{BaseURL: p.url, Token: p.token, UserAgent: "platform demo"})
	return err
}

// env is the environment of the commands: the user's, on the demo's home.
func (p *play) env() []string {
	var env []string
	for _, kv := range p.o.Env {
		if !strings.HasPrefix(kv, "SLIPWAY_") {
			env = append(env, kv)
		}
	}
	return append(env, "SLIPWAY_HOME="+p.home, "NO_COLOR=1")
}

// deploy runs `platform deploy --watch` in a project and gives what the server recorded.
func (p *play) deploy(ctx context.Context, name, what, want string) (api.Deployment, error) {
	p.say("   $ cd %s && platform deploy --watch", name)
	cmd := exec.CommandContext(ctx, p.o.Exe, "deploy", "--watch")
	cmd.Dir, cmd.Env = filepath.Join(p.dir, name), p.env()
	began := p.o.Now()
	out, runErr := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		p.say("   | %s", strings.TrimRight(line, "\n"))
	}
	list, err := p.c.Deployments(ctx, "fraud", 0, 1)
	if err != nil || len(list) == 0 {
		return api.Deployment{}, fmt.Errorf("%s was not recorded: %w", name, errors.Join(err, runErr))
	}
	d := list[0]
	p.report.Deployments = append(p.report.Deployments, Deployment{What: what, Version: d.Version, Status: d.Status, Seconds: p.o.Now().Sub(began).Seconds(), ID: d.ID})
	if d.Status != want || (runErr == nil) != (want == "succeeded") {
		return d, fmt.Errorf("%s ended %s, not %s: %s", name, d.Status, want, d.Message)
	}
	return d, nil
}

// first deploys v1 and compares a prediction with the library's own.
func (p *play) first(ctx context.Context) error {
	p.say("\n2  version 1: an XGBoost model as MLflow saved it, to production")
	if _, err := p.deploy(ctx, "v1", "XGBoost model", "succeeded"); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(p.dir, "v1", "golden.jsonl"))
	if err != nil {
		return err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var golden struct {
		Inputs  map[string]json.RawMessage `json:"inputs"`
		Outputs struct {
			Probability float64 `json:"probability"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(line, &golden); err != nil {
		return err
	}
	var header, row []string
	for name, value := range golden.Inputs {
		header, row = append(header, name), append(row, string(value))
	}
	answer, err := p.c.Infer(ctx, "fraud", inferBody(header, row, ""))
	if err != nil {
		return err
	}
	var out struct {
		Outputs []struct {
			Name string    `json:"name"`
			Data []float64 `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(answer, &out); err != nil || len(out.Outputs) != 2 {
		return fmt.Errorf("the answer is no Open Inference response: %w", err)
	}
	p.report.Golden = Golden{Platform: out.Outputs[1].Data[0], XGBoost: golden.Outputs.Probability}
	g := p.report.Golden
	if !(math.Abs(g.Platform-g.XGBoost) <= 1e-6*max(1, math.Abs(g.XGBoost))) {
		return fmt.Errorf("a prediction is %v where XGBoost's own is %v", g.Platform, g.XGBoost)
	}
	p.say("   prediction %.9f, XGBoost's own %.9f", float32(g.Platform), float32(g.XGBoost))
	return nil
}

// load plays an act under live traffic, and holds that no user saw a failure.
func (p *play) load(ctx context.Context, act func() error) (sent int64, err error) {
	holdout, err := templates.FS.ReadFile("demo/holdout.csv")
	if err != nil {
		return 0, err
	}
	rows, err := requests(holdout, "fraud")
	if err != nil {
		return 0, err
	}
	t := startTraffic(ctx, p.url+"/v2/models/fraud/infer", p.token, rows)
	err = act()
	t.end()
	p.report.Requests += t.sent.Load()
	p.report.Failed += t.failed.Load()
	if n := t.failed.Load(); n > 0 && err == nil {
		err = fmt.Errorf("%d of %d requests failed, the first with %s", n, t.sent.Load(), *t.firstFailure.Load())
	}
	return t.sent.Load(), err
}

// better deploys v2 under traffic.
func (p *play) better(ctx context.Context) error {
	p.say("\n3  version 2, better, under %d requests a second: 5 %% → 25 %% → 100 %%", perSecond)
	sent, err := p.load(ctx, func() error {
		_, err := p.deploy(ctx, "v2", "better model", "succeeded")
		return err
	})
	if err != nil {
		return err
	}
	p.say("   promoted; %d requests meanwhile, 0 dropped", sent)
	return nil
}

// broken deploys v3 under traffic and waits for the platform to take it back.
func (p *play) broken(ctx context.Context) error {
	p.say("\n4  version 3, broken: fails on amounts above %d, which no golden and no hold-out row has", breaksAbove)
	var d api.Deployment
	sent, err := p.load(ctx, func() (err error) {
		d, err = p.deploy(ctx, "v3", "broken server", "rolled back")
		return err
	})
	if err != nil {
		return err
	}
	var j struct {
		Candidate struct {
			Requests uint64 `json:"requests"`
			Failed   uint64 `json:"failed"`
		} `json:"candidate"`
		Stable struct {
			Requests uint64 `json:"requests"`
			Failed   uint64 `json:"failed"`
		} `json:"stable"`
		LogE      float64 `json:"log_e"`
		Threshold float64 `json:"threshold"`
	}
	if err := json.Unmarshal(d.Judgement, &j); err != nil || d.FirstBad.IsZero() || j.LogE < j.Threshold {
		return fmt.Errorf("the rollback has no judgement: %w", err)
	}
	p.report.RollbackMS = max(0, d.LastSent.Sub(d.FirstBad)).Seconds() * 1000
	p.report.Rescued = j.Candidate.Failed
	p.say("   rolled back by itself %.2f s after its first bad answer", p.report.RollbackMS/1000)
	p.say("   failures: %d of %d requests to version 3; seen by users: 0 of %d (version 2 answered instead)", j.Candidate.Failed, j.Candidate.Requests, sent)
	p.say("   judgement: version 2 failed %d of %d; e-value %.0f ≥ threshold %.0f", j.Stable.Failed, j.Stable.Requests, math.Exp(j.LogE), math.Exp(j.Threshold))
	return nil
}

// restart kills the control plane under traffic and starts it again.
func (p *play) restart(ctx context.Context) error {
	p.say("\n5  the control plane is killed (SIGKILL) under load and started again")
	var took time.Duration
	sent, err := p.load(ctx, func() error {
		time.Sleep(500 * time.Millisecond) // of traffic before
		began := p.o.Now()
		if err := p.server.Process.Kill(); err != nil {
			return err
		}
		_ = p.server.Wait() // killed, as it should be
		if err := p.up(ctx, strings.TrimPrefix(p.url, "http://")); err != nil {
			return err
		}
		took = p.o.Now().Sub(began)
		if !p.report.Adopted {
			return errors.New("the new server did not find the gateway serving")
		}
		time.Sleep(500 * time.Millisecond) // and after
		_, err := p.c.Endpoint(ctx, "fraud")
		return err
	})
	if err != nil {
		return err
	}
	p.report.RestartMS = took.Seconds() * 1000
	p.say("   back after %.2f s; %d requests meanwhile, 0 lost", took.Seconds(), sent)
	return nil
}

// table prints what was done.
func (p *play) table() error {
	if p.o.JSON {
		return json.NewEncoder(p.o.Out).Encode(p.report)
	}
	p.say("\n6  what happened\n")
	p.say("   %-16s %-8s %-12s %-8s %s", "deployed", "version", "ended", "took", "record")
	for _, d := range p.report.Deployments {
		p.say("   %-16s %-8d %-12s %-8s %s", d.What, d.Version, d.Status, fmt.Sprintf("%.1f s", d.Seconds), d.ID)
	}
	p.say("\n   %d requests in all, %d failed for a user", p.report.Requests, p.report.Failed)
	where := p.home + " (removed now; platform demo --keep leaves it)"
	if p.o.Keep {
		where = p.home
	}
	p.say("   records: state.db, gateway/journal.jsonl, images/, logs/ in %s", where)
	p.say("   try it by hand: platform up, then: platform init fraud && cd fraud && platform deploy --watch")
	if p.o.Keep {
		p.say("   it serves on %s; stop it with: platform down --home %s", p.url, p.home)
	}
	return nil
}

// clean stops everything and removes the directory.
func (p *play) clean() error {
	var err error
	if p.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, p.o.Exe, "down", "--home", p.home)
		cmd.Env = p.env()
		if out, downErr := cmd.CombinedOutput(); downErr != nil {
			err = fmt.Errorf("stop the demo: %w: %s", downErr, out)
		}
		_ = p.server.Wait()
	}
	return errors.Join(err, removeAll(p.dir))
}

// removeAll removes a tree in which files may be read-only.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
