package dev_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/dev"
	"github.com/slipway-ml/slipway/templates"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// project is a copy of the template whose model is trained already.
func project(t *testing.T) (dir, row string) {
	t.Helper()
	from, err := fs.Sub(templates.FS, "xgboost")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, from); err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join(dir, "golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(golden), "\n")
	var first struct{ Inputs json.RawMessage }
	if err := json.Unmarshal([]byte(line), &first); err != nil {
		t.Fatal(err)
	}
	return dir, fmt.Sprintf(`{"dataframe_records":[%s]}`, first.Inputs)
}

// run serves a project until the test ends.
func run(t *testing.T, dir string, change func(*dev.Options)) (url string, events <-chan dev.Event) {
	t.Helper()
	told := make(chan dev.Event, 100)
	o := dev.Options{File: filepath.Join(dir, "platform.yaml"), Environment: slipway.Production, Watch: true, Home: t.TempDir(), Version: "test",
		Log: slog.New(slog.DiscardHandler), Out: io.Discard, Event: func(e dev.Event) { told <- e }}
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	e := next(t, told)
	if e.Event != "serving" || e.URL == "" {
		t.Fatalf("%+v", e)
	}
	return e.URL, told
}

func next(t *testing.T, events <-chan dev.Event) dev.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		t.Fatal("nothing happens")
		return dev.Event{}
	}
}

func ask(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func edit(t *testing.T, file, old, with string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), old) {
		t.Fatal(err, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReload: what changes is served when it is good, the state before when it is not, and
// no request fails meanwhile.
func TestReload(t *testing.T) {
	dir, row := project(t)
	url, events := run(t, dir, nil)
	stop := make(chan struct{})
	var load sync.WaitGroup
	var sent atomic.Int64
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, text, _ := ask(t, "POST", url+"/invocations", row); code != http.StatusOK {
					t.Errorf("%d %s", code, text)
					return
				}
				sent.Add(1)
			}
		})
	}
	file := filepath.Join(dir, "platform.yaml")
	edit(t, file, "cpu: 500m", "cpu: 700m")
	if e := next(t, events); e.Event != "reloaded" || e.Name != "fraud" || len(e.First) != 2 {
		t.Errorf("%+v", e)
	}
	edit(t, file, "kind: RealtimeModel", "kind: Nonsense")
	if e := next(t, events); e.Event != "refused" || e.Problem == nil {
		t.Errorf("%+v", e)
	}
	if _, text, _ := ask(t, "GET", url+"/dev/status", ""); !strings.Contains(text, `"problem":`) || !strings.Contains(text, `"number":2`) {
		t.Error(text)
	}
	edit(t, file, "kind: Nonsense", "kind: RealtimeModel")
	if e := next(t, events); e.Event != "reloaded" {
		t.Errorf("%+v", e)
	}
	if _, text, _ := ask(t, "GET", url+"/dev/status", ""); strings.Contains(text, `"problem":`) || !strings.Contains(text, `"number":3`) {
		t.Error(text)
	}
	edit(t, filepath.Join(dir, "golden.jsonl"), `"predict": 1`, `"predict": 0`)
	if e := next(t, events); e.Event != "reloaded" || !strings.Contains(fmt.Sprint(e.Checks), "golden") || !failed(e) {
		t.Errorf("%+v", e)
	}
	close(stop)
	load.Wait()
	if sent.Load() == 0 {
		t.Error("nothing was sent")
	}
}

func failed(e dev.Event) bool {
	for _, c := range e.Checks {
		if c.Verdict.String() == "fail" {
			return true
		}
	}
	return false
}

// TestContract: the paths, answers and errors are those of the platform.
func TestContract(t *testing.T) {
	dir, row := project(t)
	url, _ := run(t, dir, func(o *dev.Options) { o.Watch = false })
	for _, tt := range []struct {
		method, path, body, want string
		code                     int
		header                   []string
	}{
		{"GET", "/v2/models/fraud", "", `"name":"fraud"`, 200, nil},
		{"GET", "/v2/health/ready", "", `"ready":true`, 200, nil},
		{"POST", "/invocations", row, `{"predictions":[`, 200, nil},
		{"POST", "/endpoints/fraud/invocations", row, `{"predictions":[`, 200, nil},
		{"GET", "/endpoints/other/invocations", "", `no such path`, 404, nil},
		{"POST", "/invocations", `{"dataframe_records":[{"amount":1}]}`, `"code":"SLIP-E0501"`, 422, nil},
		{"POST", "/v2/models/fraud/infer", `{`, `"code":"SLIP-E0502"`, 400, nil},
		{"GET", "/", "", `<script src="/playground.js" defer></script>`, 200, nil},
		{"GET", "/playground.js", "", `"use strict"`, 200, nil},
		{"GET", "/playground.css", "", `prefers-color-scheme`, 200, nil},
		{"GET", "/page/../../etc/passwd", "", `no such path`, 404, nil},
		{"GET", "/", "", "this machine alone", 403, []string{"Host", "rebound.example"}},
		{"POST", "/invocations", row, "this machine alone", 403, []string{"Host", "rebound.example:80"}},
		{"GET", "/v2", "", `"name":"slipway"`, 200, []string{"Host", "localhost:1"}},
		{"GET", "/v2", "", `"name":"slipway"`, 200, []string{"Host", "[::1]:1"}},
	} {
		code, text, header := ask(t, tt.method, url+tt.path, tt.body, tt.header...)
		if code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, code, text, tt.code, tt.want)
		}
		if header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s lets other pages read it", tt.path)
		}
		if tt.path == "/" && code == 200 && !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'") {
			t.Error(header)
		}
	}
	_, text, _ := ask(t, "GET", url+"/dev/status", "")
	var status struct {
		Inputs  []struct{ Name, Datatype string }
		Example []struct {
			Name  string
			Shape []int
		}
		Checks []struct{ Verdict string }
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || len(status.Inputs) != 16 || len(status.Example) != 16 || status.Example[0].Shape[0] != 3 || len(status.Checks) != 3 {
		t.Errorf("%v %s", err, text)
	}
}

// TestPage: the page names nothing elsewhere, and runs nothing but its own script.
func TestPage(t *testing.T) {
	for _, name := range []string{"playground.html", "playground.js", "playground.css"} {
		b, err := os.ReadFile(filepath.Join("page", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"http://", "https://", "//cdn", "innerHTML", "eval(", "onclick", "style=", "document.write"} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
}

func TestOnce(t *testing.T) {
	dir, _ := project(t)
	var told []dev.Event
	once := func() error {
		told = nil
		return dev.Run(t.Context(), dev.Options{File: filepath.Join(dir, "platform.yaml"), Environment: slipway.Production, Once: true, Home: t.TempDir(),
			Log: slog.New(slog.DiscardHandler), Out: io.Discard, Event: func(e dev.Event) { told = append(told, e) }})
	}
	if err := once(); err != nil || len(told) != 1 || len(told[0].First) != 2 || failed(told[0]) {
		t.Errorf("%v %+v", err, told)
	}
	edit(t, filepath.Join(dir, "golden.jsonl"), `"predict": 1`, `"predict": 0`)
	if err := once(); !errors.Is(err, &slipway.Error{Code: slipway.CodeGate}) {
		t.Error(err)
	}
	for _, tt := range []struct{ file, old, with, code string }{
		{"platform.yaml", "source: ./model ", "source: fraud:3 ", slipway.CodeInvalid},
		{"platform.yaml", "source: fraud:3 ", "source: ./none ", slipway.CodeModelDir},
		{"platform.yaml", "source: ./none ", "sauce: ./model ", slipway.CodeSpec},
	} {
		edit(t, filepath.Join(dir, tt.file), tt.old, tt.with)
		if err := once(); slipway.AsError(err).Code != tt.code || slipway.AsError(err).Next == "" {
			t.Errorf("%s: %v", tt.with, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "platform.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := once(); slipway.AsError(err).Code != slipway.CodeIO {
		t.Error(err)
	}
}

// TestChanges: many files that are written one after the other are one change, and what
// interpreters leave is none.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, fmt.Append(nil, time.Now().UnixNano()), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var n atomic.Int64
		done := make(chan struct{})
		write("a")
		go func() {
			defer close(done)
			dev.Changes(ctx, func() []string { return []string{dir} }, func() { n.Add(1) })
		}()
		for i := range 20 {
			time.Sleep(100 * time.Millisecond)
			write(fmt.Sprint("model/f", i))
		}
		time.Sleep(2 * time.Second)
		if n.Load() != 1 {
			t.Errorf("%d changes while files are written", n.Load())
		}
		write("__pycache__/x")
		write(".git/x")
		time.Sleep(2 * time.Second)
		if n.Load() != 1 {
			t.Errorf("%d changes after what does not count", n.Load())
		}
		if err := os.Remove(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n.Load() != 2 {
			t.Errorf("%d changes after a file is gone", n.Load())
		}
		stop()
		<-done
	})
}
