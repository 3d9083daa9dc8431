package spec

import (
	"fmt"
	"math"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Metric is the bound that one metric must keep on the hold-out file: at least Bound when
// HigherIsBetter, else at most. MaxRegression is by how much it may be worse than that of
// the live version on the same rows; nil asks nothing.
type Metric struct {
	Name           string
	HigherIsBetter bool
	Bound          float64
	MaxRegression  *float64
}

// Slice bounds how far a metric may lie apart between the groups of rows that have the same
// value in a column. Groups of fewer than MinRows rows are not judged.
type Slice struct {
	By             string // name of the column
	Metric         string
	HigherIsBetter bool
	MaxGap         float64 // between the best and the worst group
	MinRows        int
}

// Meets is true when a value keeps the bound; NaN keeps none.
func (m Metric) Meets(v float64) bool {
	if m.HigherIsBetter {
		return v >= m.Bound
	}
	return v <= m.Bound
}

// metricRange is a metric's direction and the bounds that can say something: those in
// (low, high].
type metricRange struct {
	name      string
	higher    bool
	low, high float64
}

func metricRanges() []metricRange {
	inf := math.Inf(1)
	return []metricRange{
		{"accuracy", true, 0, 1}, {"roc_auc", true, 0, 1}, {"log_loss", false, 0, inf},
		{"f1", true, 0, 1}, {"precision", true, 0, 1}, {"recall", true, 0, 1},
		{"rmse", false, 0, inf}, {"mae", false, 0, inf}, {"r2", true, -inf, 1},
	}
}

// MetricNames lists the metrics that a file may bound, named as scikit-learn names them.
func MetricNames() []string {
	var names []string
	for _, r := range metricRanges() {
		names = append(names, r.name)
	}
	return names
}

// rangeOf finds the range of a metric; ok is false for a name that is none.
func rangeOf(name string) (r metricRange, ok bool) {
	for _, r := range metricRanges() {
		if r.name == name {
			return r, true
		}
	}
	return metricRange{}, false
}

// metric reads one item of validation.metrics and reports a bound that cannot be meant.
func (d *document) metric(path string) Metric {
	name := text(d, path+".name")
	rule, ok := rangeOf(name)
	if !ok {
		return Metric{}
	}
	key, other := "max", "min"
	if rule.higher {
		key, other = "min", "max"
	}
	m := Metric{Name: name, HigherIsBetter: rule.higher}
	if at := path + "." + other; d.Has(at) {
		d.Report(at, at, strict.Mistake{Message: "does not fit " + name, Next: "use " + key + ": " + better(rule.higher)})
	} else if !d.Has(path + "." + key) {
		d.Report(path, path, strict.Mistake{Message: "has no bound", Next: fmt.Sprintf("add %s to %s", key, name)})
	}
	m.Bound = d.number(path + "." + key)
	if at := path + "." + key; d.well(at) && (m.Bound <= rule.low || m.Bound > rule.high) {
		d.Report(at, at, strict.Mistake{Message: "says nothing: " + name + " lies " + interval(rule), Next: "choose a bound in between"})
	}
	if at := path + ".max_regression_vs_production"; d.well(at) {
		v := d.number(at)
		m.MaxRegression = &v
		d.checkDifference(at, v, rule)
	}
	return m
}

// slice reads one item of validation.slices.
func (d *document) slice(path string, def defaults) Slice {
	rule, _ := rangeOf(text(d, path+".metric"))
	s := Slice{By: text(d, path+".by"), Metric: rule.name, HigherIsBetter: rule.higher,
		MaxGap: d.number(path + ".max_gap"), MinRows: get(d, path+".min_rows", def.sliceRows)}
	if at := path + ".max_gap"; d.well(at) && rule.name != "" {
		d.checkDifference(at, s.MaxGap, rule)
	}
	return s
}

// checkDifference reports a difference that no two values of a metric exceed.
func (d *document) checkDifference(path string, v float64, rule metricRange) {
	if v >= rule.high-rule.low {
		d.Report(path, path, strict.Mistake{Message: "says nothing: " + rule.name + " lies " + interval(rule), Next: "choose a smaller difference, such as 0.01"})
	}
}

func better(higher bool) string {
	if higher {
		return "higher is better"
	}
	return "lower is better"
}

func interval(r metricRange) string {
	switch {
	case math.IsInf(r.low, -1):
		return fmt.Sprintf("at or below %g", r.high)
	case math.IsInf(r.high, 1):
		return fmt.Sprintf("above %g", r.low)
	default:
		return fmt.Sprintf("between %g and %g", r.low, r.high)
	}
}
