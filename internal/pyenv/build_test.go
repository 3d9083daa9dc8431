package pyenv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/pyenv"
)

// TestMain lets the test binary play uv: as UV_FAKE says, and otherwise as a uv that needs
// no index.
func TestMain(m *testing.M) {
	if dir, how, ok := strings.Cut(os.Getenv("PYENV_BUILDER"), "|"); ok {
		syscall.Exit(playBuilder(dir, how))
	}
	if fake := os.Getenv("UV_FAKE"); fake != "" {
		syscall.Exit(fakeUV(fake, os.Args[1:])) // at once: os.Exit waits a second for the race detector
	}
	goleak.VerifyTestMain(m)
}

func fakeUV(how string, args []string) int {
	last := args[len(args)-1]
	if at, ok := strings.CutPrefix(how, "stop at "); ok && slices.Contains(args[:2], at) {
		return stopHere()
	}
	switch {
	case args[0] == "python":
		fmt.Println(`[{"version": "3.11.7"}, {"version": "3.11.2"}, {"version": "3.13.1"}]`)
	case args[0] == "venv":
		if how == "no python" {
			fmt.Fprintln(os.Stderr, "error: Failed to inspect Python interpreter from first executable in the search path at `/shims/python3.12`")
			return 2
		}
		if how == "environment" {
			fmt.Println(strings.Join(os.Environ(), "\n"))
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(last, "bin"), 0o700), os.WriteFile(filepath.Join(last, "bin", "python"), nil, 0o700)); err != nil {
			return 1
		}
	case args[1] == "compile":
		if said, err := os.ReadFile("testdata/" + how + ".txt"); err == nil {
			os.Stderr.Write(said)
			return 1
		}
		switch how {
		case "hang":
			fmt.Println("waiting")
			if err := exec.Command("sleep", "1000").Run(); err != nil {
				return 1
			}
		case "full":
			fmt.Fprintln(os.Stderr, "error: failed to write: No space left on device (os error 28)")
			return 2
		case "loud":
			fmt.Print(strings.Repeat("warning: nothing\n", 1<<14))
			fmt.Fprintln(os.Stderr, "error: failed to write: No space left on device (os error 28)")
			return 2
		case "flood":
			line := bytes.Repeat([]byte("x"), 1<<10)
			for range 1 << 14 {
				fmt.Printf("%s\n", line)
			}
		}
		for i, a := range args {
			if a == "--output-file" {
				if err := os.WriteFile(args[i+1], []byte("six==1.17.0 \\\n    --hash=sha256:"+strings.Repeat("a", 64)+" \\\n    --hash=sha256:"+strings.Repeat("b", 64)+"\n"), 0o600); err != nil {
					return 1
				}
			}
		}
	default:
		f, err := os.OpenFile(filepath.Join(filepath.Dir(last), "builds"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 1
		}
		defer f.Close()
		fmt.Fprintln(f, "synced")
		if info, err := f.Stat(); err != nil || how == "absent" || how == "late" && info.Size() < int64(len("synced\n")*3) {
			fmt.Fprintln(os.Stderr, "error: No solution found\ncause: Because there is no version of six==1.17.0")
			return 1
		}
	}
	return 0
}

func builder(t *testing.T, dir, how string) *pyenv.Builder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := pyenv.New(pyenv.Options{Dir: dir, UV: self, Env: append(os.Environ(), "UV_FAKE="+how), Limit: time.Minute, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wants(t *testing.T, text string) pyenv.Requirements {
	t.Helper()
	r, err := pyenv.Read(files("requirements.txt", text, "python_env.yaml", "python: 3.12.1"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBuildOnce(t *testing.T) {
	dir := t.TempDir()
	r := wants(t, "six==1.17.0")
	var wg sync.WaitGroup
	for range 4 { // as if of four processes
		b := builder(t, dir, "works")
		wg.Go(func() {
			env, err := b.Build(t.Context(), r, &bytes.Buffer{})
			if err != nil || len(env.Lock) == 0 || !strings.HasPrefix(env.Python, env.Dir) {
				t.Errorf("%+v, %v", env, err)
			}
		})
	}
	wg.Wait()
	b := builder(t, dir, "works")
	env, err := b.Open(r.Digest(runtime.GOOS + "-" + runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := os.ReadFile(filepath.Join(env.Dir, "builds")); err != nil || string(n) != "synced\n" {
		t.Errorf("it was built %q times, %v", n, err)
	}
	removed, freed, err := b.Sweep(func(slipway.Digest) bool { return true }, true)
	if removed != 0 || freed != 0 || err != nil {
		t.Errorf("swept %d, %d bytes, %v", removed, freed, err)
	}
	removed, freed, err = b.Sweep(func(slipway.Digest) bool { return false }, true)
	if removed != 1 || freed == 0 || err != nil {
		t.Errorf("swept %d, %d bytes, %v", removed, freed, err)
	}
	if _, err := b.Open(env.Digest); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Error(err)
	}
}

// TestHalfMade finds what a crash left: files without the marker are no environment, and
// are built again.
func TestHalfMade(t *testing.T) {
	dir := t.TempDir()
	r := wants(t, "six==1.17.0")
	b := builder(t, dir, "works")
	env, err := b.Build(t.Context(), r, &bytes.Buffer{})
	if err != nil || env.Cached {
		t.Fatal(env, err)
	}
	if err := os.Remove(filepath.Join(env.Dir, "slipway.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(env.Digest); err == nil {
		t.Error("half an environment is one")
	}
	if env, err = b.Build(t.Context(), r, &bytes.Buffer{}); err != nil || env.Cached {
		t.Error(env, err)
	}
	if env, err = b.Build(t.Context(), r, &bytes.Buffer{}); err != nil || !env.Cached {
		t.Error(env, err)
	}
}

func TestFailures(t *testing.T) {
	const text = "scikit-learn==1.9.1\nnumpy<2\npandas==3.1.1\nodd-package==1\n"
	for _, tt := range []struct{ how, code, place, want string }{
		{"conflict", slipway.CodeEnvironment, "requirements.txt:2", `"numpy<2" (requirements.txt:2), "pandas==3.1.1" (requirements.txt:3)`},
		{"version", slipway.CodeEnvironment, "requirements.txt:1", "there is no such version in the index"},
		{"package", slipway.CodeEnvironment, "requirements.txt:4", "there is no package of that name"},
		{"wheel", slipway.CodeEnvironment, "requirements.txt:4", "there is no wheel of it"},
		{"unknown", slipway.CodeEnvironment, "", "the environment cannot be built: something new"},
		{"no python", slipway.CodeBuilder, "", "the model asks for Python 3.12, and this machine has 3.11, 3.13"},
		{"parse", slipway.CodeEnvironment, "requirements.txt:2", `"numpy<2" is no requirement`},
		{"only", slipway.CodeEnvironment, "requirements.txt:1", "there is no such version in the index"},
		{"network", slipway.CodeUnavailable, "", "the package index does not answer"},
		{"loud", slipway.CodeDiskFull, "", "the disk is full"},
		{"full", slipway.CodeDiskFull, "", "the disk is full"},
	} {
		dir := t.TempDir()
		_, err := builder(t, dir, tt.how).Build(t.Context(), wants(t, text), &bytes.Buffer{})
		e := slipway.AsError(err)
		if err == nil || e.Code != tt.code || e.Field != tt.place || !strings.Contains(e.Message, tt.want) || e.Next == "" {
			t.Errorf("%s: %s %q %v, want %s %q %q", tt.how, e.Code, e.Field, err, tt.code, tt.place, tt.want)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 { // the lock
			t.Errorf("%s leaves %v, %v", tt.how, left, err)
		}
	}
	b, err := pyenv.New(pyenv.Options{Dir: t.TempDir(), Limit: time.Minute, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Build(t.Context(), wants(t, text), &bytes.Buffer{}); slipway.AsError(err).Code != slipway.CodeBuilder {
		t.Errorf("without uv: %v", err)
	}
}

// TestInterpreterGone builds again what the host's Python has left.
func TestInterpreterGone(t *testing.T) {
	b, r := builder(t, t.TempDir(), "works"), wants(t, "six")
	env, err := b.Build(t.Context(), r, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(env.Python); err != nil {
		t.Fatal(err)
	}
	if env, err = b.Build(t.Context(), r, &bytes.Buffer{}); err != nil || env.Cached {
		t.Error(env, err)
	}
}

// TestHashes installs no other files than the lines allow.
func TestHashes(t *testing.T) {
	b := builder(t, t.TempDir(), "works")
	sum := func(c string) string { return " --hash=sha256:" + strings.Repeat(c, 64) }
	env, err := b.Build(t.Context(), wants(t, "six==1.17.0"+sum("b")+sum("c")), &bytes.Buffer{})
	if want := "six==1.17.0" + sum("b") + "\n"; err != nil || string(env.Lock) != want {
		t.Errorf("%q, %v, want %q", env.Lock, err, want)
	}
	_, err = b.Build(t.Context(), wants(t, "numpy\nsix==1.17.0"+sum("c")), &bytes.Buffer{})
	if e := slipway.AsError(err); e.Code != slipway.CodeEnvironment || e.Field != "requirements.txt:2" {
		t.Error(err)
	}
}

// TestEnvironment translates what only pip reads, where uv is not told otherwise.
func TestEnvironment(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ given, want, not string }{
		{"PIP_INDEX_URL=https://a.example.com/simple", "UV_DEFAULT_INDEX=https://a.example.com/simple", "PIP_"},
		{"PIP_INDEX_URL=https://a.example.com|UV_INDEX_URL=https://b.example.com", "UV_INDEX_URL=https://b.example.com", "UV_DEFAULT_INDEX"},
		{"PIP_FIND_LINKS=/one  /two", "UV_FIND_LINKS=/one,/two", ""},
		{"PIP_CERT=/ca.pem", "SSL_CERT_FILE=/ca.pem", ""},
		{"SECRET=x", "UV_PYTHON_DOWNLOADS=never", "SECRET"},
		{"UV_PYTHON_DOWNLOADS=automatic", "UV_PYTHON_DOWNLOADS=automatic", "=never"},
	} {
		b, err := pyenv.New(pyenv.Options{Dir: t.TempDir(), UV: self, Limit: time.Minute, Now: time.Now, Env: append(strings.Split(tt.given, "|"), "UV_FAKE=environment")})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := b.Build(t.Context(), wants(t, "six"), &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !slices.Contains(strings.Split(got, "\n"), tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
			t.Errorf("%s gives\n%s", tt.given, got)
		}
	}
}

// TestLateMirror asks again for wheels that a mirror of the index has not got yet.
func TestLateMirror(t *testing.T) {
	if _, err := builder(t, t.TempDir(), "late").Build(t.Context(), wants(t, "six"), &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	_, err := builder(t, t.TempDir(), "absent").Build(t.Context(), wants(t, "six"), &bytes.Buffer{})
	if e := slipway.AsError(err); e.Code != slipway.CodeEnvironment || !strings.Contains(e.Message, "no such version") {
		t.Error(err)
	}
}

// TestCancel ends what uv has started, too.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := writerFunc(func([]byte) { cancel() })
	_, err := builder(t, t.TempDir(), "hang").Build(ctx, wants(t, "six"), out)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	short, err := pyenv.New(pyenv.Options{Dir: t.TempDir(), UV: os.Args[0], Env: append(os.Environ(), "UV_FAKE=hang"), Limit: 200 * time.Millisecond, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := short.Build(t.Context(), wants(t, "six"), &bytes.Buffer{}); slipway.AsError(err).Code != slipway.CodeEnvironment {
		t.Error(err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func TestFlood(t *testing.T) {
	var out bytes.Buffer
	if _, err := builder(t, t.TempDir(), "flood").Build(t.Context(), wants(t, "six"), &out); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 2<<20 || !strings.Contains(out.String(), "the rest is not shown") {
		t.Errorf("%d bytes were passed on", out.Len())
	}
}

// TestRealUV builds with the real program and the real index.
func TestRealUV(t *testing.T) {
	uv, err := filepath.Abs("../../.venv/bin/uv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(uv); err != nil {
		t.Skip("there is no .venv: make venv")
	}
	b, err := pyenv.New(pyenv.Options{Dir: t.TempDir(), UV: uv, Env: os.Environ(), Limit: 5 * time.Minute, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) pyenv.Requirements {
		r, err := pyenv.Read(files("requirements.txt", text, "python_env.yaml", "python: 3.11.2"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var out bytes.Buffer
	env, err := b.Build(t.Context(), read("six==1.17.0\n"), &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	said, err := exec.CommandContext(t.Context(), env.Python, "-I", "-c", "import six; print(six.__version__)").CombinedOutput()
	if err != nil || strings.TrimSpace(string(said)) != "1.17.0" || !bytes.Contains(env.Lock, []byte("--hash=sha256:")) {
		t.Errorf("%s, %v, lock %s", said, err, env.Lock)
	}
	for text, want := range map[string]string{
		"six==1.17.0\nsix==1.16.0\n": `"six==1.17.0" (requirements.txt:1), "six==1.16.0" (requirements.txt:2)`,
		"six==1.99.0\n":              "no such version",
		"six>=99\n":                  "no such version",
		"numpy\nsix===a.b!\n":        "requirements.txt:2",
		"six==1.17.0 --hash=sha256:" + strings.Repeat("0", 64): "no file of six 1.17.0",
		"pandas==3.1.1\nnumpy<2\n":                             `"pandas==3.1.1" (requirements.txt:1), "numpy<2" (requirements.txt:2)`,
		"slipway-surely-not-published-anywhere\n":              "no package of that name",
	} {
		if _, err := b.Build(t.Context(), read(text), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
}
