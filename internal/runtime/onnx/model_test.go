package onnx_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/onnx"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// TestOneByOne gives rows to models that take one at a time, whatever their answer's shape.
func TestOneByOne(t *testing.T) {
	rows := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	in := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat32("x", []int{3, 4}, rows)}}
	m, schema := load(t, "scalar")
	out, err := m.Predict(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.Check(out, schema.Outputs); err != nil {
		t.Error(err)
	}
	for i, want := range []float64{2.5, 6.5, 10.5} {
		if got := out.Tensors[0].Float(i); got != want {
			t.Errorf("mean %d is %v, want %v", i, got, want)
		}
	}
	m, schema = load(t, "fixed_one")
	whole, err := m.Predict(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.Check(whole, schema.Outputs); err != nil {
		t.Error(err)
	}
	for i := range 3 {
		alone, err := m.Predict(t.Context(), in.Slice(i, i+1))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(alone.Tensors[0].Data, whole.Tensors[0].Data[8*i:8*i+8]) {
			t.Errorf("row %d has another answer alone", i)
		}
	}
}

// TestDeadline ends a run that would take minutes.
func TestDeadline(t *testing.T) {
	m, _ := load(t, "steps")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	in := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("n", []int{1}, []int64{math.MaxInt64})}}
	if _, err := m.Predict(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the error of the context", err)
	}
	in = &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("n", []int{2}, []int64{1, 2})}}
	if out, err := m.Predict(t.Context(), in); err != nil || out.Tensors[0].Shape[1] != 64 {
		t.Errorf("after it: %v, %v", out, err)
	}
}

// TestErrors holds that what a caller did wrong is told, and that no error quotes a value.
func TestErrors(t *testing.T) {
	m, _ := load(t, "picks")
	_, err := m.Predict(t.Context(), &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("at", []int{2}, []int64{1, 424242})}})
	if err == nil || strings.Contains(err.Error(), "424242") || !strings.Contains(err.Error(), "Gather") {
		t.Errorf("%v, want the operator and no value", err)
	}
	m, _ = load(t, "image")
	_, err = m.Predict(t.Context(), &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat32("image", []int{1, 2, 1, 1}, []float32{1, 2})}})
	if e := (*slipway.Error)(nil); !errors.As(err, &e) || e.Code != slipway.CodeSchema || !strings.Contains(e.Message, "Expected: 3") {
		t.Errorf("%v, want the shape", err)
	}
}

// TestMany asks models of every kind from many goroutines, for long enough to see what is not
// freed.
func TestMany(t *testing.T) {
	kinds := []string{"mlp_columns", "forest_zipmap", "strings", "type_string", "several", "steps", "picks"}
	type asked struct {
		m  *onnx.Model
		in *tensor.Batch
	}
	var all []asked
	for _, name := range kinds {
		m, schema := load(t, name)
		all = append(all, asked{m, request(t, dir(t, name), &schema)})
	}
	bad := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("at", []int{1}, []int64{99})}}
	round := func(n int) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range n {
					a := all[i%len(all)]
					ctx, cancel := context.WithCancel(t.Context())
					if i%50 == 0 {
						cancel()
					}
					_, err := a.m.Predict(ctx, a.in)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					cancel()
					if _, err := all[len(all)-1].m.Predict(t.Context(), bad); err == nil {
						t.Error("an index beyond the end was answered")
					}
				}
			})
		}
		wg.Wait()
	}
	round(1500)
	before := resident(t)
	round(4500)
	if grown := resident(t) - before; grown > 24<<20 {
		t.Errorf("%d MiB are not freed", grown>>20)
	}
}

func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestRefused holds that what cannot be loaded is told in one error, with the file.
func TestRefused(t *testing.T) {
	l := library(t)
	src := filepath.Join(dir(t, "mlp"), "model")
	copied := func() string {
		to := t.TempDir()
		if err := os.CopyFS(to, os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	cut := copied()
	file := filepath.Join(cut, "model.onnx")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	unknown := bytes.Replace(b, []byte("Softmax"), []byte("Softmux"), 1)
	for name, text := range map[string][]byte{"cut": b[:len(b)/2], "no model": []byte("hello, world"), "empty": nil, "an unknown operator": unknown} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := onnx.Open(l, cut, 1); err == nil {
			m.Close()
			t.Errorf("%s was loaded", name)
		} else {
			t.Log(name, err)
		}
	}
	lost := copied()
	weights, err := filepath.Glob(filepath.Join(lost, "*.data"))
	if err != nil || len(weights) != 1 {
		t.Fatal(weights, err)
	}
	if err := os.Remove(weights[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Open(l, lost, 1); err == nil || slipway.AsError(err).Code != slipway.CodeModelDir {
		t.Errorf("without its weights: %v", err)
	}
	if err := os.Symlink("/etc/hostname", weights[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Open(l, lost, 1); err == nil {
		t.Error("weights behind a link were loaded")
	}
}
