package lightgbm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// output is what Predict makes of the sums of a row (ConvertOutput of LightGBM's objectives).
type output uint8

const (
	asIs      output = iota
	square           // the square, with the sign
	exponent         // exp(x)
	sigmoid          // 1/(1+exp(-slope·x))
	softplus         // log(1+exp(x))
	softprobs        // exp(x_k)/sum exp(x)
)

type objective struct {
	name  string
	out   output
	slope float64 // of the sigmoid
}

// objectiveOf reads the line of the objective: its name and what it needs. Without one, or
// if it was the user's own, predictions are sums.
func objectiveOf(text string) (o objective, err error) {
	name, rest, _ := strings.Cut(text, " ")
	o = objective{name: name, slope: 1}
	switch name {
	case "", "custom", "huber", "fair", "quantile", "lambdarank", "rank_xendcg":
	case "regression", "regression_l1", "mape":
		for word := range strings.FieldsSeq(rest) {
			if word == "sqrt" {
				o.out = square
			}
		}
	case "poisson", "gamma", "tweedie":
		o.out = exponent
	case "binary", "multiclassova":
		o.out = sigmoid
		for word := range strings.FieldsSeq(rest) {
			if value, ok := strings.CutPrefix(word, "sigmoid:"); ok {
				o.slope, err = strconv.ParseFloat(value, 64)
				if err != nil || !(o.slope > 0) || math.IsInf(o.slope, 0) {
					return o, fmt.Errorf("objective: sigmoid: no number above 0")
				}
			}
		}
	case "multiclass":
		o.out = softprobs
	case "cross_entropy", "xentropy":
		o.out = sigmoid
	case "cross_entropy_lambda", "xentlambda":
		o.out = softplus
	default:
		return o, unsupported(fmt.Sprintf("the objective %.40q", name))
	}
	return o, nil
}

// transform turns sums of rows, k for each, into predictions in place.
func (o objective) transform(v []float64, k int) {
	switch o.out {
	case square:
		for i, x := range v {
			v[i] = math.Abs(x) * x
		}
	case exponent:
		for i, x := range v {
			v[i] = math.Exp(x)
		}
	case sigmoid:
		for i, x := range v {
			v[i] = 1 / (1 + math.Exp(-o.slope*x))
		}
	case softplus:
		for i, x := range v {
			v[i] = math.Log1p(math.Exp(x))
		}
	case softprobs:
		for ; len(v) > 0; v = v[k:] {
			softprob(v[:k])
		}
	case asIs:
	}
}

func softprob(v []float64) {
	top := v[0]
	for _, x := range v {
		top = max(top, x)
	}
	sum := 0.0
	for i, x := range v {
		v[i] = math.Exp(x - top)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}
