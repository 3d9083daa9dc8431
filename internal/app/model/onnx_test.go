package model_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// twice is a graph from x to y, both matrices of two floats.
func twice() []byte {
	number := func(field int, v uint64) string {
		return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v))
	}
	part := func(field int, parts ...string) string {
		body := strings.Join(parts, "")
		return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body)))) + body
	}
	value := func(field int, name string) string {
		return part(field, part(1, name), part(2, part(1, number(1, 1), part(2, part(1, part(2, "n")), part(1, number(1, 2))))))
	}
	return []byte(part(7, part(1, part(1, "x"), part(1, "x"), part(2, "y"), part(4, "Add")), value(11, "x"), value(12, "y")))
}

// TestChooseONNX: what a graph runs on depends on what this machine has, and is told.
func TestChooseONNX(t *testing.T) {
	const python = "  python_function:\n    loader_module: mlflow.onnx\n"
	s, err := spec.Load("platform.yaml", []byte("apiVersion: platform/v1\nkind: RealtimeModel\nname: twice\ntier: 4\nowner: {team: risk}\nmodel: {source: ./model}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	library := filepath.Join(tools, "lib.so")
	for file, mode := range map[string]os.FileMode{filepath.Join(tools, find.Name): 0o700, library: 0o600} {
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		path, library, flavors, file string
		kind, says                   string // says is in a warning, or in the error
	}{
		"both are there":     {path: tools, library: library, kind: route.RuntimeONNX},
		"with a provider":    {path: tools, library: library, flavors: "    providers: [TensorrtExecutionProvider]\n", kind: route.RuntimeONNX, says: "TensorrtExecutionProvider"},
		"no library":         {path: tools, library: library + ".lost", flavors: python, kind: route.RuntimePython, says: "served by Python, which is slower"},
		"no program":         {path: "/none", library: library, flavors: python, kind: route.RuntimePython, says: "platform-onnx is not there"},
		"nor Python":         {path: "/none", library: library, says: "platform-onnx is not there"},
		"complex numbers":    {path: tools, library: library, flavors: python, file: strings.Replace(string(twice()), "\x08\x01\x12", "\x08\x0e\x12", 1), kind: route.RuntimePython, says: "complex64"},
		"a file that is cut": {path: tools, library: library, flavors: python, file: string(twice()[:20]), says: "is no ONNX model"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv(find.Env, c.library)
			file := twice()
			if c.file != "" {
				file = []byte(c.file)
			}
			dir := fstest.MapFS{"model.onnx": {Data: file}, "MLmodel": {Data: []byte("flavors:\n  onnx:\n    data: model.onnx\n" + c.flavors)}}
			saved, err := model.Describe(dir, s)
			if c.kind == "" {
				if err == nil || !strings.Contains(slipway.AsError(err).Message, c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if saved.Runtime.Kind != c.kind {
				t.Errorf("runs on %s, want %s", saved.Runtime.Kind, c.kind)
			}
			warned := ""
			for _, r := range saved.Results {
				if r.Check == "runtime" && r.Verdict == verdict.Warn {
					warned += r.Message
				}
			}
			if (c.says == "") != (warned == "") || !strings.Contains(warned, c.says) {
				t.Errorf("warns %q, want %q", warned, c.says)
			}
			if c.kind == route.RuntimeONNX && (len(saved.Schema.Inputs) != 1 || len(saved.Schema.Outputs) != 1) {
				t.Errorf("schema %v", saved.Schema)
			}
		})
	}
}
