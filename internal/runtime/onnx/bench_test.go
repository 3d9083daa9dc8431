package onnx_test

import (
	"context"
	"testing"

	"github.com/slipway-ml/slipway/internal/tensor"
)

func BenchmarkPredict(b *testing.B) {
	for name, rows := range map[string]int{"1": 1, "1000": 1000} {
		b.Run(name, func(b *testing.B) {
			m, _ := load(b, "mlp")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			in := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat32("input", []int{rows, 20}, make([]float32, 20*rows))}}
			for b.Loop() {
				if _, err := m.Predict(ctx, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
