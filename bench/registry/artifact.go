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
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

// noise is so many bytes that cannot be compressed, made of one block again and again.
func noise(n int64) io.Reader {
	block := make([]byte, 1<<20)
	var seed [32]byte
	_, _ = rand.NewChaCha8(seed).Read(block) // never fails
	return io.LimitReader(&repeat{block: block}, n)
}

type repeat struct {
	block []byte
	at    int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// artifact is a file up and down, beside the same bytes through a TCP connection on the
// loopback: into a file that is synced, and out of that file.
func (b *bench) artifact(ctx context.Context, database string) error {
	s, err := b.ours(database)
	if err != nil {
		return err
	}
	defer s.stop()
	run, err := s.runInDefault(ctx)
	if err != nil {
		return err
	}
	size := int64(b.gib) << 30
	at := fmt.Sprintf("%s/api/2.0/mlflow-artifacts/artifacts/0/%s/artifacts/", s.url, run)
	if _, err := s.transfer(ctx, http.MethodPut, at+"warm", noise(64<<20), 64<<20); err != nil {
		return err
	}
	var ups, downs, pipeUps, pipeDowns []float64
	var extra, resting float64
	for i := range 3 { // in turns, so that both see the same disk
		file := filepath.Join(b.dir, fmt.Sprint("pipe-", i))
		up, down, err := pipe(ctx, file, size)
		if err != nil {
			return err
		}
		pipeUps, pipeDowns = append(pipeUps, up), append(pipeDowns, down)
		if resting, err = figure.Memory(s.cmd.Path, s.home); err != nil {
			return err
		}
		watching := s.watch(resting)
		url := at + fmt.Sprint("file-", i)
		up, err1 := s.transfer(ctx, http.MethodPut, url, noise(size), size)
		down, err2 := s.transfer(ctx, http.MethodGet, url, nil, size)
		extra = max(extra, watching())
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		ups, downs = append(ups, up), append(downs, down)
	}
	figure.Note("resident before the last one: %.0f MiB", resting)
	figure.Note("seconds for %d GiB: up %.2f, pipe into a file %.2f; down %.2f, pipe out of it %.2f", b.gib, ups, pipeUps, downs, pipeDowns)
	mib := float64(size >> 20)
	b.Print(b.Beside("artifact_up_mib_s", mib/median(ups), mib/median(pipeUps), 1/1.5))
	b.Print(b.Beside("artifact_down_mib_s", mib/median(downs), mib/median(pipeDowns), 1/1.5))
	b.Print(b.AtMost("artifact_extra_mib", extra, 64))
	return nil
}

func median(v []float64) float64 {
	lo, hi := min(v[0], v[1]), max(v[0], v[1])
	return max(lo, min(hi, v[2]))
}

func (s *server) runInDefault(ctx context.Context) (string, error) {
	s.experiment = "0"
	return s.createRun(ctx, "artifact")
}

// transfer gives the seconds of one file up or down.
func (s *server) transfer(ctx context.Context, method, url string, body io.Reader, size int64) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != nil {
		req.ContentLength = size
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	got, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || body == nil && got != size {
		return 0, fmt.Errorf("%s: %s, %d bytes: %w", method, resp.Status, got, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return time.Since(began).Seconds(), nil
}

// watch looks at the memory until the function that it gives is called, which tells the most
// that there was beyond what there had been before.
func (s *server) watch(before float64) func() float64 {
	var stop atomic.Bool
	most := make(chan float64)
	go func() {
		peak := before
		for !stop.Load() {
			if now, err := figure.Memory(s.cmd.Path, s.home); err == nil {
				peak = max(peak, now)
			}
			time.Sleep(20 * time.Millisecond)
		}
		most <- peak
	}()
	return func() float64 {
		stop.Store(true)
		return <-most - before
	}
}

// pipe gives the seconds of the bytes through a connection into a file that is synced, and out of it.
func pipe(ctx context.Context, file string, size int64) (up, down float64, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	f, err := os.Create(file)
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file)
	defer f.Close()
	// through copies from a reader at one end of a new connection to a writer at the other.
	through := func(from io.Reader, to io.Writer) error {
		sent := make(chan error, 1)
		go func() {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			if err == nil {
				_, err = io.Copy(c, from)
				err = errors.Join(err, c.Close())
			}
			sent <- err
		}()
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.Copy(to, c)
		return errors.Join(err, <-sent)
	}
	began := time.Now()
	if err := errors.Join(through(noise(size), f), f.Sync()); err != nil {
		return 0, 0, err
	}
	up = time.Since(began).Seconds()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, 0, err
	}
	began = time.Now()
	err = through(f, io.Discard)
	return up, time.Since(began).Seconds(), err
}
