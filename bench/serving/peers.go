package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

const peerStart = 2 * time.Minute

// model is a trained model, and a platform that serves it.
type model struct {
	*rig.Site
	dir   string
	ports []string // MLServer's, and two more
}

// model trains one of a kind and deploys it.
func (b *bench) model(ctx context.Context, kind string, deploy func(context.Context, *model) error) (_ *model, err error) {
	m := &model{}
	if m.ports, err = freePorts(5); err != nil {
		return nil, err
	}
	if m.Site, err = rig.Up(ctx, b.exe); err != nil {
		return nil, err
	}
	m.dir = filepath.Join(m.Dir, "trained")
	train := exec.CommandContext(ctx, b.python(".venv", "python"), append([]string{"bench/serving/train.py", kind, m.dir}, m.ports[:3]...)...)
	train.Dir = b.repo
	if out, err := train.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("train the model: %w: %s", err, out), m.Close())
	}
	if err := deploy(ctx, m); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// deployOnce deploys the model without a rollout.
func deployOnce(ctx context.Context, m *model) error {
	yaml := "apiVersion: platform/v1\nkind: RealtimeModel\nname: bench\ntier: 4\nowner: {team: bench}\nmodel: {source: ./model, workers: 1}\n" +
		"resources: {cpu: 2000m, memory: 1Gi}\n" + rig.Immediate
	if err := os.WriteFile(filepath.Join(m.dir, "platform.yaml"), []byte(yaml), 0o600); err != nil {
		return err
	}
	d, _, err := m.Site.Deploy(ctx, m.dir)
	if err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	return nil
}

// deployTwice measures a second deployment of the same requirements: its environment is there.
func (b *bench) deployTwice(ctx context.Context, m *model) error {
	if err := deployOnce(ctx, m); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.dir, "model", "NOTE"), []byte("2"), 0o600); err != nil {
		return err
	}
	began := time.Now()
	err := deployOnce(ctx, m)
	b.Print(b.AtMost("python_deploy_seconds", time.Since(began).Seconds(), 5))
	return err
}

// beside compares the platform with a peer that is ready, and whose 99 % quantile must not be
// below the platform's with as many connections.
func (b *bench) beside(ctx context.Context, metric string, goal float64, ours, theirs side) error {
	best, there, err := b.best(ctx, ours, theirs)
	if err != nil {
		return err
	}
	b.Print(b.Beside(metric, best[0].rate, best[1].rate, goal), b.AtMost(metric+"_p99_ms", ms(there[0].late), ms(there[1].late)))
	return nil
}

// xgboost compares with the servers of three others: MLServer, MLflow's own and BentoML.
func (b *bench) xgboost(ctx context.Context) (err error) {
	m, err := b.model(ctx, "xgboost", deployOnce)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := b.mlserver(ctx, m, "xgboost_rps_vs_mlserver", 20); err != nil {
		return err
	}
	rows, err := rowsOf(rig.Row())
	if err != nil {
		return err
	}
	cpus := strconv.Itoa(runtime.NumCPU())
	mlflow, err := b.start(ctx, m.dir, ".venv-mlflow3", "http://127.0.0.1:"+m.ports[3]+"/ping", nil,
		"mlflow", "models", "serve", "-m", "model", "--env-manager", "local", "-h", "127.0.0.1", "-p", m.ports[3], "-w", cpus)
	if err != nil {
		return err
	}
	const invocations = "/endpoints/bench/invocations"
	body := `{"inputs":` + rows + `}`
	addr := "127.0.0.1:" + m.ports[3]
	err = b.beside(ctx, "xgboost_rps_vs_mlflow", 10, side{"platform", m.Addr(), rig.Post(invocations, m.Addr(), m.Token, body), nil},
		side{"MLflow", addr, rig.Post("/invocations", addr, "x", body), nil})
	if err = errors.Join(err, mlflow()); err != nil {
		return err
	}
	script, err := filepath.Abs(filepath.Join(b.repo, "bench", "serving"))
	if err != nil {
		return err
	}
	bento, err := b.start(ctx, m.dir, ".venv-bentoml", "http://127.0.0.1:"+m.ports[4]+"/readyz",
		[]string{"BENCH_MODEL=" + filepath.Join(m.dir, "mlserver", "model.ubj"), "BENTOML_DO_NOT_TRACK=true", "BENTOML_HOME=" + filepath.Join(m.dir, "bentoml")},
		"bentoml", "serve", "bento:Bench", "--working-dir", script, "--host", "127.0.0.1", "-p", m.ports[4])
	if err != nil {
		return err
	}
	addr = "127.0.0.1:" + m.ports[4]
	err = b.beside(ctx, "xgboost_rps_vs_bentoml", 10, side{"platform", m.Addr(), rig.Request(m.Addr(), m.Token, rig.Row()), nil},
		side{"BentoML", addr, rig.Post("/predict", addr, "x", `{"rows":`+rows+`}`), nil})
	return errors.Join(err, bento())
}

// lightgbm compares with MLServer.
func (b *bench) lightgbm(ctx context.Context) (err error) {
	m, err := b.model(ctx, "lightgbm", deployOnce)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return b.mlserver(ctx, m, "lightgbm_rps_vs_mlserver", 20)
}

// sklearn compares a model that needs Python on both sides with MLServer, which joins requests
// as well.
func (b *bench) sklearn(ctx context.Context) (err error) {
	m, err := b.model(ctx, "sklearn", b.deployTwice)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return b.mlserver(ctx, m, "sklearn_rps_vs_mlserver", 3)
}

func (b *bench) mlserver(ctx context.Context, m *model, metric string, goal float64) error {
	stop, err := b.start(ctx, filepath.Join(m.dir, "mlserver"), ".venv-mlserver", "http://127.0.0.1:"+m.ports[0]+"/v2/models/bench/ready", nil, "mlserver", "start", ".")
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + m.ports[0]
	err = b.beside(ctx, metric, goal, side{"platform", m.Addr(), rig.Request(m.Addr(), m.Token, rig.Row()), nil},
		side{"MLServer", addr, rig.Request(addr, "x", rig.Row()), nil})
	return errors.Join(err, stop())
}

// rowsOf are the values of a request as a matrix.
func rowsOf(body string) (string, error) {
	var r struct {
		Inputs []struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return "", err
	}
	return "[" + string(r.Inputs[0].Data) + "]", nil
}

// start starts a peer in its environment, a process group of its own, and waits until it is
// ready.
func (b *bench) start(ctx context.Context, dir, environment, ready string, env []string, program string, args ...string) (stop func() error, err error) {
	full := b.python(environment, program)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(full, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(full)+":"+os.Getenv("PATH")), env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // killed
	stop = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		<-ended
		return err
	}
	for end := time.Now().Add(peerStart); time.Now().Before(end) && ctx.Err() == nil; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		select {
		case <-ended:
			end = time.Time{}
		case <-time.After(100 * time.Millisecond):
		}
	}
	said, _ := os.ReadFile(filepath.Join(dir, "log"))
	figure.Note("%s did not get ready", program)
	_ = stop()
	return nil, fmt.Errorf("%s did not get ready: %s", program, said)
}
