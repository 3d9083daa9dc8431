package main

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// onnxTools builds platform-onnx and finds the library in the Python environment of the tests. It
// gives what a platform's environment needs to find both.
func onnxTools(t *testing.T) []string {
	t.Helper()
	library, err := filepath.Glob("../../.venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*")
	if err != nil || len(library) != 1 {
		t.Skip("there is no .venv: make venv")
	}
	at, err := filepath.Abs(library[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "../platform-onnx")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "ONNXRUNTIME_LIB=" + at}
}

// squares is a model directory whose graph applies one operator to x, rows of two numbers, twice.
func squares(operator string) map[string][]byte {
	number := func(field int, v uint64) string {
		return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v))
	}
	part := func(field int, parts ...string) string {
		body := strings.Join(parts, "")
		return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body)))) + body
	}
	value := func(field int, name string) string {
		shape := part(2, part(1, part(2, "n")), part(1, number(1, 2)))
		return part(field, part(1, name), part(2, part(1, number(1, 1), shape)))
	}
	node := part(1, part(1, "x"), part(1, "x"), part(2, "y"), part(4, operator))
	file := number(1, 9) + part(7, node, part(2, "squares"), value(11, "x"), value(12, "y")) + part(8, number(2, 17))
	return map[string][]byte{"model.onnx": []byte(file), "MLmodel": []byte("flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.23.2\n")}
}

// deployONNX deploys a model directory and gives how that ended.
func (s *server) deployONNX(ctx context.Context, files map[string][]byte) api.Deployment {
	s.t.Helper()
	v, err := s.send(ctx, "squares", files)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := s.c.CreateDeployment(ctx, "", api.CreateDeployment{PlatformYAML: strings.ReplaceAll(quick, "fraud", "squares"), Version: v.Number})
	if err != nil {
		s.t.Fatal(err)
	}
	for now, err := range s.c.WatchDeployment(ctx, d.ID) {
		if err != nil {
			s.t.Fatal(err)
		}
		d = now
	}
	return d
}

// TestONNX deploys a graph, one that ONNX Runtime does not take, and one that kills its
// replica, which is no harm to anything else.
func TestONNX(t *testing.T) {
	s := newServer(t, onnxTools(t)...)
	ctx := t.Context()
	if d := s.deployONNX(ctx, squares("Mul")); d.Status != "succeeded" {
		t.Fatalf("the deployment is %s: %s", d.Status, d.Message)
	}
	ask := func() (string, error) {
		out, err := s.c.Infer(ctx, "squares", []byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2,3,-4]}]}`))
		return string(out), err
	}
	if body, err := ask(); err != nil || !strings.Contains(body, "[1,4,9,16]") {
		t.Fatalf("%s, %v", body, err)
	}
	d := s.deployONNX(ctx, squares("Mol"))
	if d.Status != "failed" || !strings.Contains(d.Message, "No Op registered for Mol") {
		t.Errorf("an unknown operator: %s: %s", d.Status, d.Message)
	}
	// A fault in the library is one in its process, which is started again.
	pid := replicaOf(t, s.home)
	if err := syscall.Kill(pid, syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		time.Sleep(20 * time.Millisecond)
		if _, err := ask(); err == nil && replicaOf(t, s.home) != pid {
			return
		}
	}
	t.Error("the replica did not come back")
}

// replicaOf finds the process of platform-onnx that serves for a home, 0 if there is none.
func replicaOf(t *testing.T, home string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(b), "platform-onnx\x00runtime") && strings.Contains(string(b), filepath.Join(home, "gateway")) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}

// TestNoONNX: without the library a model that Python cannot serve either is refused, with what
// to do.
func TestNoONNX(t *testing.T) {
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "ONNXRUNTIME_LIB="+filepath.Join(t.TempDir(), "none"), "PATH="+filepath.Dir(exe))
	v, err := s.send(t.Context(), "squares", squares("Mul"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.c.CreateDeployment(t.Context(), "", api.CreateDeployment{PlatformYAML: strings.ReplaceAll(quick, "fraud", "squares"), Version: v.Number})
	if err == nil || !strings.Contains(err.Error(), "platform-onnx is not there") || !strings.Contains(err.Error(), "make build") {
		t.Errorf("%v, want what is missing and what to do", err)
	}
}
