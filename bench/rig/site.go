package rig

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
)

// Site is a platform of its own in a temporary directory.
type Site struct {
	Exe, Dir, Home string
	URL, Token     string
	C              *client.Client
	server         *exec.Cmd
}

// Addr is the host and port of the platform.
func (s *Site) Addr() string { return strings.TrimPrefix(s.URL, "http://") }

// Up starts a platform of an executable; Close ends it.
func Up(ctx context.Context, exe string) (*Site, error) {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return nil, err
	}
	exe, err = filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	s := &Site{Exe: exe, Dir: dir, Home: filepath.Join(dir, "home")}
	return s, s.up(ctx, "127.0.0.1:0")
}

func (s *Site) env() []string { return append(os.Environ(), "SLIPWAY_HOME="+s.Home, "NO_COLOR=1") }

func (s *Site) up(ctx context.Context, listen string) error {
	cmd := exec.Command(s.Exe, "up", "--json", "--listen", listen)
	cmd.Env = s.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.server = cmd
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ URL string }
	if err != nil || json.Unmarshal(line, &ready) != nil {
		_ = cmd.Wait()
		return fmt.Errorf("the server did not start: %s", stderr.String())
	}
	token, err := os.ReadFile(filepath.Join(s.Home, "owner.token"))
	if err != nil {
		return err
	}
	if s.C == nil { // a restart keeps address and token, and others use them meanwhile
		s.URL, s.Token = ready.URL, strings.TrimSpace(string(token))
		s.C, err = client.New(client.Config{BaseURL: s.URL, Token: s.Token})
	}
	return errors.Join(err, ctx.Err())
}

// Restart kills the server and starts it again.
func (s *Site) Restart(ctx context.Context) error {
	if err := s.server.Process.Kill(); err != nil {
		return err
	}
	_ = s.server.Wait() // killed
	return s.up(ctx, strings.TrimPrefix(s.URL, "http://"))
}

// Close ends the platform and removes it.
func (s *Site) Close() error {
	cmd := exec.Command(s.Exe, "down")
	cmd.Env = s.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("down: %w: %s", err, out)
	}
	_ = s.server.Wait()
	_ = filepath.WalkDir(s.Dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// Immediate is a rollout without steps and holds.
const Immediate = "rollout: {steps: [{weight: 100}], on_no_data: continue, keep_previous_warm: 0s}\n"

// Project is a project around a model file of the tests: 100 trees, 30 features.
type Project struct {
	Name    string   // of the endpoint; "bench" if empty
	Rollout string   // that part of platform.yaml
	Note    string   // makes other versions of the same model
	Command []string // that serves it; nil: the platform does
	Shared  bool     // in the process of its team
}

// Project writes one, and gives its directory.
func (s *Site) Project(repo string, p Project) (string, error) {
	dir := filepath.Join(s.Dir, "project-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	b, err := os.ReadFile(filepath.Join(repo, "testdata", "xgboost", "models", "v32_logistic_100.ubj"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "model"), 0o700); err != nil {
		return "", err
	}
	mlmodel := `flavors:
  xgboost: {data: model.ubj, model_class: xgboost.core.Booster, model_format: ubj, xgb_version: 3.2.0}
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 30]}}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}]'
`
	source := "./model"
	if p.Command != nil {
		text, err := json.Marshal(p.Command)
		if err != nil {
			return "", err
		}
		source += "\n  command: " + string(text)
	}
	if p.Shared {
		source += "\n  placement: shared"
	}
	yaml := "apiVersion: platform/v1\nkind: RealtimeModel\nname: " + cmp.Or(p.Name, Endpoint) + "\ntier: 4\nowner: {team: bench}\nmodel:\n  source: " + source +
		"\nresources: {cpu: 2000m, memory: 512Mi}\n" + p.Rollout
	return dir, errors.Join(os.WriteFile(filepath.Join(dir, "model", "model.ubj"), b, 0o600), os.WriteFile(filepath.Join(dir, "model", "MLmodel"), []byte(mlmodel), 0o600),
		os.WriteFile(filepath.Join(dir, "model", "NOTE"), []byte(p.Note), 0o600), os.WriteFile(filepath.Join(dir, "platform.yaml"), []byte(yaml), 0o600))
}

// Endpoint is what projects are deployed as.
const Endpoint = "bench"

// Run runs a command of the platform in a directory.
func (s *Site) Run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Exe, args...)
	cmd.Dir, cmd.Env = dir, s.env()
	return cmd.CombinedOutput()
}

// Deploy runs `platform deploy --watch` for a project of the endpoint bench and gives the record.
func (s *Site) Deploy(ctx context.Context, dir string, args ...string) (api.Deployment, time.Duration, error) {
	began := time.Now()
	out, runErr := s.Run(ctx, dir, append([]string{"deploy", "--watch"}, args...)...)
	took := time.Since(began)
	list, err := s.C.Deployments(ctx, Endpoint, 0, 1)
	if err != nil || len(list) == 0 {
		return api.Deployment{}, took, fmt.Errorf("no record: %w: %s", errors.Join(err, runErr), out)
	}
	return list[0], took, nil
}
