package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/cli"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/spec"
)

func TestUpAndDown(t *testing.T) {
	m := newMachine(t, nil)
	home := m.vars["SLIPWAY_HOME"]
	ctx, stop := context.WithCancel(t.Context())
	var got config.Config
	m.env.Up = func(ctx context.Context, c config.Config, ready func(cli.Ready), _ func(string)) error {
		got = c
		ready(cli.Ready{URL: "http://127.0.0.1:9000", Home: c.Home, TokenFile: c.OwnerToken(), Took: 1234567 * time.Microsecond})
		stop()
		<-ctx.Done()
		return ctx.Err()
	}
	out, stderr := m.runIn(ctx, 0, "up --listen 127.0.0.1:9000")
	contains(t, out, "http://127.0.0.1:9000  started in 1.235s", filepath.Join(home, "owner.token"))
	contains(t, stderr, "next: platform init fraud", "stopped")
	if got.Home != home || got.Listen != "127.0.0.1:9000" {
		t.Errorf("%+v", got)
	}
	_, stderr = m.run(2, "up --listen 0.0.0.0:80")
	contains(t, stderr, "SLIP-E0603")

	m.env.Up = func(context.Context, config.Config, func(cli.Ready), func(string)) error {
		return slipway.Errorf(slipway.Conflict, slipway.CodeHomeLocked, "platform down", "another server runs")
	}
	m.run(1, "up")

	m.env.Down = func(_ context.Context, dir string, report func(string)) error {
		report("2 replicas ended")
		if dir != home {
			t.Errorf("down of %s", dir)
		}
		return nil
	}
	out, stderr = m.run(0, "down")
	contains(t, out+stderr, "2 replicas ended", "stopped", "next: platform up")
	out, _ = m.run(0, "down --json")
	contains(t, out, `"stopped": true`)
}

func TestDemo(t *testing.T) {
	m := newMachine(t, nil)
	m.env.Demo = func(_ context.Context, out io.Writer, o cli.DemoOptions) error {
		_, err := io.WriteString(out, "caught\n")
		if !o.Keep || o.JSON {
			t.Errorf("%+v", o)
		}
		return err
	}
	if out, _ := m.run(0, "demo --keep"); out != "caught\n" {
		t.Error(out)
	}
	m.env.Demo = func(context.Context, io.Writer, cli.DemoOptions) error { return errors.New("no space") }
	_, stderr := m.run(1, "demo")
	contains(t, stderr, "no space")
}

func TestVersion(t *testing.T) {
	m := newMachine(t, nil)
	if out, _ := m.run(0, "version"); out != "platform 1.2.3\n" {
		t.Error(out)
	}
	if out, stderr := m.run(0, "version --json"); stderr != "" || !json.Valid([]byte(out)) {
		t.Error(out, stderr)
	}
	m.env.Stdout = brokenPipe{}
	m.run(1, "version")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestInit(t *testing.T) {
	m := newMachine(t, nil)
	out, stderr := m.run(0, "init")
	contains(t, out+stderr, "custom", "python", "sklearn", "xgboost", "next: platform init my-model\n")
	_, stderr = m.run(0, "init --template custom")
	contains(t, stderr, "next: platform init my-model --template custom")
	out, stderr = m.run(0, "init fraud-eu")
	contains(t, out+stderr, "model/MLmodel", "golden.jsonl", "next: cd fraud-eu && platform deploy --watch")
	if info, err := os.Stat(filepath.Join(m.env.Dir, "fraud-eu", "model", "model.ubj")); err != nil || info.Size() < 1000 {
		t.Error(info, err)
	}
	_, stderr = m.run(1, "init fraud-eu")
	contains(t, stderr, "nothing is overwritten", "next: platform init ANOTHER-DIRECTORY")
	out, _ = m.run(0, "init fraud --json")
	contains(t, out, `"directory": "fraud"`, `"template": "xgboost"`, `"endpoint": "fraud"`)
}

// TestInitTemplates: each is written under the name of its directory, and says how to train
// what is not there yet.
func TestInitTemplates(t *testing.T) {
	m := newMachine(t, nil)
	for template, train := range map[string]bool{"xgboost": false, "sklearn": true, "python": true, "custom": true} {
		dir := filepath.Join("my models", "x-"+template)
		_, stderr := m.run(0, "init --template "+template, dir)
		if next := "cd 'my models/x-" + template + "' && "; !strings.Contains(stderr, next) || strings.Contains(stderr, "python train.py") != train {
			t.Errorf("%s: %s", template, stderr)
		}
		about := readFile(t, m, filepath.Join(dir, "platform.yaml"))
		s, err := spec.Load("platform.yaml", []byte(about))
		if err != nil || s.Name != "x-"+template {
			t.Errorf("%v %+v", err, s)
		}
		contains(t, about, "\nname: x-"+template, "# the endpoint; part of its address\n")
		contains(t, readFile(t, m, filepath.Join(dir, "README.md")), `slipway.predict("x-`+template+`", `)
	}
}

func TestInitRefuses(t *testing.T) {
	m := newMachine(t, nil)
	for _, tt := range []struct{ template, dir, want string }{
		{"nothing", "x", "there is no template \"nothing\""},
		{"demo", "x", "there is no template \"demo\""},
		{"", "x", "there is no template \"\""},
		{"../cmd", "x", "there is no template"},
		{"custom", "My Model", "use lower-case letters, digits and dashes, starting with a letter, at most 63 characters, as in: platform init my-model --template custom"},
		{"xgboost", "models/7", "as in: platform init my-model\n"},
		{"xgboost", ".", "the directory's name becomes the endpoint's, and \""},
		{"xgboost", strings.Repeat("a", 64), "is no valid name"},
	} {
		_, stderr := m.run(2, "init --template="+tt.template, tt.dir)
		contains(t, stderr, tt.want)
	}
	entries, err := os.ReadDir(m.env.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v was written: %v", entries, err)
	}
	m.run(2, "init a b")
}

func TestValidate(t *testing.T) {
	m := newMachine(t, nil)
	_, stderr := m.run(2, "validate")
	contains(t, stderr, "platform.yaml does not exist", "next: platform init")

	m.project()
	out, stderr := m.run(0, "validate")
	golden(t, "validate", out)
	contains(t, stderr, "next: platform deploy --watch")
	out, _ = m.run(0, "validate --json")
	contains(t, out, `"valid": true`, `"endpoint": "fraud"`)

	src, err := os.ReadFile(filepath.Join(m.env.Dir, "platform.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, from, to string
		want           []string
	}{
		{"two mistakes", "tier: 3\nowner: {team: payments}", "teir: 3", []string{"did you mean tier?", "owner is missing", "next: platform validate -f platform.yaml"}},
		{"files", "./golden.jsonl", "./gone.jsonl", []string{"platform.yaml:9:11: validation.golden.file names ./gone.jsonl, which does not exist", "9 |   golden: ./gone.jsonl\n    |           ^"}},
		{"no directory", "source: ./model", "source: ./golden.jsonl", []string{"which is no directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(string(src), tt.from, tt.to, 1)
			if changed == string(src) {
				t.Fatal("nothing changed")
			}
			m.write("platform.yaml", changed)
			_, stderr := m.run(2, "validate")
			contains(t, stderr, tt.want...)
			out, stderr := m.run(2, "validate --json")
			contains(t, out, `"valid": false`, `"problems": [`)
			contains(t, stderr, `"code":"SLIP-E0101"`)
		})
	}
}

func TestSchema(t *testing.T) {
	m := newMachine(t, nil)
	var s struct {
		Title string `json:"title"`
	}
	for _, line := range []string{"schema", "schema --json"} {
		out, _ := m.run(0, line)
		if err := json.Unmarshal([]byte(out), &s); err != nil || s.Title != "platform.yaml" {
			t.Error(err, s)
		}
	}
}
