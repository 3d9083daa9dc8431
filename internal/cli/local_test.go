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
	contains(t, out+stderr, "fraud", "next: platform init fraud")
	m.run(4, "init nothing")
	out, stderr = m.run(0, "init fraud", "my model")
	contains(t, out+stderr, "model/MLmodel", "golden.jsonl", "next: cd 'my model' && platform deploy --watch")
	if info, err := os.Stat(filepath.Join(m.env.Dir, "my model", "model", "model.ubj")); err != nil || info.Size() < 1000 {
		t.Error(info, err)
	}
	_, stderr = m.run(1, "init fraud", "my model")
	contains(t, stderr, "nothing is overwritten")
	out, _ = m.run(0, "init fraud --json")
	contains(t, out, `"directory": "fraud"`)
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
