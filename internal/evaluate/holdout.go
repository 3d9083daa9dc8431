package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Holdout scores a model on a labelled CSV file (v.Dataset, which must not be nil) and
// judges each metric by its bound and each slice by its gap: results named holdout, after
// the metrics ("roc_auc") and after the slices ("roc_auc by country"). Metrics are those of
// sklearn.metrics on values converted to float64; f1, precision, recall and roc_auc are of
// the greater of two classes, and macro averages (roc_auc one against the rest) of more.
//
// A live version, if not nil, is scored on the same rows ("roc_auc beside live"). A metric
// with MaxRegression fails when the candidate is worse by more, and is Unknown when the two
// cannot be compared; of another metric a worse candidate is told by Warn.
//
// A slice compares the groups of rows with one value in a column. Groups of fewer than
// MinRows rows are left out and counted in the message; with fewer than two groups left, or
// one in which the metric has no value, the result is Unknown.
//
// Features are matched with columns by name, other columns are ignored and named. A model
// of one tensor takes all columns in their order but the target and those sliced by. An
// empty cell is a missing value. It answers Invalid with CodeHoldout and the line for a
// file that cannot be used, and the context's error if that ends; a model that cannot be
// asked gives Unknown.
func Holdout(ctx context.Context, file io.Reader, v spec.Validation, candidate Model, live *Model) ([]verdict.Result, error) {
	h := &holdout{truth: truth{classes: classes{index: map[string]int{}}}}
	for _, m := range v.Metrics {
		h.truth.needs = h.truth.needs.and(needsOf(m.Name))
	}
	for _, s := range v.Slices {
		h.truth.needs = h.truth.needs.and(needsOf(s.Metric))
	}
	t, err := openTable(v, file)
	if err != nil {
		return nil, err
	}
	h.table = t
	h.candidate.model = candidate
	if h.candidate.binding, err = t.bind(&candidate.Schema); err != nil {
		return nil, err
	}
	if live != nil {
		h.live = &scorer{model: *live}
		if h.live.binding, err = t.bind(&live.Schema); err != nil {
			h.live.stop = incomparable(err)
		}
	}
	if err := h.read(ctx); err != nil {
		return nil, err
	}
	if h.candidate.stop != nil {
		return named("holdout", *h.candidate.stop), nil
	}
	if t.rows < v.Dataset.MinRows || t.rows == 0 {
		return nil, unusable(t.file, "add rows, or lower validation.dataset.min_rows", "has %d rows where at least %d are needed", t.rows, max(1, v.Dataset.MinRows))
	}
	results := named("holdout", h.summary())
	for _, m := range v.Metrics {
		results = append(results, h.judge(m)...)
	}
	for _, s := range v.Slices {
		results = append(results, h.slice(s)...)
	}
	if h.live != nil && h.live.stop != nil {
		results = append(results, named("live", *h.live.stop)...)
	}
	return results, nil
}

// HoldoutRows gives the first rows of a hold-out file as a model's inputs. Errors are those
// of Holdout.
func HoldoutRows(file io.Reader, v spec.Validation, schema *tensor.Schema) (*tensor.Batch, error) {
	t, err := openTable(v, file)
	if err != nil {
		return nil, err
	}
	b, err := t.bind(schema)
	if err != nil {
		return nil, err
	}
	c, err := t.next()
	if errors.Is(err, io.EOF) {
		return nil, unusable(t.file, "add rows", "has no rows")
	}
	if err != nil {
		return nil, err
	}
	return t.batch(c, b)
}

// holdout is a file while it is read, and who is scored on it.
type holdout struct {
	table     *table
	truth     truth
	candidate scorer
	live      *scorer
}

// scorer is one model and its answers so far; stop is why it is asked no more.
type scorer struct {
	model   Model
	binding *binding
	answers answers
	stop    *verdict.Result
}

// read goes through the file once, until its end or until the candidate is stopped.
func (h *holdout) read(ctx context.Context) error {
	for h.candidate.stop == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := h.table.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for r, cells := range c.cells {
			if wrong, next := h.truth.add(cells[h.table.target]); wrong != "" {
				return unusable(line(h.table.file, c.lines[r]), next, "the target column %.80q %s", h.table.header[h.table.target], wrong)
			}
		}
		if err := h.table.group(c); err != nil {
			return err
		}
		in, err := h.table.batch(c, h.candidate.binding)
		if err != nil {
			return err
		}
		if err := h.candidate.take(ctx, h, c, in); err != nil {
			return err
		}
		if err := h.compare(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// compare asks the live version. What stops it ends the comparison only.
func (h *holdout) compare(ctx context.Context, c *chunk) error {
	if h.live == nil || h.live.stop != nil {
		return nil
	}
	in, err := h.table.batch(c, h.live.binding)
	if err != nil {
		h.live.stop = incomparable(err)
		return nil
	}
	err = h.live.take(ctx, h, c, in)
	if h.live.stop != nil {
		h.live.stop = &verdict.Result{Verdict: verdict.Warn, Message: "the live version could not be compared: " + h.live.stop.Message, Next: h.live.stop.Next}
	}
	return err
}

func incomparable(err error) *verdict.Result {
	e := slipway.AsError(err)
	return &verdict.Result{Verdict: verdict.Warn, Next: e.Next,
		Message: fmt.Sprintf("the live version could not be compared: %s %s", e.Field, e.Message)}
}

// take asks the model for the rows of a chunk and keeps its answers.
func (s *scorer) take(ctx context.Context, h *holdout, c *chunk, in *tensor.Batch) error {
	out, stop, err := s.model.ask(ctx, in, func(row int) string {
		return fmt.Sprintf("the row in line %d of %s", c.lines[row], h.table.file)
	})
	if err != nil || stop != nil {
		s.stop = stop
		return err
	}
	if wrong, next := s.answers.add(&h.truth, out); wrong != "" {
		s.stop = failed(wrong, next)
	}
	return nil
}

func (h *holdout) summary() verdict.Result {
	message := fmt.Sprintf("%d rows of %s", h.table.rows, h.table.file)
	if names := h.table.ignored(h.candidate.binding); len(names) > 0 {
		message += "; columns that the model does not take: " + listed(names)
	}
	return verdict.Result{Verdict: verdict.Pass, Message: message}
}

// judge holds one metric to its bound and beside the live version's.
func (h *holdout) judge(m spec.Metric) []verdict.Result {
	v, wrong, next := figure(m.Name, &h.truth, &h.candidate.answers)
	if wrong == "" && math.IsNaN(v) {
		wrong, next = "it has no value on these rows", "add rows"
	}
	if wrong != "" {
		return named(m.Name, *failed(m.Name+" cannot be computed: "+wrong, next))
	}
	sign := "at most"
	if m.HigherIsBetter {
		sign = "at least"
	}
	got, bound := figures(v, m.Bound)
	r := verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%s, %s %s is required", got, sign, bound)}
	if !m.Meets(v) {
		r.Verdict, r.Next = verdict.Fail, "train a better model, or change the bound of "+m.Name+" in validation.metrics of platform.yaml"
	}
	results := named(m.Name, r)
	if h.live == nil || h.live.stop != nil && m.MaxRegression == nil {
		return results
	}
	return append(results, h.beside(m, v)...)
}

// beside compares a metric with that of the live version.
func (h *holdout) beside(m spec.Metric, v float64) []verdict.Result {
	check := m.Name + " beside live"
	incomparable := verdict.Warn
	if m.MaxRegression != nil {
		incomparable = verdict.Unknown
	}
	if stop := h.live.stop; stop != nil {
		return named(check, verdict.Result{Verdict: incomparable, Message: stop.Message, Next: stop.Next})
	}
	before, wrong, next := figure(m.Name, &h.truth, &h.live.answers)
	if wrong == "" && math.IsNaN(before) {
		wrong, next = m.Name+" of its answers has no value", "add rows"
	}
	if wrong != "" {
		return named(check, verdict.Result{Verdict: incomparable, Message: "the live version could not be compared: " + wrong, Next: next})
	}
	got, live := figures(v, before)
	worse := v - before
	if m.HigherIsBetter {
		worse = before - v
	}
	switch {
	case m.MaxRegression != nil && exceeds(worse, *m.MaxRegression):
		by, allowed := figures(worse, *m.MaxRegression)
		return named(check, *failed(fmt.Sprintf("%s is %s worse than the %s of the live version, where %s is allowed", got, by, live, allowed),
			"train a better model, or allow more in max_regression_vs_production of "+m.Name+" in platform.yaml"))
	case m.MaxRegression != nil:
		return named(check, verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%s, the live version has %s; %g worse is allowed", got, live, *m.MaxRegression)})
	case worse <= 0:
		return named(check, verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%s, the live version has %s", got, live)})
	}
	return named(check, verdict.Result{Verdict: verdict.Warn, Message: fmt.Sprintf("%s is worse than the %s of the live version", got, live),
		Next: "release it only if another reason outweighs this"})
}

// exceeds compares a difference of two metrics with what is allowed, and forgives what
// comes from rounding: 0.92 - 0.915 is more than 0.005 in binary.
func exceeds(difference, allowed float64) bool {
	return difference > allowed+1e-12*max(1, math.Abs(allowed))
}

// figures prints two numbers with six digits, or with all if they would look equal and are
// not.
func figures(a, b float64) (x, y string) {
	for _, digits := range []int{6, -1} {
		x, y = strconv.FormatFloat(a, 'g', digits, 64), strconv.FormatFloat(b, 'g', digits, 64)
		if x != y || a == b {
			break
		}
	}
	return x, y
}

// Scores reads the metrics of a version back from the results that Holdout once gave of it,
// by name.
func Scores(results []verdict.Result) map[string]float64 {
	scores := map[string]float64{}
	for _, r := range results {
		if !slices.Contains(spec.MetricNames(), r.Check) {
			continue
		}
		figure, _, _ := strings.Cut(r.Message, ", ")
		if v, err := strconv.ParseFloat(figure, 64); err == nil {
			scores[r.Check] = v
		}
	}
	return scores
}
