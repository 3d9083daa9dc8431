package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update rewrites it): %s", file, diff)
	}
}

// machine is a user's machine: a directory, an environment and a home with a server.
type machine struct {
	t        *testing.T
	env      cli.Env
	vars     map[string]string
	out, err bytes.Buffer
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newMachine has a home whose server is the handler; nil for none.
func newMachine(t *testing.T, h http.Handler) *machine {
	t.Helper()
	m := &machine{t: t, vars: map[string]string{"SLIPWAY_HOME": t.TempDir()}}
	m.env = cli.Env{Stdin: strings.NewReader(""), Stdout: &m.out, Stderr: &m.err, Dir: t.TempDir(), Version: "1.2.3",
		Getenv: func(k string) string { return m.vars[k] }, Now: func() time.Time { return noon }}
	if h != nil {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		m.serve(s.URL)
	}
	return m
}

func (m *machine) serve(url string) {
	m.t.Helper()
	for name, content := range map[string]string{"address": url + "\n", "owner.token": "owner-token\n"} {
		if err := os.WriteFile(filepath.Join(m.vars["SLIPWAY_HOME"], name), []byte(content), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}

// project writes the example project into the working directory.
func (m *machine) project() *machine {
	m.t.Helper()
	from := filepath.Join("..", "..", "templates", "xgboost")
	if err := os.CopyFS(m.env.Dir, os.DirFS(from)); err != nil {
		m.t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join("testdata", "platform.yaml"))
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("platform.yaml", string(src))
	return m
}

func (m *machine) write(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.env.Dir, name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// run runs a command line, whose words have no spaces, and checks the exit code.
func (m *machine) run(code int, line string, more ...string) (stdout, stderr string) {
	m.t.Helper()
	return m.runIn(context.Background(), code, line, more...)
}

func (m *machine) runIn(ctx context.Context, code int, line string, more ...string) (stdout, stderr string) {
	m.t.Helper()
	m.out.Reset()
	m.err.Reset()
	if got := cli.Run(ctx, m.env, append(strings.Fields(line), more...)); got != code {
		m.t.Errorf("platform %s: exit code %d, want %d\n%s%s", line, got, code, m.out.String(), m.err.String())
	}
	return m.out.String(), m.err.String()
}

// contains checks that text has all the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

// replies is a server that answers each path ("GET /v1/endpoints") with a value, and
// remembers the bodies it got.
type replies struct {
	t      *testing.T
	values map[string]any
	got    map[string]string
}

func newReplies(t *testing.T, values map[string]any) *replies {
	return &replies{t: t, values: values, got: map[string]string{}}
}

func (s *replies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if auth := r.Header.Get("Authorization"); auth != "Bearer owner-token" {
		s.t.Errorf("%s came with %q", r.URL.Path, auth)
	}
	key := r.Method + " " + r.URL.Path
	b, _ := io.ReadAll(r.Body)
	s.got[key] = string(b)
	switch v := s.values[key].(type) {
	case nil:
		problem(w, 404, "SLIP-E0003", "nothing at "+key)
	case api.Problem:
		problem(w, v.Status, v.Code, v.Detail)
	default:
		_ = json.NewEncoder(w).Encode(v)
	}
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Status: status, Code: code, Detail: detail, Next: "platform status"})
}
