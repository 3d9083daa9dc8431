package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
)

// TestDiskFull: when the disk is full, at whatever step of a deployment, that is said with
// what to do; models go on serving; and with space again the same deployment succeeds.
func TestDiskFull(t *testing.T) {
	unraced(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", disk) // where the home is made
	s := newServer(t)
	s.deployed("before")
	sent, end := traffic(t, s.c)
	defer end()
	random := rand.NewChaCha8([32]byte{})
	full := 0
	for free := int64(0); free <= 2<<20; free += 128 << 10 { // a deployment takes less than the last
		note := make([]byte, 256<<10) // which no compression makes smaller
		_, _ = random.Read(note)
		ballast := fill(t, disk, free)
		freed := time.AfterFunc(3*time.Second, func() { os.Remove(ballast) }) // for what waits for it
		_, err := s.deploy(t.Context(), string(note))
		freed.Stop()
		t.Logf("%d KiB free: %v", free>>10, err)
		if e := slipway.AsError(err); err != nil {
			full++
			if e.Code != slipway.CodeDiskFull || e.Next == "" {
				t.Errorf("%d KiB free: %s %v, next %q", free>>10, e.Code, err, e.Next)
			}
		}
		for from := sent.Load(); sent.Load() < from+50 && !t.Failed(); time.Sleep(time.Millisecond) {
		}
		if err := os.Remove(ballast); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		s.deployed(string(note))
	}
	if full == 0 {
		t.Error("the disk was never full")
	}
}

// TestDiskFullOfPython: when the disk is full while the environment of a Python model is
// built, that is said with what to do; nothing half-made is left to be used; models go on
// serving; and with space again the same version is deployed, and answers.
func TestDiskFullOfPython(t *testing.T) {
	venv, err := filepath.Abs("../../.venv/bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(venv, "uv")); err != nil {
		t.Skip("there is no .venv: make venv")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", disk)
	s := newServer(t, "PATH="+venv+":"+os.Getenv("PATH"))
	s.deployed("before")
	sent, end := traffic(t, s.c)
	defer end()
	v, err := s.send(t.Context(), "double", map[string][]byte{
		"MLmodel": []byte("flavors:\n  python_function: {loader_module: mlflow.sklearn, code: code, predict_fn: predict}\n" +
			"  sklearn: {pickled_model: model.pkl, serialization_format: pickle, sklearn_version: 1.9.1}\n" +
			`signature: {inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 1]}}]'}`),
		"requirements.txt": []byte("numpy==2.4.6\n"),
		"code/own.py":      []byte("class Double:\n    def predict(self, x):\n        return 2 * x[:, 0]\n"),
		"model.pkl":        []byte("cown\nDouble\n(tR."), // calls own.Double()
	})
	if err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(quick, "fraud", "double", 1)
	made := func() []string {
		found, err := filepath.Glob(filepath.Join(s.home, "environments", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, free := range []int64{2 << 20, 8 << 20, 30 << 20} { // before numpy, and in it
		ballast := fill(t, disk, free)
		d, err := s.bring(t.Context(), yaml, v)
		t.Logf("%d MiB free: %v", free>>20, err)
		if e := slipway.AsError(err); err == nil || e.Code != slipway.CodeDiskFull || !strings.Contains(e.Next, "free space") || len(d.Stages) != 2 {
			t.Errorf("%d MiB free: %v, next %q, after %d stages", free>>20, err, e.Next, len(d.Stages))
		}
		if left := made(); len(left) > 0 {
			t.Errorf("%d MiB free: %q is left of the environment", free>>20, left)
		}
		for from := sent.Load(); sent.Load() < from+50 && !t.Failed(); time.Sleep(time.Millisecond) {
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.bring(t.Context(), yaml, v); err != nil {
		t.Fatal(err)
	}
	if answer, err := s.c.Invocations(t.Context(), "double", []byte(`{"inputs": [[21.0]]}`)); err != nil || !strings.Contains(string(answer), "42") {
		t.Errorf("%s, %v", answer, err)
	}
}

// fill writes a file that leaves so many bytes of a disk free.
func fill(t *testing.T, disk string, free int64) (path string) {
	t.Helper()
	path = filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size int64
	for block := make([]byte, 1<<20); len(block) > 0; {
		n, err := f.Write(block)
		size += int64(n)
		if errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(size-free, 0)); err != nil {
		t.Fatal(err)
	}
	return path
}
