package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const (
	pythonConnections = 64
	mlserverStart     = time.Minute
)

// sklearn compares single-row predictions of one scikit-learn model with MLServer, which
// joins requests as well, in turns; and measures a second deployment of the same
// requirements.
func (b *bench) sklearn(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	train := exec.CommandContext(ctx, filepath.Join(b.repo, ".venv", "bin", "python"), append([]string{"bench/core/train.py", dir}, ports...)...)
	train.Dir = b.repo
	if out, err := train.CombinedOutput(); err != nil {
		return fmt.Errorf("train the model: %w: %s", err, out)
	}
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := b.deployPython(ctx, s, dir); err != nil {
		return err
	}
	stop, err := startMLServer(ctx, filepath.Join(dir, "mlserver"), b.mlserver, ports[0])
	if err != nil {
		return err
	}
	defer stop()
	return b.besideMLServer(ctx, s, "127.0.0.1:"+ports[0])
}

// deployPython deploys the model twice: the second time its environment is there.
func (b *bench) deployPython(ctx context.Context, s *site, dir string) error {
	yaml := "apiVersion: platform/v1\nkind: RealtimeModel\nname: bench\ntier: 4\nowner: {team: bench}\nmodel: {source: ./model, workers: 1}\n" +
		"resources: {cpu: 2000m, memory: 1Gi}\n" + immediate
	if err := os.WriteFile(filepath.Join(dir, "platform.yaml"), []byte(yaml), 0o600); err != nil {
		return err
	}
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(dir, "model", "NOTE"), []byte(strconv.Itoa(i)), 0o600); err != nil {
			return err
		}
		d, took, err := s.deploy(ctx, dir)
		if err != nil || d.Status != "succeeded" {
			return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
		}
		if i == 0 {
			figure.Note("first deployment, with its environment: %.1f s", took.Seconds())
			continue
		}
		b.Print(b.AtMost("python_deploy_seconds", took.Seconds(), 5))
	}
	return nil
}

func (b *bench) besideMLServer(ctx context.Context, s *site, peer string) error {
	var ours, theirs []float64
	var oursLate, theirsLate []time.Duration
	for i := range 6 {
		o, oLate, err := measure(ctx, s.addr(), request(s.addr(), s.token, row()), pythonConnections, 3*time.Second)
		if err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		p, pLate, err := measure(ctx, peer, request(peer, "x", row()), pythonConnections, 3*time.Second)
		if err != nil {
			return fmt.Errorf("MLServer: %w", err)
		}
		figure.Note("round %d: ours %.0f/s p99 %v, MLServer %.0f/s p99 %v", i, o, oLate, p, pLate)
		if i > 0 { // the first warms up
			ours, theirs, oursLate, theirsLate = append(ours, o), append(theirs, p), append(oursLate, oLate), append(theirsLate, pLate)
		}
	}
	b.Print(b.Beside("sklearn_rps_vs_mlserver", median(ours), median(theirs), 3))
	b.Print(b.AtMost("sklearn_p99_ms_vs_mlserver", float64(median(oursLate).Microseconds())/1000, float64(median(theirsLate).Microseconds())/1000))
	return nil
}

func median[T float64 | time.Duration](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

// measure is the requests a second of so many connections, each asking as soon as it has
// its answer, and the 99 % quantile of the time to an answer.
func measure(ctx context.Context, addr string, req []byte, connections int, length time.Duration) (float64, time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	var failed error
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	began := time.Now()
	for range connections {
		wg.Go(func() {
			took, err := askUntil(ctx, addr, req)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	took := time.Since(began)
	if failed != nil || len(all) == 0 {
		return 0, 0, fmt.Errorf("%d answers: %w", len(all), failed)
	}
	slices.Sort(all)
	return float64(len(all)) / took.Seconds(), all[len(all)*99/100], nil
}

// startMLServer starts the peer and waits until its model is ready.
func startMLServer(ctx context.Context, dir, exe, port string) (stop func(), err error) {
	full, err := filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, full, "start", ".")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(full)+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for end := time.Now().Add(mlserverStart); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/v2/models/bench/ready", nil)
		if err != nil {
			return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
	}
	stop()
	said, _ := os.ReadFile(filepath.Join(dir, "log"))
	return nil, fmt.Errorf("MLServer did not get ready: %s", said)
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // all at once, so that they differ
		ports = append(ports, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
