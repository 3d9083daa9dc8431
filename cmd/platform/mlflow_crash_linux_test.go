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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mlflow is an HTTP client of MLflow's API, without a second try.
type mlflow struct {
	base, token string
}

func (s *server) mlflow(t *testing.T) mlflow {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		t.Fatal(err)
	}
	return mlflow{s.url, strings.TrimSpace(string(token))}
}

// send gives the answer's body, and an error for anything but 200.
func (m mlflow) send(ctx context.Context, method, url string, body io.Reader) ([]byte, http.Header, error) {
	if strings.HasPrefix(url, "/") {
		url = m.base + "/api/2.0" + url
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, out)
	}
	return out, resp.Header, err
}

// call sends in as JSON, or nothing with GET, and decodes the answer into out.
func (m mlflow) call(ctx context.Context, method, path string, in, out any) error {
	body := io.Reader(http.NoBody)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	answer, _, err := m.send(ctx, method, path, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

type object = map[string]any

func (m mlflow) createRun(t *testing.T) string {
	t.Helper()
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := m.call(t.Context(), http.MethodPost, "/mlflow/runs/create", object{"experiment_id": "0"}, &made); err != nil {
		t.Fatal(err)
	}
	return made.Run.Info.ID
}

const files = "/mlflow-artifacts/artifacts/0/"

// names are those of the files in a directory.
func (m mlflow) names(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	var list struct {
		Files []struct {
			Path string `json:"path"`
			Size int64  `json:"file_size"`
		} `json:"files"`
	}
	if err := m.call(t.Context(), http.MethodGet, "/mlflow-artifacts/artifacts?path="+url.QueryEscape("0/"+dir), nil, &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, f := range list.Files {
		out[f.Path] = f.Size
	}
	return out
}

// content is what the i-th file of a test has.
func bodyOf(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 8<<10) }

// TestMLflowKills kills the server while clients of MLflow log batches and upload files. What
// was answered 200 is there afterwards, a batch is there whole or not at all, a file that had
// not come whole shows nowhere, and an upload in parts goes on where it was.
func TestMLflowKills(t *testing.T) { onBoth(t, mlflowKillsOf) }

func mlflowKillsOf(t *testing.T, s *server) {
	for round := range 3 {
		m := s.mlflow(t)
		var batches [4]logged
		for i := range batches {
			batches[i].run = m.createRun(t)
		}
		uploads := logged{run: m.createRun(t)}
		parts := m.begin(t, uploads.run)
		parts.put(t, m, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range batches {
			wg.Go(func() { batches[i].until(ctx, m.logBatch) })
		}
		wg.Go(func() { uploads.until(ctx, m.upload) })
		half, stuck := io.Pipe()
		wg.Go(func() {
			_, _, err := m.send(ctx, http.MethodPut, files+uploads.run+"/artifacts/half", half)
			half.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		})
		if _, err := stuck.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(100+round*150) * time.Millisecond) // anywhere in the work
		s.signal(syscall.SIGKILL)
		cancel()
		_ = stuck.CloseWithError(io.ErrUnexpectedEOF)
		wg.Wait()
		_ = s.cmd.Wait() // killed
		s.up(strings.TrimPrefix(s.url, "http://"))

		m = s.mlflow(t)
		for i := range batches {
			batches[i].checkMetrics(t, m)
		}
		uploads.checkFiles(t, m)
		for n := 2; n <= 3; n++ {
			parts.put(t, m, n)
		}
		parts.complete(t, m)
	}
}

// logged is what was sent for a run: the first acked of it were answered 200, and at most one
// more was sent.
type logged struct {
	run   string
	acked int
}

func (l *logged) until(ctx context.Context, send func(ctx context.Context, run string, i int) error) {
	for ctx.Err() == nil && send(ctx, l.run, l.acked) == nil {
		l.acked++
	}
}

const perBatch = 10

func (m mlflow) logBatch(ctx context.Context, run string, i int) error {
	metrics := make([]object, perBatch)
	for j := range metrics {
		metrics[j] = object{"key": fmt.Sprint("m", j), "value": float64(i) / 3, "timestamp": i, "step": i}
	}
	return m.call(ctx, http.MethodPost, "/mlflow/runs/log-batch", object{
		"run_id": run, "metrics": metrics, "params": []object{{"key": fmt.Sprint("p", i), "value": "v"}}, "tags": []object{{"key": "last", "value": fmt.Sprint(i)}},
	}, nil)
}

func (m mlflow) upload(ctx context.Context, run string, i int) error {
	_, _, err := m.send(ctx, http.MethodPut, fmt.Sprintf("%s%s/artifacts/file-%d", files, run, i), bytes.NewReader(bodyOf(i)))
	return err
}

func (l *logged) checkMetrics(t *testing.T, m mlflow) {
	t.Helper()
	var counts [perBatch]int
	for j := range counts {
		var history struct {
			Metrics []struct {
				Value float64 `json:"value"`
				Step  int     `json:"step"`
			} `json:"metrics"`
		}
		path := fmt.Sprintf("/mlflow/metrics/get-history?run_id=%s&metric_key=m%d&max_results=25000", l.run, j)
		if err := m.call(t.Context(), http.MethodGet, path, nil, &history); err != nil {
			t.Fatal(err)
		}
		for _, h := range history.Metrics {
			if h.Value != float64(h.Step)/3 {
				t.Errorf("step %d has %v", h.Step, h.Value)
			}
		}
		counts[j] = len(history.Metrics)
	}
	var run struct {
		Run struct {
			Data struct {
				Params []object `json:"params"`
			} `json:"data"`
		} `json:"run"`
	}
	if err := m.call(t.Context(), http.MethodGet, "/mlflow/runs/get?run_id="+l.run, nil, &run); err != nil {
		t.Fatal(err)
	}
	got := len(run.Run.Data.Params)
	if l.acked == 0 || got < l.acked || got > l.acked+1 {
		t.Errorf("%d batches were answered, %d are there", l.acked, got)
	}
	for j, n := range counts {
		if n != got {
			t.Errorf("metric %d has %d values, and the run has %d batches", j, n, got)
		}
	}
}

func (l *logged) checkFiles(t *testing.T, m mlflow) {
	t.Helper()
	names := m.names(t, l.run+"/artifacts")
	if l.acked == 0 || len(names) < l.acked || len(names) > l.acked+1 {
		t.Errorf("%d files were answered, %d are there: %v", l.acked, len(names), names)
	}
	for i := range l.acked {
		got, _, err := m.send(t.Context(), http.MethodGet, fmt.Sprintf("%s%s/artifacts/file-%d", files, l.run, i), http.NoBody)
		if err != nil || !bytes.Equal(got, bodyOf(i)) {
			t.Errorf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
	for _, half := range []string{"half", "parts.bin"} {
		if _, there := names[half]; there {
			t.Errorf("%s is listed, and had not come whole", half)
		}
		if got, _, err := m.send(t.Context(), http.MethodGet, files+l.run+"/artifacts/"+half, http.NoBody); err == nil {
			t.Errorf("%s has %d bytes, and had not come whole", half, len(got))
		}
	}
}

// inParts is an upload in three parts.
type inParts struct {
	run  string
	id   string
	urls []string
	sent []object
}

func (m mlflow) begin(t *testing.T, run string) *inParts {
	t.Helper()
	var made struct {
		ID          string `json:"upload_id"`
		Credentials []struct {
			URL string `json:"url"`
		} `json:"credentials"`
	}
	in := object{"path": "/tmp/parts.bin", "num_parts": 3}
	if err := m.call(t.Context(), http.MethodPost, "/mlflow-artifacts/mpu/create/0/"+run+"/artifacts", in, &made); err != nil {
		t.Fatal(err)
	}
	p := &inParts{run: run, id: made.ID}
	for _, c := range made.Credentials {
		p.urls = append(p.urls, c.URL)
	}
	return p
}

// put sends the n-th part without a token, as clients do.
func (p *inParts) put(t *testing.T, m mlflow, n int) {
	t.Helper()
	m.token = ""
	_, header, err := m.send(t.Context(), http.MethodPut, p.urls[n-1], bytes.NewReader(bodyOf(n)))
	if err != nil {
		t.Fatal(err)
	}
	p.sent = append(p.sent, object{"part_number": n, "etag": header.Get("ETag"), "url": p.urls[n-1]})
}

func (p *inParts) complete(t *testing.T, m mlflow) {
	t.Helper()
	in := object{"path": "/tmp/parts.bin", "upload_id": p.id, "parts": p.sent}
	if err := m.call(t.Context(), http.MethodPost, "/mlflow-artifacts/mpu/complete/0/"+p.run+"/artifacts", in, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := m.send(t.Context(), http.MethodGet, files+p.run+"/artifacts/parts.bin", http.NoBody)
	if err != nil || !bytes.Equal(got, bytes.Join([][]byte{bodyOf(1), bodyOf(2), bodyOf(3)}, nil)) {
		t.Errorf("the upload in parts has %d bytes, %v", len(got), err)
	}
}
