package lightgbm_test

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/slipway-ml/slipway/internal/tree/lightgbm"
)

func BenchmarkReal(b *testing.B) {
	raw, _ := os.ReadFile("/tmp/tb/rows.f32")
	rows := make([]float64, len(raw)/4)
	for i := range rows {
		rows[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
	}
	out := make([]float64, 1000)
	for _, f := range []string{"l100", "l500"} {
		d, _ := os.ReadFile("/tmp/tb/" + f + ".txt")
		m, err := lightgbm.Load(d, "m")
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
