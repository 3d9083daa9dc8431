package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mlflow is a client of MLflow's API that does not try twice.
type mlflow struct {
	base, token string
}

func (s *server) mlflow(t *testing.T) mlflow {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		t.Fatal(err)
	}
	return mlflow{s.url + "/api/2.0/mlflow", strings.TrimSpace(string(token))}
}

// call sends in as JSON, or nothing with GET, and decodes the answer into out. Any answer but
// 200 is an error.
func (m mlflow) call(ctx context.Context, method, path string, in, out any) error {
	body := new(bytes.Buffer)
	if in != nil {
		if err := json.NewEncoder(body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

type object = map[string]any

// TestKilledWhileLogging kills the server while clients of MLflow log batches. What was
// answered 200 is there afterwards, and a batch is there whole or not at all.
func TestKilledWhileLogging(t *testing.T) {
	unraced(t)
	onBoth(t, killedWhileLogging)
}

func killedWhileLogging(t *testing.T, s *server) {
	for round := range 3 {
		m := s.mlflow(t)
		var runs [4]logged
		for i := range runs {
			runs[i].id = m.createRun(t)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range runs {
			wg.Go(func() {
				for ctx.Err() == nil && m.logBatch(ctx, runs[i].id, runs[i].acked) == nil {
					runs[i].acked++
				}
			})
		}
		time.Sleep(time.Duration(200+round*150) * time.Millisecond) // anywhere in the work
		s.signal(syscall.SIGKILL)
		cancel()
		wg.Wait()
		_ = s.cmd.Wait() // killed
		s.up(strings.TrimPrefix(s.url, "http://"))
		for _, l := range runs {
			l.check(t, s.mlflow(t))
		}
	}
}

// logged is a run to which batches were sent: the first acked were answered 200, and at most
// one more was sent.
type logged struct {
	id    string
	acked int
}

const perBatch = 10

func (m mlflow) createRun(t *testing.T) string {
	t.Helper()
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := m.call(t.Context(), http.MethodPost, "/runs/create", object{"experiment_id": "0"}, &made); err != nil {
		t.Fatal(err)
	}
	return made.Run.Info.ID
}

func (m mlflow) logBatch(ctx context.Context, run string, i int) error {
	metrics := make([]object, perBatch)
	for j := range metrics {
		metrics[j] = object{"key": fmt.Sprint("m", j), "value": float64(i) / 3, "timestamp": i, "step": i}
	}
	return m.call(ctx, http.MethodPost, "/runs/log-batch", object{
		"run_id": run, "metrics": metrics, "params": []object{{"key": fmt.Sprint("p", i), "value": "v"}}, "tags": []object{{"key": "last", "value": fmt.Sprint(i)}},
	}, nil)
}

func (l *logged) check(t *testing.T, m mlflow) {
	t.Helper()
	var run struct {
		Run struct {
			Data struct {
				Params []object `json:"params"`
				Tags   []object `json:"tags"`
			} `json:"data"`
		} `json:"run"`
	}
	if err := m.call(t.Context(), http.MethodGet, "/runs/get?run_id="+l.id, nil, &run); err != nil {
		t.Fatal(err)
	}
	batches := len(run.Run.Data.Params)
	if l.acked == 0 || batches < l.acked || batches > l.acked+1 {
		t.Errorf("%d batches were answered, %d are there", l.acked, batches)
	}
	for _, tag := range run.Run.Data.Tags {
		if tag["key"] == "last" && tag["value"] != fmt.Sprint(batches-1) {
			t.Errorf("the tag is of batch %v, and %d are there", tag["value"], batches)
		}
	}
	for j := range perBatch {
		var history struct {
			Metrics []struct {
				Value float64 `json:"value"`
				Step  int     `json:"step"`
			} `json:"metrics"`
		}
		path := fmt.Sprintf("/metrics/get-history?run_id=%s&metric_key=m%d&max_results=25000", l.id, j)
		if err := m.call(t.Context(), http.MethodGet, path, nil, &history); err != nil {
			t.Fatal(err)
		}
		if len(history.Metrics) != batches {
			t.Errorf("metric %d has %d values, and the run has %d batches", j, len(history.Metrics), batches)
		}
		for _, h := range history.Metrics {
			if h.Value != float64(h.Step)/3 {
				t.Errorf("step %d has %v", h.Step, h.Value)
			}
		}
	}
}
