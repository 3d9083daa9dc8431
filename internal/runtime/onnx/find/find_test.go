package find_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
)

// put makes an empty file.
func put(t *testing.T, mode os.FileMode, parts ...string) string {
	t.Helper()
	file := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProgram(t *testing.T) {
	here, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	exe := filepath.Join(here, "platform")
	if _, err := find.Program(exe); err == nil || slipway.AsError(err).Code != slipway.CodeReplicaStart || !strings.Contains(slipway.AsError(err).Next, "make build") {
		t.Errorf("without one: %v", err)
	}
	onPath := put(t, 0o700, path, find.Name)
	if got, err := find.Program(exe); err != nil || got != onPath {
		t.Errorf("on the path: %s, %v", got, err)
	}
	beside := put(t, 0o700, here, find.Name)
	if got, err := find.Program(exe); err != nil || got != beside {
		t.Errorf("beside: %s, %v", got, err)
	}
}

func TestLibrary(t *testing.T) {
	root := t.TempDir()
	program := filepath.Join(root, "bin", find.Name)
	named := ""
	getenv := func(key string) string {
		if key == find.Env {
			return named
		}
		return ""
	}
	check := func(what, want string) {
		t.Helper()
		got, err := find.Library(program, getenv)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v, want %q", what, got, err, want)
		}
	}
	check("none", "")
	python := put(t, 0o600, root, "lib", "python3.11", "site-packages", "onnxruntime", "capi", "libonnxruntime.so.1.32.0")
	check("of Python", python)
	beside := put(t, 0o600, root, "bin", find.LibraryName)
	check("beside", beside)
	named = root
	check("a directory", "")
	named = filepath.Join(root, "lost")
	check("a file that is not there", "")
	named = put(t, 0o600, root, "own.so")
	check("named", named)
}
