package evaluate

import "github.com/slipway-ml/slipway/internal/tensor"

// Figure computes one metric of a target column and a model's answers to it, or says why
// it has no value.
func Figure(metric string, target []string, out *tensor.Batch) (float64, string) {
	t := &truth{classes: classes{index: map[string]int{}}, needs: needsOf(metric)}
	for _, cell := range target {
		if wrong, _ := t.add(cell); wrong != "" {
			return 0, wrong
		}
	}
	var a answers
	if wrong, _ := a.add(t, out); wrong != "" {
		return 0, wrong
	}
	v, wrong, _ := figure(metric, t, &a)
	return v, wrong
}

// RocAUC is the area under the ROC curve of two classes.
func RocAUC(score []float64, positive []bool) float64 { return rocAUC(score, positive) }

// Exceeds compares a difference of two metrics with what is allowed.
func Exceeds(difference, allowed float64) bool { return exceeds(difference, allowed) }
