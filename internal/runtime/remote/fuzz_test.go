package remote

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/tensor"
)

func FuzzParsePredictions(f *testing.F) {
	f.Add([]byte(`{"predictions": [1, 2]}`), 2)
	f.Add([]byte(`[[1, null], [true, 1e400]]`), 2)
	f.Add([]byte(`{"predictions": [{"a": "x"}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, rows int) {
		out, err := parsePredictions(body, rows, []tensor.Field{{Name: "y"}})
		if err != nil {
			return
		}
		for i := range out.Tensors {
			if out.Tensors[i].Shape[0] != rows {
				t.Fatalf("%d rows for %d", out.Tensors[i].Shape[0], rows)
			}
		}
		if _, err := tensor.DecodeBatch(tensor.AppendBatch(nil, out)); err != nil {
			t.Fatal(err)
		}
	})
}
