package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const mlflowArtifacts = "/api/2.0/mlflow-artifacts/"

// ask sends a request to the artifact proxy, or to an address that it gave; status 0: no
// answer came.
func (s *server) ask(method, path, content string) (status int, body string, h http.Header) {
	s.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = s.url + mlflowArtifacts + path
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", nil
	}
	return resp.StatusCode, string(b), resp.Header
}

// lines is some text that no other file has.
func lines(i, size int) string {
	line := fmt.Sprintf("line of file %d\n", i)
	return strings.Repeat(line, size/len(line)+1)
}

// TestKilledWhileUploading: what was answered 200 is there with its bytes after the server was
// killed at any moment, and of the rest nothing shows. An upload in parts goes on where it was.
func TestKilledWhileUploading(t *testing.T) {
	unraced(t)
	s := newServer(t)
	status, body, _ := s.ask(http.MethodPost, "mpu/create/runs", `{"path":"big.bin","num_parts":6}`)
	var u struct {
		ID          string `json:"upload_id"`
		Credentials []struct {
			URL string `json:"url"`
		} `json:"credentials"`
	}
	if err := json.Unmarshal([]byte(body), &u); err != nil || status != 200 || len(u.Credentials) != 6 {
		t.Fatal(status, body, err)
	}
	acked := map[int]int{} // sizes
	var etags []string
	next := 0
	for round := range 4 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			first := next
			next += 100
			wg.Go(func() {
				for i := first; i < first+100; i++ {
					size := rand.IntN(400_000)
					status, body, _ := s.ask(http.MethodPut, fmt.Sprintf("artifacts/runs/%d/x.txt", i), lines(i, size))
					if status != 200 {
						if status != 0 && status != 503 && status != 502 {
							t.Errorf("%d %s", status, body)
						}
						return
					}
					mu.Lock()
					acked[i] = size
					mu.Unlock()
				}
			})
		}
		if part := len(etags); part < 5 {
			status, body, h := s.ask(http.MethodPut, u.Credentials[part].URL, lines(part, 300_000))
			if status != 200 {
				t.Fatal(status, body)
			}
			etags = append(etags, h.Get("ETag"))
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		wg.Wait()
		s.up(strings.TrimPrefix(s.url, "http://"))
		if left, err := filepath.Glob(filepath.Join(s.home, "blobs", "incoming", "*")); err != nil || len(left) != 0 {
			t.Errorf("round %d: %v is left of uploads", round, left)
		}
	}
	for i, size := range acked {
		if status, body, _ := s.ask(http.MethodGet, fmt.Sprintf("artifacts/runs/%d/x.txt", i), ""); status != 200 || body != lines(i, size) {
			t.Errorf("file %d was acknowledged: %d, %d bytes", i, status, len(body))
		}
	}
	t.Logf("%d files were acknowledged", len(acked))
	if len(acked) == 0 {
		t.Error("nothing was tried")
	}
	if status, body, _ := s.ask(http.MethodGet, "artifacts/runs/big.bin", ""); status != 404 {
		t.Errorf("an unfinished upload: %d %.100s", status, body)
	}
	s.finish(u.ID, "runs", etags, func(n int) string { return u.Credentials[n].URL }, 6)
}

// finish sends the parts that are missing, and looks at the whole.
func (s *server) finish(id, dir string, etags []string, address func(int) string, parts int) {
	s.t.Helper()
	type part struct {
		Number int    `json:"part_number"`
		ETag   string `json:"etag"`
	}
	done := struct {
		Path   string `json:"path"`
		Upload string `json:"upload_id"`
		Parts  []part `json:"parts"`
	}{"big.bin", id, nil}
	want := ""
	for n := range parts {
		want += lines(n, 300_000)
		if n >= len(etags) {
			_, _, h := s.ask(http.MethodPut, address(n), lines(n, 300_000))
			etags = append(etags, h.Get("ETag"))
		}
		done.Parts = append(done.Parts, part{n + 1, etags[n]})
	}
	b, err := json.Marshal(done)
	if err != nil {
		s.t.Fatal(err)
	}
	if status, body, _ := s.ask(http.MethodPost, "mpu/complete/"+dir, string(b)); status != 200 {
		s.t.Fatal(status, body)
	}
	if status, body, _ := s.ask(http.MethodGet, "artifacts/"+dir+"/big.bin", ""); status != 200 || body != want {
		s.t.Errorf("the whole: %d, %d bytes of %d", status, len(body), len(want))
	}
}

// TestArtifactsInABucket: artifacts and the files of models are in a bucket, encrypted; what
// was stored before is read where it is. Without the bucket the home does not start, for it
// would seem to have lost them.
func TestArtifactsInABucket(t *testing.T) {
	unraced(t)
	backend := s3mem.New()
	if err := backend.CreateBucket("store"); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(gofakes3.New(backend).Server())
	defer service.Close()
	env := []string{"SLIPWAY_ARTIFACTS_ACCESS_KEY_ID=id", "SLIPWAY_ARTIFACTS_SECRET_ACCESS_KEY=the-secret"}
	s := newServerWith(t, lookPath(t), nil, env...)
	if status, body, _ := s.ask(http.MethodPut, "artifacts/runs/before.txt", "stored before"); status != 200 {
		t.Fatal(status, body)
	}
	if _, err := platform(t, nil, "down", "--home", s.home); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s.args = []string{"--artifacts", "s3://store/of/one?region=us-east-1&endpoint=" + service.URL}
	s.up("127.0.0.1:0")
	s.deployed("one")
	if got := s.predicted(t.Context()); got == "" {
		t.Error("it predicts nothing")
	}
	text := lines(1, 300_000)
	if status, body, _ := s.ask(http.MethodPut, "artifacts/runs/x.txt", text); status != 200 {
		t.Fatal(status, body)
	}
	for path, want := range map[string]string{"before.txt": "stored before", "x.txt": text} {
		if status, body, _ := s.ask(http.MethodGet, "artifacts/runs/"+path, ""); status != 200 || body != want {
			t.Errorf("%s: %d, %d bytes", path, status, len(body))
		}
	}
	here, err := filepath.Glob(filepath.Join(s.home, "blobs", "*", "*.sealed"))
	if err != nil || len(here) != 1 {
		t.Errorf("%v are in the home, %v", here, err)
	}
	list, err := backend.ListBucket("store", nil, gofakes3.ListBucketPage{})
	if err != nil || len(list.Contents) < 5 {
		t.Errorf("%d objects, %v", len(list.Contents), err)
	}
	for _, o := range list.Contents {
		got, err := backend.GetObject("store", o.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(got.Contents)
		if err != nil || strings.Contains(string(b), "line of file") || !strings.HasPrefix(o.Key, "of/one/") {
			t.Errorf("%s: %v, or it lies in clear", o.Key, err)
		}
	}
	if _, err := platform(t, nil, "down", "--home", s.home); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	_, err = platform(t, env, "up", "--home", s.home, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "s3://store/of/one") {
		t.Errorf("without the bucket: %v", err)
	}
	s.up("127.0.0.1:0")
}

// TestRefusedUploads: who sends much and is refused learns why, each time: clients of MLflow
// would take a broken connection for one that will work later, and try for minutes.
func TestRefusedUploads(t *testing.T) {
	s := newServer(t)
	large := strings.Repeat("x", 40<<20)
	for range 3 {
		for path, want := range map[string]int{"artifacts/999/x": 404, "artifacts/a%2f..%2f..%2fb": 400, "signed/none/1": 403, "none/x": 404} {
			if status, body, _ := s.ask(http.MethodPut, path, large); status != want {
				t.Errorf("%s: %d %.200s, want %d", path, status, body, want)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+mlflowArtifacts+"artifacts/runs/x", strings.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer expired")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a good token: %d", resp.StatusCode)
		}
	}
}
