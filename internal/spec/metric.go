package spec

import (
	"fmt"
	"math"
)

// Metric is the bound that one metric must keep on the hold-out file: at least Bound when
// HigherIsBetter, else at most.
type Metric struct {
	Name           string
	HigherIsBetter bool
	Bound          float64
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

// metric reads one item of validation.metrics and reports a bound that cannot be meant.
func (d *document) metric(path string) Metric {
	name := text(d, path+".name")
	var rule metricRange
	for _, r := range metricRanges() {
		if r.name == name {
			rule = r
		}
	}
	if rule.name == "" {
		return Metric{}
	}
	key, other := "max", "min"
	if rule.higher {
		key, other = "min", "max"
	}
	m := Metric{Name: name, HigherIsBetter: rule.higher}
	if at, ok := d.at[path+"."+other]; ok {
		d.report(at, path+"."+other, mistake{message: "does not fit " + name, next: "use " + key + ": " + better(rule.higher)})
	} else if !d.has(path + "." + key) {
		d.report(d.at[path], path, mistake{message: "has no bound", next: fmt.Sprintf("add %s to %s", key, name)})
	}
	bound, ok := d.values[path+"."+key].(float64)
	if !ok {
		return m
	}
	d.origin[path+"."+key] = "file"
	if bound <= rule.low || bound > rule.high {
		d.report(d.at[path+"."+key], path+"."+key, mistake{message: "says nothing: " + name + " lies " + interval(rule), next: "choose a bound in between"})
	}
	m.Bound = bound
	return m
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
