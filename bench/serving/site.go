package main

import (
	"bufio"
	"bytes"
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

// site is a platform of its own in a temporary directory.
type site struct {
	exe, dir, home string
	server         *exec.Cmd
	url, token     string
	c              *client.Client
}

func (b *bench) site(ctx context.Context) (*site, error) {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return nil, err
	}
	exe, err := filepath.Abs(b.exe)
	if err != nil {
		return nil, err
	}
	s := &site{exe: exe, dir: dir, home: filepath.Join(dir, "home")}
	return s, s.up(ctx, "127.0.0.1:0")
}

func (s *site) env() []string { return append(os.Environ(), "SLIPWAY_HOME="+s.home, "NO_COLOR=1") }

func (s *site) up(ctx context.Context, listen string) error {
	cmd := exec.Command(s.exe, "up", "--json", "--listen", listen)
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
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		return err
	}
	if s.c == nil { // a restart keeps address and token, and others use them meanwhile
		s.url, s.token = ready.URL, strings.TrimSpace(string(token))
		s.c, err = client.New(client.Config{BaseURL: s.url, Token: s.token})
	}
	return errors.Join(err, ctx.Err())
}

// restart kills the server and starts it again.
func (s *site) restart(ctx context.Context) error {
	if err := s.server.Process.Kill(); err != nil {
		return err
	}
	_ = s.server.Wait() // killed
	return s.up(ctx, strings.TrimPrefix(s.url, "http://"))
}

func (s *site) close() error {
	cmd := exec.Command(s.exe, "down")
	cmd.Env = s.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("down: %w: %s", err, out)
	}
	_ = s.server.Wait()
	_ = filepath.WalkDir(s.dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(s.dir))
}

// project writes a project around a model file of the tests. Note makes other versions of
// the same model.
func (s *site) project(repo, rollout, note string, command []string) (string, error) {
	dir := filepath.Join(s.dir, "project-"+strconv.FormatInt(time.Now().UnixNano(), 36))
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
	if command != nil {
		text, err := json.Marshal(command)
		if err != nil {
			return "", err
		}
		source += "\n  command: " + string(text)
	}
	yaml := "apiVersion: platform/v1\nkind: RealtimeModel\nname: bench\ntier: 4\nowner: {team: bench}\nmodel:\n  source: " + source +
		"\nresources: {cpu: 2000m, memory: 512Mi}\n" + rollout
	return dir, errors.Join(os.WriteFile(filepath.Join(dir, "model", "model.ubj"), b, 0o600), os.WriteFile(filepath.Join(dir, "model", "MLmodel"), []byte(mlmodel), 0o600),
		os.WriteFile(filepath.Join(dir, "model", "NOTE"), []byte(note), 0o600), os.WriteFile(filepath.Join(dir, "platform.yaml"), []byte(yaml), 0o600))
}

// deploy runs `platform deploy --watch` and gives the record.
func (s *site) deploy(ctx context.Context, dir string, args ...string) (api.Deployment, time.Duration, error) {
	cmd := exec.CommandContext(ctx, s.exe, append([]string{"deploy", "--watch"}, args...)...)
	cmd.Dir, cmd.Env = dir, s.env()
	began := time.Now()
	out, runErr := cmd.CombinedOutput()
	took := time.Since(began)
	list, err := s.c.Deployments(ctx, "bench", 0, 1)
	if err != nil || len(list) == 0 {
		return api.Deployment{}, took, fmt.Errorf("no record: %w: %s", errors.Join(err, runErr), out)
	}
	return list[0], took, nil
}
