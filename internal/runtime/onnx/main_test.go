package onnx_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime/onnx"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/ort"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const venv = "../../../.venv"

// library is ONNX Runtime as the Python package has it, whose answers are compared with.
func library(t testing.TB) *ort.Library {
	t.Helper()
	found, err := filepath.Glob(venv + "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*")
	if err != nil || len(found) != 1 {
		t.Skip("there is no .venv: make venv")
	}
	l, err := open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var open = func() func(string) (*ort.Library, error) {
	var once sync.Once
	var l *ort.Library
	var err error
	return func(file string) (*ort.Library, error) {
		once.Do(func() { l, err = ort.Open(file) })
		return l, err
	}
}()

// models makes the models of the tests, once.
var models = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "onnx-models-")
	if err != nil {
		return "", err
	}
	py, err := filepath.Abs(venv + "/bin/python")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(py, "testdata/models.py", dir).CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := models(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// dir is the directory of a model of the tests.
func dir(t testing.TB, name string) string {
	t.Helper()
	all, err := models()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(all, name)
}

// load loads a model of the tests.
func load(t testing.TB, name string) (*onnx.Model, tensor.Schema) {
	t.Helper()
	l, at := library(t), filepath.Join(dir(t, name), "model")
	saved, err := mlmodel.OpenONNX(os.DirFS(at))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := saved.Schema(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(l, at, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, schema
}
