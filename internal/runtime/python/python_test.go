package python_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/python"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// interpreter is a Python that has what models of the tests need; the Makefile makes it.
func interpreter(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("there is no .venv: make venv")
	}
	return path
}

// prints collects what workers print.
type prints struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *prints) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buf.Len() < 1<<20 {
		p.buf.Write(b)
	}
	return len(b), nil
}

func (p *prints) Flush() {}

func (p *prints) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// pool starts workers for a model directory.
func pool(t *testing.T, dir string, change func(*python.Options)) (*python.Pool, *prints, tensor.Schema, error) {
	t.Helper()
	m, err := mlmodel.Read(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := m.Schema(nil)
	if err != nil {
		t.Fatal(err)
	}
	said := &prints{}
	o := python.Options{Python: interpreter(t), Dir: dir, Model: m, Workers: 1, Threads: 1, MaxRows: 256,
		StartTimeout: time.Minute, Stuck: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(said, nil)),
		Connect: func(ctx context.Context, c net.Conn) (python.Conn, error) { return runtime.Connect(ctx, c) },
		Output:  func(string) python.Output { return said }}
	if change != nil {
		change(&o)
	}
	p, err := python.Start(t.Context(), o)
	if err == nil {
		t.Cleanup(p.Stop)
	}
	return p, said, schema, err
}

// TestAnswers holds the answers to those of the libraries themselves.
func TestAnswers(t *testing.T) {
	py, dir := interpreter(t), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), py, "testdata/train.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("train.py: %v\n%s", err, out)
	}
	models, err := os.ReadDir(dir)
	if err != nil || len(models) < 12 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	for _, model := range models {
		t.Run(model.Name(), func(t *testing.T) {
			at := filepath.Join(dir, model.Name())
			p, said, schema, err := pool(t, filepath.Join(at, "model"), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			request, err := os.ReadFile(filepath.Join(at, "request.json"))
			if err != nil {
				t.Fatal(err)
			}
			in, bad := tensor.ParseInvocations(request, &schema)
			if bad != nil {
				t.Fatal(bad)
			}
			out, err := p.Predict(t.Context(), in)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			compare(t, filepath.Join(at, "answer.json"), out)
		})
	}
}

// compare holds every output to the file.
func compare(t *testing.T, file string, out *tensor.Batch) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(out.Tensors) {
		t.Errorf("%d outputs, want %d", len(out.Tensors), len(want))
	}
	for _, o := range out.Tensors {
		values := flatten(want[o.Name])
		if len(values) != o.Len() {
			t.Errorf("output %s has %d values, want %d", o.Name, o.Len(), len(values))
			continue
		}
		for i, v := range values {
			switch v := v.(type) {
			case string:
				if o.Strings[i] != v {
					t.Errorf("output %s[%d] = %q, want %q", o.Name, i, o.Strings[i], v)
				}
			case float64:
				got := o.Float(i)
				if math.Abs(got-v) > 1e-12*math.Max(1, math.Abs(v)) {
					t.Errorf("output %s[%d] = %v, want %v", o.Name, i, got, v)
				}
			default:
				t.Errorf("output %s[%d] is wanted as %T", o.Name, i, v)
			}
		}
	}
}

func flatten(v any) []any {
	list, ok := v.([]any)
	if !ok {
		return []any{v}
	}
	var out []any
	for _, e := range list {
		out = append(out, flatten(e)...)
	}
	return out
}

// write makes a model directory whose loader is the given Python source.
func write(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"MLmodel": `flavors:
  python_function: {loader_module: own_loader, code: code, data: code}
signature:
  inputs: '[{"name": "x", "type": "double"}]'
  outputs: '[{"name": "y", "type": "double"}]'
`,
		"code/own_loader.py": source,
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// model is the source of a loader whose predict has the given body.
func model(body string) string {
	return "import os, sys, time\nclass M:\n    def predict(self, df, params=None):\n        x = df['x'].to_numpy()\n" +
		"        " + strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n        ") + "\n\ndef _load_pyfunc(path):\n    return M()\n"
}

func TestStartFailures(t *testing.T) {
	for _, tt := range []struct {
		name, source, want string
		limit              time.Duration
	}{
		{"raises", "raise KeyError('weights')", "KeyError", time.Minute},
		{"lacks a module", "import surely_not_there", "No module named 'surely_not_there'", time.Minute},
		{"is no Python", "def (", "SyntaxError", time.Minute},
		{"exits", "import os; os._exit(7)", "exit status 7", time.Minute},
		{"segfaults", "import ctypes; ctypes.string_at(0)", "signal: segmentation fault", time.Minute},
		{"sleeps", "import time; time.sleep(1000)", "not loaded within 3s", 3 * time.Second},
		{"waits for the network", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=500)", "Network is unreachable", time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, said, _, err := pool(t, write(t, tt.source), func(o *python.Options) { o.StartTimeout = tt.limit })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q; it printed:\n%s", err, tt.want, said)
			}
		})
	}
}

// TestNothingIsLeft lets a model start processes that leave its process group, and looks
// for them when the model is gone.
func TestNothingIsLeft(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "alive")
	p, said, _, err := pool(t, write(t, `
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open("`+mark+`", "a").write(".")
            time.sleep(0.01)
    os._exit(0)
`+model("return x")), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	grown := func() bool {
		info, err := os.Stat(mark)
		return err == nil && info.Size() > 0
	}
	for !grown() {
		time.Sleep(5 * time.Millisecond)
	}
	p.Stop()
	if strings.Contains(said.String(), "permits no namespaces") {
		t.Skip("this machine permits no namespaces, so a process that hides lives on")
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // ten rounds of the hidden process, if it lived
	if grown() {
		t.Error("a process of the model outlives it")
	}
}

func column(values ...float64) *tensor.Batch {
	return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("x", []int{len(values)}, values)}}
}

func TestPredictFailures(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"too few rows", "return x[:-1]", "the model answered 1 rows for 2"},
		{"too many rows", "return list(x) + [1.0]", "the model answered 3 rows for 2"},
		{"no rows", "return 7.0", "the model answered a single value rows for 2"},
		{"nothing", "return {}", "the model answered nothing"},
		{"raises", "raise ValueError('no such customer: ' + str(x[0]))", "the model raised ValueError"},
		{"exits", "os._exit(3)", "the model's process died while it answered"},
		{"segfaults", "import ctypes; ctypes.string_at(0)", "the model's process died while it answered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, said, _, err := pool(t, write(t, model(tt.body)), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			_, err = p.Predict(t.Context(), column(123.5, 2))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if strings.Contains(said.String(), "123.5") || err != nil && strings.Contains(err.Error(), "123.5") {
				t.Errorf("the input is quoted: %v\n%s", err, said)
			}
		})
	}
}

// TestNotANumber: a model's NaN stays one; whether it is an answer is not the worker's to say.
func TestNotANumber(t *testing.T) {
	p, said, _, err := pool(t, write(t, model("return x * float('nan')")), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	out, err := p.Predict(t.Context(), column(1, 2))
	if err != nil || out.Tensors[0].Len() != 2 || !math.IsNaN(out.Tensors[0].Float(0)) || !math.IsNaN(out.Tensors[0].Float(1)) {
		t.Errorf("%v, %v", out, err)
	}
}

// TestOnlyOwnRequests joins good and bad requests: the bad ones fail alone, whether they
// raise or kill the worker, and the worker is replaced.
func TestOnlyOwnRequests(t *testing.T) {
	p, said, _, err := pool(t, write(t, model(`
if (x == -1).any():
    raise ValueError("bad")
if (x == -2).any():
    os._exit(9)
time.sleep(0.002)
return x * 2`)), func(o *python.Options) { o.Workers = 2 })
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var wg sync.WaitGroup
	var lost, deaths atomic.Int64
	for i := range 400 {
		wg.Go(func() {
			v := float64(i)
			if i%50 == 7 {
				v = -1
			}
			if i == 201 {
				v = -2
			}
			out, err := p.Predict(t.Context(), column(v))
			switch {
			case err != nil && v != -2 && strings.Contains(err.Error(), "died"):
				lost.Add(1)
			case v == -1:
				if err == nil || !strings.Contains(err.Error(), "raised ValueError") {
					t.Errorf("request %d: %v", i, err)
				}
			case v == -2:
				if err == nil || !strings.Contains(err.Error(), "died") {
					t.Errorf("request %d: %v", i, err)
				}
				deaths.Add(1)
			case err != nil:
				t.Errorf("request %d: %v", i, err)
			default:
				if got := out.Tensors[0].Float(0); got != 2*v {
					t.Errorf("request %d got %v", i, got)
				}
			}
		})
	}
	wg.Wait()
	if deaths.Load() != 1 || lost.Load() >= 256 {
		t.Errorf("%d deaths took %d other requests with them", deaths.Load(), lost.Load())
	}
	if out, err := p.Predict(t.Context(), column(4)); err != nil || out.Tensors[0].Float(0) != 8 {
		t.Errorf("after the death: %v, %v", out, err)
	}
}

// TestPrints: what is printed for a request is marked with its id, also of joined requests;
// what the model prints besides is not.
func TestPrints(t *testing.T) {
	p, said, _, err := pool(t, write(t, `
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
print("import")
`+model(`
print("for", [int(v) for v in x])
logging.getLogger().warning("logged")
if (x == 1).any():
    time.sleep(0.3)
    os.write(1, b"native\n")
return x`)), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if _, err := p.Predict(slipway.WithRequest(t.Context(), fmt.Sprint("q-", i+1)), column(float64(i+1))); err != nil {
				t.Error(err)
			}
		})
		if i == 0 { // the others are joined while it works
			for !strings.Contains(said.String(), "for [1]") {
				time.Sleep(time.Millisecond)
			}
		}
	}
	wg.Wait()
	for limit := time.Now().Add(time.Minute); !strings.HasSuffix(said.String(), "logged\n\x00\n") && time.Now().Before(limit); {
		time.Sleep(time.Millisecond) // it prints the last mark after its answer
	}
	_, got, _ := strings.Cut(said.String(), "import\n")
	joined := "\x00q-2,q-3\nfor [2, 3]\nlogged\n\x00\n"
	if strings.Contains(got, "q-3,") {
		joined = "\x00q-3,q-2\nfor [3, 2]\nlogged\n\x00\n"
	}
	if want := "\x00q-1\nfor [1]\nlogged\nnative\n\x00\n" + joined; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestFlood: a model that prints without end, as it is imported and as it answers, answers.
func TestFlood(t *testing.T) {
	var count atomic.Int64
	p, _, _, err := pool(t, write(t, `
import sys
line = "x" * (1 << 16) + "\n"
for _ in range(1 << 14):
    sys.stdout.write(line)
`+model(`
for _ in range(1 << 12):
    sys.stderr.write("y" * (1 << 16))
return x`)), func(o *python.Options) {
		o.Output = func(string) python.Output { return counter{&count} }
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Predict(t.Context(), column(4)); err != nil || out.Tensors[0].Float(0) != 4 {
		t.Errorf("%v, %v", out, err)
	}
	p.Stop() // what it printed last may come after its answer
	if n := count.Load(); n < 1<<30+1<<28 {
		t.Errorf("%d bytes came", n)
	}
}

// counter is an output that counts bytes.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func (c counter) Flush() {}

// TestDeadline: who waits is answered at the deadline, and a worker that hangs is replaced.
func TestDeadline(t *testing.T) {
	p, said, _, err := pool(t, write(t, model(`
if x[0] < 0:
    time.sleep(1000)
return x`)), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Predict(ctx, column(-1)); err == nil || ctx.Err() == nil {
		t.Errorf("err = %v before its deadline", err)
	}
	out, err := p.Predict(t.Context(), column(5)) // waits for the next worker
	if err != nil || out.Tensors[0].Float(0) != 5 {
		t.Errorf("after a hang: %v, %v\n%s", out, err, said)
	}
	if !strings.Contains(said.String(), "a worker is replaced") {
		t.Errorf("the log says nothing of it:\n%s", said)
	}
}

// TestReplacementFails: a model that loads once and never again ends the pool.
func TestReplacementFails(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "loaded")
	p, said, _, err := pool(t, write(t, "import os\nif os.path.exists('"+mark+"'):\n    raise RuntimeError('not twice')\nopen('"+mark+"', 'w').close()\n"+model("os._exit(1)")), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if _, err := p.Predict(t.Context(), column(1)); err == nil {
		t.Error("no error of a worker that died")
	}
	if err := <-p.Failed(); !strings.Contains(err.Error(), "not twice") {
		t.Errorf("failed = %v", err)
	}
	if p.Ready(t.Context()) == nil || len(p.Groups()) != 0 {
		t.Error("it is ready without workers")
	}
}
