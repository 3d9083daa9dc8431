package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/bench/figure"
)

const (
	model     = "v32_logistic_100.ubj" // 100 trees, 30 features
	path      = "/v2/models/bench/infer"
	immediate = "rollout: {steps: [{weight: 100}], on_no_data: continue, keep_previous_warm: 0s}\n"
	canary    = "rollout: {steps: [{weight: 10, hold: 30s, min_requests: 1000}, {weight: 100}]}\n"
)

func (s *site) addr() string { return strings.TrimPrefix(s.url, "http://") }

// start measures readiness, idle memory, a deployment without holds and the smallest
// command.
func (b *bench) start(ctx context.Context) error {
	began := time.Now()
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	ready := time.Since(began).Seconds()
	err = func() error {
		b.Print(b.AtMost("ready_seconds", ready, 1))
		dir, err := s.project(b.repo, immediate, "1", nil)
		if err != nil {
			return err
		}
		first, _, err := s.deploy(ctx, dir)
		if err != nil || first.Status != "succeeded" {
			return fmt.Errorf("the first deployment %s: %s: %w", first.Status, first.Message, err)
		}
		if dir, err = s.project(b.repo, immediate, "2", nil); err != nil {
			return err
		}
		second, took, err := s.deploy(ctx, dir)
		if err != nil || second.Status != "succeeded" {
			return fmt.Errorf("the second deployment %s: %s: %w", second.Status, second.Message, err)
		}
		b.Print(b.AtMost("deploy_seconds", took.Seconds(), 3))
		time.Sleep(5 * time.Second) // idle
		mib, err := figure.Memory(s.exe, s.home)
		if err != nil {
			return err
		}
		b.Print(b.AtMost("idle_pss_mib", mib, 120))
		return b.version(s)
	}()
	return errors.Join(err, s.close())
}

func (b *bench) version(s *site) error {
	var times []float64
	for range 20 {
		began := time.Now()
		if err := exec.Command(s.exe, "version").Run(); err != nil {
			return err
		}
		times = append(times, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(times)
	b.Print(b.AtMost("version_ms", times[len(times)/2], 50))
	return nil
}

// serve compares single-row predictions with a bare reverse proxy before a trivial backend,
// in turns.
func (b *bench) serve(ctx context.Context) (err error) {
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := s.project(b.repo, immediate, "1", nil)
	if err != nil {
		return err
	}
	if d, _, err := s.deploy(ctx, dir); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	backend, backendAddr, err := peer(ctx, "backend", "")
	if err != nil {
		return err
	}
	defer backend()
	proxy, proxyAddr, err := peer(ctx, "proxy", backendAddr)
	if err != nil {
		return err
	}
	defer proxy()
	var ours, theirs []float64
	for i := range 6 {
		o, err := throughput(ctx, s.addr(), request(s.addr(), s.token, row()), 3*time.Second)
		if err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		p, err := throughput(ctx, proxyAddr, request(proxyAddr, "x", row()), 3*time.Second)
		if err != nil {
			return fmt.Errorf("peer: %w", err)
		}
		figure.Note("round %d: ours %.0f/s, reverse proxy %.0f/s", i, o, p)
		if i > 0 { // the first warms up
			ours, theirs = append(ours, o), append(theirs, p)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.Print(b.Beside("core_rps_vs_netproxy", ours[len(ours)/2], theirs[len(theirs)/2], 1.5))
	return nil
}

// peer starts a process of the peer and reads its address.
func peer(ctx context.Context, role, addr string) (stop func(), address string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, "-role", role, "-addr", addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	_, err = fmt.Fscanln(out, &address)
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, address, err
}

// runPeer is a trivial backend, or a bare reverse proxy before it.
func runPeer(role, addr string) error {
	if role == "bad" {
		return runBad(addr)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"model_name":"bench","outputs":[{"name":"predict","shape":[1],"datatype":"FP32","data":[0.5]}]}`)
	})
	if role == "proxy" {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 2 * connections}
		h = p
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(ln)
}

// runBad is a custom server of which every fifth answer fails.
func runBad(socket string) error {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v2/models/{model}/infer", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if rand.IntN(5) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"outputs":[{"name":"predict","shape":[1],"datatype":"FP32","data":[0.5]}]}`)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(ln)
}

// rollback measures the time from a bad canary's first error to its last request, and what
// clients see: 200 requests a second, 10 % canary, a fifth of its answers 500.
func (b *bench) rollback(ctx context.Context) (err error) {
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := s.project(b.repo, immediate, "1", nil)
	if err != nil {
		return err
	}
	if d, _, err := s.deploy(ctx, dir); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l := startLoad(s.addr(), request(s.addr(), s.token, row()), 200)
	defer l.stop()
	var times []float64
	for i := range b.repeats {
		dir, err := s.project(b.repo, canary, fmt.Sprint("bad ", i), []string{self, "-role", "bad", "-addr", "{socket}"})
		if err != nil {
			return err
		}
		d, _, err := s.deploy(ctx, dir)
		if err != nil || d.Status != "rolled back" || d.FirstBad.IsZero() {
			return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
		}
		times = append(times, max(0, d.LastSent.Sub(d.FirstBad)).Seconds())
		figure.Note("rollback %d: %.2f s", i+1, times[i])
	}
	sent, bad := l.end()
	slices.Sort(times)
	figure.Note("%d requests, rollbacks between %.2f and %.2f s", sent, times[0], times[len(times)-1])
	b.Print(b.AtMost("rollback_seconds_median", times[len(times)/2], 3))
	b.Print(b.AtMost("rollback_client_errors", float64(bad), 0))
	return nil
}

// same rolls out versions that are equal to stable: none may be rolled back, although the
// small arm has colder caches.
func (b *bench) same(ctx context.Context) (err error) {
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	const steps = "rollout: {steps: [{weight: 10, hold: 4s, min_requests: 50}, {weight: 100}]}\n"
	var l *load
	falsely := 0
	for i := range b.repeats + 1 {
		dir, err := s.project(b.repo, steps, fmt.Sprint("same ", i), nil)
		if err != nil {
			return err
		}
		d, _, err := s.deploy(ctx, dir)
		if err != nil || d.Status != "succeeded" && d.Status != "rolled back" {
			return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
		}
		if d.Status == "rolled back" {
			falsely++
			figure.Note("rolled back: %s", d.Message)
		}
		if l == nil { // the first has nothing to be compared with
			l = startLoad(s.addr(), request(s.addr(), s.token, row()), 200)
			defer l.stop()
		}
	}
	sent, bad := l.end()
	figure.Note("%d equal versions, %d requests", b.repeats, sent)
	b.Print(b.AtMost("same_false_rollbacks", float64(falsely), 0))
	b.Print(b.AtMost("same_client_errors", float64(bad), 0))
	return nil
}

// recover drives promotions and rollbacks under load, with the server killed in between.
func (b *bench) recover(ctx context.Context) (err error) {
	s, err := b.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	const keepWarm = "rollout: {steps: [{weight: 100}], on_no_data: continue, keep_previous_warm: 10m}\n"
	dirs := [2]string{}
	for i := range dirs {
		if dirs[i], err = s.project(b.repo, keepWarm, fmt.Sprint(i), nil); err != nil {
			return err
		}
	}
	if d, _, err := s.deploy(ctx, dirs[0]); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	l := startLoad(s.addr(), request(s.addr(), s.token, row()), 200)
	defer l.stop()
	every := max(1, b.rollouts/20)
	restarts := 0
	for i := range b.rollouts {
		if i%every == every/2 {
			restarted := make(chan error, 1)
			go func() {
				time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // into the middle of a rollout
				restarted <- s.restart(ctx)
			}()
			err := b.step(ctx, s, dirs, i)
			if err := errors.Join(err, <-restarted); err != nil {
				return err
			}
			restarts++
			continue
		}
		if err := b.step(ctx, s, dirs, i); err != nil {
			return err
		}
	}
	sent, bad := l.end()
	figure.Note("%d rollouts, %d restarts, %d requests", b.rollouts, restarts, sent)
	b.Print(b.AtMost("recover_lost_requests", float64(bad), 0))
	return nil
}

// step is one rollout: a promotion, or the rollback of the one before.
func (b *bench) step(ctx context.Context, s *site, dirs [2]string, i int) error {
	if i%2 == 1 {
		_, err := s.c.Rollback(ctx, "bench", "bench")
		if err != nil {
			return fmt.Errorf("rollback %d: %w", i, err)
		}
		return s.quiet(ctx)
	}
	d, _, err := s.deploy(ctx, dirs[1], "--force", "--reason", "bench")
	if err != nil || d.Status != "succeeded" {
		return fmt.Errorf("rollout %d: %s: %s: %w", i, d.Status, d.Message, err)
	}
	return nil
}

// quiet waits until nothing drives the endpoint and the last rollback is on record.
func (s *site) quiet(ctx context.Context) error {
	var e api.Endpoint
	for range 2000 {
		var err error
		if e, err = s.c.Endpoint(ctx, "bench"); err == nil && !e.Active && e.Candidate == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the endpoint does not come to rest: %s, %s", e.State, e.Deployment)
}
