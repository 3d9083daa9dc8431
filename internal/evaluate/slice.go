package evaluate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// maxGroups bounds the values of a column that is sliced by: more are no groups.
const maxGroups = 200

// groups is a column that is sliced by, and the rows of each of its values.
type groups struct {
	column int
	rows   map[string][]int
}

// sliceBy finds the columns of slices.
func (t *table) sliceBy(all []spec.Slice) error {
	for _, s := range all {
		at := slices.Index(t.header, s.By)
		if at < 0 {
			return unusable(line(t.file, 1), "add the column, which the model need not take, or correct validation.slices in platform.yaml", "has no column %.80q to slice by", s.By)
		}
		if t.grouping(at) == nil {
			t.groups = append(t.groups, &groups{column: at, rows: map[string][]int{}})
		}
	}
	return nil
}

// grouping is the groups of a column, nil if it is not sliced by.
func (t *table) grouping(column int) *groups {
	for _, g := range t.groups {
		if g.column == column {
			return g
		}
	}
	return nil
}

// group sorts the rows of the newest chunk into the groups of each column.
func (t *table) group(c *chunk) error {
	first := t.rows - len(c.cells)
	for _, g := range t.groups {
		for r, cells := range c.cells {
			value := cells[g.column]
			if _, ok := g.rows[value]; !ok {
				if len(g.rows) == maxGroups {
					return unusable(line(t.file, c.lines[r]), "slice by a coarser column", "column %.80q has more than %d values to slice by", t.header[g.column], maxGroups)
				}
				value = strings.Clone(value)
			}
			g.rows[value] = append(g.rows[value], first+r)
		}
	}
	return nil
}

// slice compares a metric between the groups of a column.
func (h *holdout) slice(s spec.Slice) []verdict.Result {
	g := h.table.grouping(slices.Index(h.table.header, s.By))
	check := fmt.Sprintf("%s by %.80s", s.Metric, s.By)
	var judged []string
	for value, rows := range g.rows {
		if len(rows) >= s.MinRows {
			judged = append(judged, value)
		}
	}
	slices.Sort(judged)
	if len(judged) < 2 {
		return named(check, verdict.Result{Verdict: verdict.Unknown,
			Message: fmt.Sprintf("%d of %d groups have %d rows, and two are needed to compare", len(judged), len(g.rows), s.MinRows),
			Next:    "add rows, lower min_rows of this slice in platform.yaml, or remove it"})
	}
	known := &whole{present: h.truth.present(), two: h.truth.ofTwo(&h.candidate.answers)}
	var best, worst string
	var high, low float64 // figures of the best and the worst group
	for i, value := range judged {
		t, a := h.truth.of(g.rows[value], known), h.candidate.answers.of(g.rows[value])
		v, wrong, next := figure(s.Metric, t, a)
		if wrong == "" && math.IsNaN(v) {
			wrong, next = "it has no value on these rows", "add rows"
		}
		if wrong != "" {
			return named(check, verdict.Result{Verdict: verdict.Unknown, Message: fmt.Sprintf("%s cannot be computed where the column is %.40q: %s", s.Metric, value, wrong), Next: next})
		}
		if i == 0 || (v > high) == s.HigherIsBetter && v != high {
			best, high = value, v
		}
		if i == 0 || (v < low) == s.HigherIsBetter && v != low {
			worst, low = value, v
		}
	}
	return named(check, gap(s, best, worst, high, low, len(judged), len(g.rows)))
}

// gap judges the difference between the best and the worst group.
func gap(s spec.Slice, best, worst string, high, low float64, judged, all int) verdict.Result {
	difference := math.Abs(high - low)
	top, bottom := figures(high, low)
	apart, allowed := figures(difference, s.MaxGap)
	r := verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%s where the column is %.40q, %s where it is %.40q: a gap of %s, at most %s is allowed", top, best, bottom, worst, apart, allowed)}
	if best == worst {
		r.Message = fmt.Sprintf("%s in each of %d groups: no gap, at most %s is allowed", top, judged, allowed)
	}
	if left := all - judged; left > 0 {
		r.Message += fmt.Sprintf("; %d of %d groups have fewer than %d rows and are left out", left, all, s.MinRows)
	}
	if exceeds(difference, s.MaxGap) {
		r.Verdict = verdict.Fail
		r.Next = fmt.Sprintf("find out why the model does worse there, or change max_gap of %s by %.80s in validation.slices of platform.yaml", s.Metric, s.By)
	}
	return r
}

// of is the target of some rows.
func (t *truth) of(rows []int, known *whole) *truth {
	return &truth{needs: t.needs, classes: t.classes, class: pick(t.class, rows, 1), numbers: pick(t.numbers, rows, 1), whole: known}
}

// of is the answers to some rows.
func (a *answers) of(rows []int) *answers {
	return &answers{class: pick(a.class, rows, 1), numbers: pick(a.numbers, rows, 1), probability: pick(a.probability, rows, a.width), width: a.width}
}

// pick takes some rows of values, width for each; of none it takes none.
func pick[T any](values []T, rows []int, width int) []T {
	if len(values) == 0 {
		return nil
	}
	out := make([]T, 0, len(rows)*width)
	for _, r := range rows {
		out = append(out, values[r*width:(r+1)*width]...)
	}
	return out
}
