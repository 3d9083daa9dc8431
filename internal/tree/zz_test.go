package tree_test

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/slipway-ml/slipway/internal/tree"
)

func BenchmarkReal(b *testing.B) {
	raw, _ := os.ReadFile("/tmp/tb/rows.f32")
	rows := make([]float32, len(raw)/4)
	for i := range rows {
		rows[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	out := make([]float32, 1000)
	for _, f := range []string{"x100", "x500"} {
		d, _ := os.ReadFile("/tmp/tb/" + f + ".ubj")
		m, err := tree.Load(d, tree.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(f, func(b *testing.B) {
			for b.Loop() {
				m.Predict(rows, 1000, out)
			}
		})
	}
}
