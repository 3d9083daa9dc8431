// Package rig is what benches of serving share: a platform to measure, and the load.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const connections = 16

// Row is one request body: 30 numbers.
func Row() string {
	values := make([]string, 30)
	for i := range values {
		values[i] = strconv.FormatFloat(float64(i)*1.37+0.25, 'g', -1, 64)
	}
	return `{"inputs":[{"name":"x","shape":[1,30],"datatype":"FP64","data":[` + strings.Join(values, ",") + `]}]}`
}

// Request is one request to the endpoint bench, with its head.
func Request(addr, token, body string) []byte { return Post(Path, addr, token, body) }

// Path is where the endpoint bench answers.
const Path = "/v2/models/bench/infer"

// Post is one request with its head.
func Post(path, addr, token, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, token, len(body), body)
}

// Exchange sends a request on a kept connection and reads the answer: the least that a
// client can do, since it runs on the same processors as what it measures.
func Exchange(c net.Conn, r *bufio.Reader, req []byte) (status int, err error) {
	if _, err := c.Write(req); err != nil {
		return 0, err
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if length < 0 {
				return 0, errors.New("an answer without a length")
			}
			_, err = r.Discard(length)
			return status, err
		case status == 0:
			if len(line) < 12 {
				return 0, errors.New("no status line")
			}
			status, err = strconv.Atoi(string(line[9:12]))
		case len(line) > 15 && bytes.EqualFold(line[:15], []byte("Content-Length:")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:])))
		}
		if err != nil {
			return 0, err
		}
	}
}

// askUntil asks on one connection until ctx ends, and gives how long each answer took.
func askUntil(ctx context.Context, addr string, req []byte) (took []time.Duration, err error) {
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for ctx.Err() == nil {
		began := time.Now()
		status, err := Exchange(c, r, req)
		if err != nil || status != 200 {
			return took, fmt.Errorf("status %d: %w", status, errors.Join(err, io.ErrUnexpectedEOF))
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// Paced is a paced load; bad is what was lost or answered otherwise than 200.
type Paced struct {
	sent, bad atomic.Int64
	first     atomic.Pointer[string]
	Stop      context.CancelFunc
	wg        sync.WaitGroup
}

// StartPaced sends so many requests a second on 16 connections, until End or Stop.
func StartPaced(addr string, req []byte, perSecond int) *Paced {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Paced{Stop: cancel}
	for i := range connections {
		l.wg.Go(func() {
			tick := time.NewTicker(connections * time.Second / time.Duration(perSecond))
			defer tick.Stop()
			time.Sleep(time.Duration(i) * time.Second / time.Duration(perSecond))
			var c net.Conn
			var r *bufio.Reader
			for {
				select {
				case <-ctx.Done():
					if c != nil {
						c.Close()
					}
					return
				case <-tick.C:
				}
				l.sent.Add(1)
				var err error
				status := 0
				if c == nil {
					if c, err = new(net.Dialer).DialContext(context.Background(), "tcp", addr); err == nil {
						r = bufio.NewReader(c)
					}
				}
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(10 * time.Second))
					status, err = Exchange(c, r, req)
				}
				if err != nil || status != 200 {
					l.bad.Add(1)
					text := fmt.Sprintf("status %d, %v", status, err)
					l.first.CompareAndSwap(nil, &text)
					if c != nil {
						c.Close()
					}
					c = nil
				}
			}
		})
	}
	return l
}

// End ends the load and says what became of it.
func (l *Paced) End() (sent, bad int64) {
	l.Stop()
	l.wg.Wait()
	if t := l.first.Load(); t != nil {
		figure.Note("first of %d failures: %s", l.bad.Load(), *t)
	}
	return l.sent.Load(), l.bad.Load()
}

// Measure is the requests a second of so many connections, each asking as soon as it has
// its answer, and the 99 % quantile of the time to an answer.
func Measure(ctx context.Context, addr string, req []byte, connections int, length time.Duration) (float64, time.Duration, error) {
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
