package eprocess

import "math"

// Combine is the evidence of a family of judges, log E = logsumexp(ln w_k + log E_k), and
// the index of the largest term: the judge to name. It is valid however the judges depend
// on each other, if all are evaluated at the same bucket ends and the weights, which sum
// to at most 1, were fixed before. A judge of weight 0 takes no part.
func Combine(weights, logE []float64) (combined float64, largest int) {
	terms := make([]float64, len(logE))
	for k, l := range logE {
		terms[k] = math.Inf(-1)
		if weights[k] > 0 {
			terms[k] = math.Log(weights[k]) + l
		}
		if terms[k] > terms[largest] {
			largest = k
		}
	}
	return logSumExp(terms), largest
}
