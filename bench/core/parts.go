package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

const canary = "rollout: {steps: [{weight: 10, hold: 30s, min_requests: 1000}, {weight: 100}]}\n"

// start measures readiness, idle memory, a deployment without holds and the smallest
// command.
func (b *bench) start(ctx context.Context) error {
	began := time.Now()
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	ready := time.Since(began).Seconds()
	err = func() error {
		b.Print(b.AtMost("ready_seconds", ready, 1))
		dir, err := s.Project(b.repo, rig.Project{Rollout: rig.Immediate, Note: "1"})
		if err != nil {
			return err
		}
		first, _, err := s.Deploy(ctx, dir)
		if err != nil || first.Status != "succeeded" {
			return fmt.Errorf("the first deployment %s: %s: %w", first.Status, first.Message, err)
		}
		if dir, err = s.Project(b.repo, rig.Project{Rollout: rig.Immediate, Note: "2"}); err != nil {
			return err
		}
		second, took, err := s.Deploy(ctx, dir)
		if err != nil || second.Status != "succeeded" {
			return fmt.Errorf("the second deployment %s: %s: %w", second.Status, second.Message, err)
		}
		b.Print(b.AtMost("deploy_seconds", took.Seconds(), 3))
		time.Sleep(5 * time.Second) // idle
		mib, err := figure.Memory(s.Exe, s.Home)
		if err != nil {
			return err
		}
		b.Print(b.AtMost("idle_pss_mib", mib, 120))
		return b.version(s)
	}()
	return errors.Join(err, s.Close())
}

func (b *bench) version(s *rig.Site) error {
	var times []float64
	for range 20 {
		began := time.Now()
		if err := exec.Command(s.Exe, "version").Run(); err != nil {
			return err
		}
		times = append(times, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(times)
	b.Print(b.AtMost("version_ms", times[len(times)/2], 50))
	return nil
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
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir, err := s.Project(b.repo, rig.Project{Rollout: rig.Immediate, Note: "1"})
	if err != nil {
		return err
	}
	if d, _, err := s.Deploy(ctx, dir); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	l := rig.StartPaced(s.Addr(), rig.Request(s.Addr(), s.Token, rig.Row()), 200)
	defer l.Stop()
	var times []float64
	for i := range b.repeats {
		dir, err := s.Project(b.repo, rig.Project{Rollout: canary, Note: fmt.Sprint("bad ", i), Command: []string{self, "-bad", "{socket}"}})
		if err != nil {
			return err
		}
		d, _, err := s.Deploy(ctx, dir)
		if err != nil || d.Status != "rolled back" || d.FirstBad.IsZero() {
			return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
		}
		times = append(times, max(0, d.LastSent.Sub(d.FirstBad)).Seconds())
		figure.Note("rollback %d: %.2f s", i+1, times[i])
	}
	sent, bad := l.End()
	slices.Sort(times)
	figure.Note("%d requests, rollbacks between %.2f and %.2f s", sent, times[0], times[len(times)-1])
	b.Print(b.AtMost("rollback_seconds_median", times[len(times)/2], 3))
	b.Print(b.AtMost("rollback_client_errors", float64(bad), 0))
	return nil
}

// same rolls out versions that are equal to stable: none may be rolled back, although the
// small arm has colder caches.
func (b *bench) same(ctx context.Context) (err error) {
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const steps = "rollout: {steps: [{weight: 10, hold: 4s, min_requests: 50}, {weight: 100}]}\n"
	var l *rig.Paced
	falsely := 0
	for i := range b.repeats + 1 {
		dir, err := s.Project(b.repo, rig.Project{Rollout: steps, Note: fmt.Sprint("same ", i)})
		if err != nil {
			return err
		}
		d, _, err := s.Deploy(ctx, dir)
		if err != nil || d.Status != "succeeded" && d.Status != "rolled back" {
			return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
		}
		if d.Status == "rolled back" {
			falsely++
			figure.Note("rolled back: %s", d.Message)
		}
		if l == nil { // the first has nothing to be compared with
			l = rig.StartPaced(s.Addr(), rig.Request(s.Addr(), s.Token, rig.Row()), 200)
			defer l.Stop()
		}
	}
	sent, bad := l.End()
	figure.Note("%d equal versions, %d requests", b.repeats, sent)
	b.Print(b.AtMost("same_false_rollbacks", float64(falsely), 0))
	b.Print(b.AtMost("same_client_errors", float64(bad), 0))
	return nil
}

// recover drives promotions and rollbacks under load, with the server killed in between.
func (b *bench) recover(ctx context.Context) (err error) {
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const keepWarm = "rollout: {steps: [{weight: 100}], on_no_data: continue, keep_previous_warm: 10m}\n"
	dirs := [2]string{}
	for i := range dirs {
		if dirs[i], err = s.Project(b.repo, rig.Project{Rollout: keepWarm, Note: fmt.Sprint(i)}); err != nil {
			return err
		}
	}
	if d, _, err := s.Deploy(ctx, dirs[0]); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	l := rig.StartPaced(s.Addr(), rig.Request(s.Addr(), s.Token, rig.Row()), 200)
	defer l.Stop()
	every := max(1, b.rollouts/20)
	restarts := 0
	for i := range b.rollouts {
		if i%every == every/2 {
			restarted := make(chan error, 1)
			go func() {
				time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // into the middle of a rollout
				restarted <- s.Restart(ctx)
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
	sent, bad := l.End()
	figure.Note("%d rollouts, %d restarts, %d requests", b.rollouts, restarts, sent)
	b.Print(b.AtMost("recover_lost_requests", float64(bad), 0))
	return nil
}

// step is one rollout: a promotion, or the rollback of the one before.
func (b *bench) step(ctx context.Context, s *rig.Site, dirs [2]string, i int) error {
	if i%2 == 1 {
		_, err := s.C.Rollback(ctx, "bench", "bench")
		if err != nil {
			return fmt.Errorf("rollback %d: %w", i, err)
		}
		return quiet(ctx, s)
	}
	d, _, err := s.Deploy(ctx, dirs[1], "--force", "--reason", "bench")
	if err != nil || d.Status != "succeeded" {
		return fmt.Errorf("rollout %d: %s: %s: %w", i, d.Status, d.Message, err)
	}
	return nil
}

// quiet waits until nothing drives the endpoint and the last rollback is on record.
func quiet(ctx context.Context, s *rig.Site) error {
	var e api.Endpoint
	for range 2000 {
		var err error
		if e, err = s.C.Endpoint(ctx, "bench"); err == nil && !e.Active && e.Candidate == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the endpoint does not come to rest: %s, %s", e.State, e.Deployment)
}
