package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// mlflowPython is the interpreter with MLflow's client.
func mlflowPython(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("there is no .venv: make venv")
	}
	return path
}

// TestWebhooksOfMLflow: MLflow's own client makes webhooks here, on both databases, and
// MLflow's own code verifies what comes of them.
func TestWebhooksOfMLflow(t *testing.T) {
	unraced(t)
	python := mlflowPython(t)
	for name, start := range map[string]func(t *testing.T) *server{
		"sqlite":   func(t *testing.T) *server { return newServer(t) },
		"postgres": func(t *testing.T) *server { return newServer(t, "SLIPWAY_DATABASE="+storetest.Postgres(t).URL) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			own := api.CreateWebhook{Team: "default", Name: "own", URL: "http://127.0.0.1:1/", Events: []string{"alias.moved"}} // which MLflow's client must not see
			if _, err := s.c.CreateWebhook(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			token, err := os.ReadFile(filepath.Join(s.home, "owner.token"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, python, "-W", "ignore", "testdata/webhooks/peer.py", s.url)
			cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_TOKEN="+strings.TrimSpace(string(token)), "MLFLOW_HTTP_REQUEST_MAX_RETRIES=0", "MLFLOW_DISABLE_TELEMETRY=true", "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "all is well\n") {
				t.Fatalf("%v: %s", err, out)
			}
		})
	}
}

// verified gives the id and the body of a delivery that was signed with a secret in the last
// five minutes.
func verified(r *http.Request, secret []byte) (id string, body []byte, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", nil, false
	}
	id = r.Header.Get("X-MLflow-Delivery-Id")
	sent := r.Header.Get("X-MLflow-Timestamp")
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	unix, err := strconv.ParseInt(sent, 10, 64)
	ok = err == nil && time.Since(time.Unix(unix, 0)).Abs() < 5*time.Minute &&
		hmac.Equal([]byte(want), []byte(r.Header.Get("X-MLflow-Signature")))
	return id, body, ok
}

// block gives the example in a language of docs/WEBHOOKS.md.
func block(t *testing.T, language string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/WEBHOOKS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatalf("docs/WEBHOOKS.md has no %s", language)
	}
	return text
}

// goReceiver is the receiver of docs/WEBHOOKS.md in Go, which remembers what it has verified.
func goReceiver(t *testing.T, secret string) (url string, ids func() []string) {
	t.Helper()
	this, err := os.ReadFile("webhooks_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(this), block(t, "go")) {
		t.Error("the receiver in docs/WEBHOOKS.md is not the one that is tested here")
	}
	var mu sync.Mutex
	var all []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, body, ok := verified(r, []byte(secret))
		if !ok || !json.Valid(body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, id)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, all...)
	}
}

// pythonReceiver is the one in Python; next gives what it prints.
func pythonReceiver(t *testing.T, secret string) (url string, next func() string) {
	t.Helper()
	dir := t.TempDir()
	program, file := filepath.Join(dir, "receiver.py"), filepath.Join(dir, "hook.secret")
	for name, text := range map[string]string{program: block(t, "python"), file: secret + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(mlflowPython(t), program, file)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already, if it failed
		_ = cmd.Wait()
	})
	lines := make(chan string, 100)
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	next = func() string {
		select {
		case line := <-lines:
			return line
		case <-time.After(20 * time.Second):
			t.Fatal("the receiver has heard nothing for 20 s")
			return ""
		}
	}
	return "http://127.0.0.1:" + next(), next
}

// TestWebhookReceivers: the receivers of docs/WEBHOOKS.md take what the platform signs, and
// nothing else; a server that is killed while events are recorded loses none of them.
func TestWebhookReceivers(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	const secret = "s3cret-of-the-receivers"
	goURL, ids := goReceiver(t, secret)
	pythonURL, next := pythonReceiver(t, secret)
	var hooks []api.Webhook
	for _, url := range []string{goURL, pythonURL} {
		h, err := s.c.CreateWebhook(ctx, api.CreateWebhook{Team: "risk", Name: "docs", URL: url, Events: []string{"model_version.created"}, Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		hooks = append(hooks, h)
	}
	wrong := "another-secret"
	for _, h := range hooks {
		if r, err := s.c.TestWebhook(ctx, h.ID, ""); err != nil || !r.Arrived {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := s.c.ChangeWebhook(ctx, h.ID, api.ChangeWebhook{Secret: &wrong}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.c.TestWebhook(ctx, h.ID, ""); err != nil || r.Arrived || r.Status != http.StatusUnauthorized {
			t.Errorf("signed with another secret: %+v, %v", r, err)
		}
		right := secret
		if _, err := s.c.ChangeWebhook(ctx, h.ID, api.ChangeWebhook{Secret: &right}); err != nil {
			t.Fatal(err)
		}
	}
	next() // the example
	const versions, killed = 12, 4
	for i := range versions {
		note := []byte(fmt.Sprint(i))
		r := api.RegisterVersion{Team: "risk", Files: []api.File{{Path: "NOTE", Digest: digest(note), Size: int64(len(note))}}}
		open := func(api.File) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(note)), nil }
		if _, err := s.c.UploadVersion(ctx, "fraud", r, open, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		if i%(versions/killed) == 0 {
			if err := s.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = s.cmd.Wait()
			s.up(strings.TrimPrefix(s.url, "http://"))
		}
	}
	for i := range versions { // each once: it knows ids again
		if line := next(); !strings.Contains(line, fmt.Sprintf("'version': '%d'", i+1)) {
			t.Errorf("version %d: %s", i+1, line)
		}
	}
	for range 1000 {
		seen := map[string]bool{}
		for _, id := range ids() {
			seen[id] = true
		}
		if len(seen) == versions+1 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the receiver in Go got %d deliveries", len(ids()))
}
