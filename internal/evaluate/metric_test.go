package evaluate_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// TestVectors: every metric equals scikit-learn's; testdata/vectors.py says how they were
// made.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Cases []struct {
			Name                 string
			Target               []string
			Predict, Probability json.RawMessage
			Metrics              map[string]float64
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	figures := 0
	for _, c := range vectors.Cases {
		t.Run(c.Name, func(t *testing.T) {
			out := &tensor.Batch{Tensors: []tensor.Tensor{predicted(t, c.Predict)}}
			if c.Probability != nil {
				out.Tensors = append(out.Tensors, probability(t, c.Probability))
			}
			for metric, want := range c.Metrics {
				got, wrong := evaluate.Figure(metric, c.Target, out)
				if figures++; wrong != "" || !(math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))) {
					t.Errorf("%s is %.17g (%s), want %.17g", metric, got, wrong, want)
				}
			}
		})
	}
	if figures < 80 {
		t.Errorf("%d figures", figures)
	}
}

func predicted(t *testing.T, raw json.RawMessage) tensor.Tensor {
	t.Helper()
	var ints []int64
	if json.Unmarshal(raw, &ints) == nil {
		return tensor.NewInt64("predict", []int{len(ints)}, ints)
	}
	var names []string
	if json.Unmarshal(raw, &names) == nil {
		return tensor.NewStrings("predict", []int{len(names)}, names)
	}
	var truths []bool
	if json.Unmarshal(raw, &truths) == nil {
		out := tensor.Tensor{Name: "predict", Type: tensor.Bool, Shape: []int{len(truths)}, Data: make([]byte, len(truths))}
		for i, v := range truths {
			if v {
				out.Data[i] = 1
			}
		}
		return out
	}
	var floats []float64
	if err := json.Unmarshal(raw, &floats); err != nil {
		t.Fatal(err)
	}
	return tensor.NewFloat64("predict", []int{len(floats)}, floats)
}

func probability(t *testing.T, raw json.RawMessage) tensor.Tensor {
	t.Helper()
	var one []float64
	if json.Unmarshal(raw, &one) == nil {
		return tensor.NewFloat64("probability", []int{len(one)}, one)
	}
	var many [][]float64
	if err := json.Unmarshal(raw, &many); err != nil {
		t.Fatal(err)
	}
	return tensor.NewFloat64("probability", []int{len(many), len(many[0])}, slices.Concat(many...))
}

// TestRocAUC: it is the share of pairs that are ordered rightly, ties half, and turning
// all scores around gives the rest.
func TestRocAUC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "rows")
		levels := rapid.IntRange(1, 8).Draw(t, "levels") // few levels make ties
		score, turned, positive := make([]float64, n), make([]float64, n), make([]bool, n)
		for i := range n {
			score[i] = float64(rapid.IntRange(0, levels).Draw(t, "score")) / float64(levels)
			turned[i] = -score[i]
			positive[i] = rapid.Bool().Draw(t, "positive")
		}
		positive[0], positive[1] = true, false
		var right, pairs float64
		for i := range n {
			for j := range n {
				if !positive[i] || positive[j] {
					continue
				}
				pairs++
				if score[i] > score[j] {
					right++
				} else if score[i] == score[j] {
					right += 0.5
				}
			}
		}
		if got := evaluate.RocAUC(score, positive); got != right/pairs {
			t.Errorf("%v, want %v", got, right/pairs)
		}
		if got := evaluate.RocAUC(turned, positive); math.Abs(got-(1-right/pairs)) > 1e-15 {
			t.Errorf("turned around %v, want %v", got, 1-right/pairs)
		}
	})
}

// TestUndefined: where a metric has no value, that is said.
func TestUndefined(t *testing.T) {
	two := []int{2}
	labels := tensor.NewInt64("predict", two, []int64{0, 1})
	for name, c := range map[string]struct {
		metric string
		target []string
		out    []tensor.Tensor
		want   string
	}{
		"one class":         {"roc_auc", []string{"1", "1"}, []tensor.Tensor{labels, tensor.NewFloat64("probability", two, []float64{0.1, 0.9})}, "the target has one class only"},
		"one class, labels": {"recall", []string{"1", "1.0"}, []tensor.Tensor{labels}, "the target has one class only"},
		"no probability":    {"log_loss", []string{"0", "1"}, []tensor.Tensor{labels}, "the model has no output named probability, which roc_auc and log_loss need"},
		"a score":           {"roc_auc", []string{"0", "1"}, []tensor.Tensor{labels, tensor.NewFloat64("probability", two, []float64{-3, 3})}, "output probability gives values outside 0 to 1"},
		"three columns":     {"roc_auc", []string{"0", "1"}, []tensor.Tensor{labels, tensor.NewFloat64("probability", []int{2, 3}, make([]float64, 6))}, "the target has rows of 2 of 3 classes only"},
		"names, one short":  {"log_loss", []string{"a", "b"}, []tensor.Tensor{labels, tensor.NewFloat64("probability", []int{2, 3}, make([]float64, 6))}, "the target has 2 classes, output probability has a width of 3"},
		"numbers as labels": {"f1", []string{"0", "1"}, []tensor.Tensor{tensor.NewFloat64("predict", two, []float64{0.2, 0.7})}, `output "predict" gives numbers, not class labels`},
		"text as numbers":   {"rmse", []string{"0", "1"}, []tensor.Tensor{tensor.NewStrings("predict", two, []string{"a", "b"})}, `output "predict" gives text, not numbers`},
		"several values":    {"mae", []string{"0", "1"}, []tensor.Tensor{tensor.NewFloat64("predict", []int{2, 2}, make([]float64, 4))}, `output "predict" has several values a row`},
	} {
		if _, wrong := evaluate.Figure(c.metric, c.target, &tensor.Batch{Tensors: c.out}); wrong != c.want {
			t.Errorf("%s: %q, want %q", name, wrong, c.want)
		}
	}
}
