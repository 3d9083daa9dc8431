package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const connections = 16

// call is one request: a query for GET, else a body.
type call struct {
	method, path string
	query        url.Values
	body         any
}

// client keeps one connection for each of those who ask at once.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}, Timeout: 10 * time.Minute}

// ask sends a call and decodes the answer into out, unless that is nil.
func (s *server) ask(ctx context.Context, c call, out any) error {
	var body io.Reader = http.NoBody
	if c.body != nil {
		b, err := json.Marshal(c.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, s.url+"/api/2.0/mlflow/"+c.path+"?"+c.query.Encode(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s %s: %s: %s", c.method, c.path, resp.Status, text)
	}
	if out != nil {
		return json.NewDecoder(resp.Body).Decode(out)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// each does something for 0 ≤ i < n, as many at once as there are connections.
func each(n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for w := range connections {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && errs[w] == nil; i = next.Add(1) - 1 {
				errs[w] = do(int(i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// load asks on some connections for a while, each as soon as it has its answer, and gives how
// long each answer took and how many a second there were. Next makes the i-th call of a
// connection. A peer may fail now and then; those are told and not counted.
func (s *server) load(ctx context.Context, conns int, length time.Duration, next func(conn, i int) call) (took []time.Duration, rate float64, err error) {
	var mu sync.Mutex
	var failed int
	var first error
	began := time.Now()
	var wg sync.WaitGroup
	for conn := range conns {
		wg.Go(func() {
			var mine []time.Duration
			bad := 0
			for i := 0; time.Since(began) < length && ctx.Err() == nil; i++ {
				at := time.Now()
				if err := s.ask(ctx, next(conn, i), nil); err != nil {
					bad++
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
					if bad > 100 {
						break
					}
					continue
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), failed+bad
		})
	}
	wg.Wait()
	rate = float64(len(took)) / time.Since(began).Seconds()
	if failed > 0 {
		figure.Note("%d of %d failed, first: %.300v", failed, failed+len(took), first)
		if s.home != "" {
			return nil, 0, fmt.Errorf("the platform failed: %w", first)
		}
	}
	return took, rate, ctx.Err()
}

func p99(took []time.Duration) float64 {
	slices.Sort(took)
	if len(took) == 0 {
		return 0
	}
	return float64(took[min(len(took)-1, len(took)*99/100)].Microseconds()) / 1000
}
