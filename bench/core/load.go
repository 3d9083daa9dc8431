package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const connections = 16

// row is one request body: 30 numbers.
func row() string {
	values := make([]string, 30)
	for i := range values {
		values[i] = strconv.FormatFloat(float64(i)*1.37+0.25, 'g', -1, 64)
	}
	return `{"inputs":[{"name":"x","shape":[1,30],"datatype":"FP64","data":[` + strings.Join(values, ",") + `]}]}`
}

func request(addr, token, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, token, len(body), body)
}

// exchange sends a request on a kept connection and reads the answer: the least that a
// client can do, since it runs on the same processors as what it measures.
func exchange(c net.Conn, r *bufio.Reader, req []byte) (status int, err error) {
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

// throughput is the requests a second of 16 connections, each asking as soon as it has its
// answer.
func throughput(ctx context.Context, addr string, req []byte, length time.Duration) (float64, error) {
	rate, _, err := measure(ctx, addr, req, connections, length)
	return rate, err
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
		status, err := exchange(c, r, req)
		if err != nil || status != 200 {
			return took, fmt.Errorf("status %d: %w", status, errors.Join(err, io.ErrUnexpectedEOF))
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// load is a paced load; bad is what was lost or answered otherwise than 200.
type load struct {
	sent, bad atomic.Int64
	first     atomic.Pointer[string]
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

func startLoad(addr string, req []byte, perSecond int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
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
					status, err = exchange(c, r, req)
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

func (l *load) end() (sent, bad int64) {
	l.stop()
	l.wg.Wait()
	if t := l.first.Load(); t != nil {
		figure.Note("first of %d failures: %s", l.bad.Load(), *t)
	}
	return l.sent.Load(), l.bad.Load()
}
