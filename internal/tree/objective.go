package tree

import (
	"fmt"
	"math"
)

// link relates a margin, the sum of the leaves, to what an objective predicts.
type link uint8

const (
	identity link = iota
	logit         // margin = log(p/(1-p))
	log           // margin = log(y)
)

// output is what Predict makes of margins.
type output uint8

const (
	asIs      output = iota
	sigmoid          // 1/(1+exp(-margin))
	exponent         // exp(margin)
	step             // 1 where margin > 0, else 0
	softmax          // the class of the largest margin
	softprobs        // exp(margin_k)/sum exp(margin)
)

type objective struct {
	base link // how base_score becomes a margin
	out  output
}

// objectiveOf looks an objective of XGBoost up by its name.
func objectiveOf(name string) (objective, bool) {
	switch name {
	case "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror",
		"reg:absoluteerror", "reg:quantileerror",
		"binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map":
		return objective{identity, asIs}, true
	case "reg:logistic", "binary:logistic":
		return objective{logit, sigmoid}, true
	case "binary:hinge":
		return objective{identity, step}, true
	case "reg:gamma", "reg:tweedie", "count:poisson", "survival:cox", "survival:aft":
		return objective{log, exponent}, true
	case "multi:softmax":
		return objective{identity, softmax}, true
	case "multi:softprob":
		return objective{identity, softprobs}, true
	default:
		return objective{}, false
	}
}

// exp32 and log32 are exp and log in single precision, rounded from double.
func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }
func log32(x float32) float32 { return float32(math.Log(float64(x))) }

// margin is the base score in the space of margins, step by step in single precision as
// the library computes it. It fails for a score outside of the link's domain.
func (l link) margin(score float32) (float32, error) {
	switch {
	case l == logit && !(score > 0 && score < 1):
		return 0, fmt.Errorf("base_score: not between 0 and 1")
	case l == log && !(score > 0):
		return 0, fmt.Errorf("base_score: not above 0")
	case math.IsInf(float64(score), 0) || score != score:
		return 0, fmt.Errorf("base_score: not finite")
	case l == logit:
		return -log32(1/score - 1), nil
	case l == log:
		return log32(score), nil
	default:
		return score, nil
	}
}

// insideUnit moves a probability off 0 and 1, as XGBoost does since 3.1.
func insideUnit(p float32) float32 {
	const eps = float32(1e-6)
	if p >= 0 && p <= 1 {
		return min(max(p, eps), 1-eps)
	}
	return p
}

// sigmoid32 follows the library: the exponent is cut at 88.7, above which single precision
// overflows.
func sigmoid32(x float32) float32 {
	return 1 / (exp32(min(-x, 88.7)) + 1)
}

// transform turns margins of n rows, k for each, into predictions in place and answers
// those: k values a row, or one for softmax.
func (o output) transform(m []float32, n, k int) []float32 {
	switch o {
	case sigmoid:
		for i, v := range m {
			m[i] = sigmoid32(v)
		}
	case exponent:
		for i, v := range m {
			m[i] = exp32(v)
		}
	case step:
		for i, v := range m {
			m[i] = 0
			if v > 0 {
				m[i] = 1
			}
		}
	case softmax:
		for i := range n {
			m[i] = float32(argmax(m[i*k : (i+1)*k]))
		}
		return m[:n]
	case softprobs:
		for i := range n {
			softprob(m[i*k : (i+1)*k])
		}
	}
	return m
}

// argmax is the index of the first of the largest values.
func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// softprob normalizes one row; the sum is kept in double precision and rounded, as the
// library does.
func softprob(v []float32) {
	top := v[argmax(v)]
	var sum float64
	for i, x := range v {
		v[i] = exp32(x - top)
		sum += float64(v[i])
	}
	for i := range v {
		v[i] /= float32(sum)
	}
}
