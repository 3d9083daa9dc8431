package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

const (
	deployers = 4                // at once
	settle    = 20 * time.Second // until what deployments took is given back
	comeBack  = 30 * time.Second
)

// shared deploys many small models of one team into one process: what each takes when nobody
// asks, and how long the first request takes to a model that is not loaded.
func (b *bench) shared(ctx context.Context) error {
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	defer s.Close()
	before, err := figure.Memory(s.Exe, s.Home)
	if err != nil {
		return err
	}
	began := time.Now()
	var all errgroup.Group
	all.SetLimit(deployers)
	for i := range b.models {
		all.Go(func() error { return deploySmall(ctx, s, b.repo, small(i)) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	figure.Note("%d models deployed in %.0f s", b.models, time.Since(began).Seconds())
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settle):
	}
	after, err := figure.Memory(s.Exe, s.Home)
	if err != nil {
		return err
	}
	figure.Note("all processes: %.0f MiB with no model, %.0f MiB with %d", before, after, b.models)
	b.Print(b.AtMost("shared_mib_per_model", (after-before)/float64(b.models), 2))

	if err := killPool(s.Exe, s.Home); err != nil {
		return err
	}
	took, err := firstAnswers(ctx, s, b.models)
	if err != nil {
		return err
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	figure.Note("first requests to %d models that are not loaded: p50 %.1f ms, longest %.1f ms", b.models, at(0.5), at(1))
	b.Print(b.AtMost("cold_first_request_p99_ms", at(0.99), 50))
	return nil
}

func small(i int) string { return "small-" + strconv.Itoa(i) }

func deploySmall(ctx context.Context, s *rig.Site, repo, name string) error {
	dir, err := s.Project(repo, rig.Project{Name: name, Rollout: rig.Immediate, Note: name, Shared: true})
	if err != nil {
		return err
	}
	if out, err := s.Run(ctx, dir, "deploy", "--watch"); err != nil {
		return fmt.Errorf("deploy %s: %w: %s", name, err, out)
	}
	return os.RemoveAll(dir)
}

// killPool kills the one runtime process of a home.
func killPool(exe, home string) error {
	exe, err := filepath.Abs(exe)
	if err != nil {
		return err
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, file := range files {
		args, _ := os.ReadFile(file) // it may have ended
		if bytes.HasPrefix(args, []byte(exe+"\x00runtime\x00")) && bytes.Contains(args, []byte(home)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return errors.Join(err, unix.Kill(pid, unix.SIGKILL))
		}
	}
	return errors.New("no runtime process was found")
}

// firstAnswers asks every model once. The first one is asked until the process is back.
func firstAnswers(ctx context.Context, s *rig.Site, models int) ([]time.Duration, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	ask := func(i int) (time.Duration, error) {
		req := rig.Post("/v2/models/"+small(i)+"/infer", s.Addr(), s.Token, rig.Row())
		began := time.Now()
		status, err := rig.Exchange(conn, r, req)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: status %d", small(i), status)
		}
		return time.Since(began), err
	}
	for end := time.Now().Add(comeBack); ; {
		_, err := ask(0)
		if err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	var out []time.Duration
	for i := 1; i < models; i++ {
		took, err := ask(i)
		if err != nil {
			return nil, err
		}
		out = append(out, took)
	}
	return out, nil
}
