package tracking

import (
	"context"
	"math"
	"slices"

	"github.com/slipway-ml/slipway/internal/query"
)

// historyTerms are the order of a history. NaN is the value 0 with a nan of 1.
var historyTerms = []query.Term{
	{Expr: "timestamp", Kind: query.Int}, {Expr: "step", Kind: query.Int}, {Expr: "value", Kind: query.Float}, {Expr: "nan", Kind: query.Int},
}

// Stored is a value as a history is ordered by it.
func Stored(v float64) (value float64, nan int64) {
	if math.IsNaN(v) {
		return 0, 1
	}
	return v, 0
}

// MetricHistory gives a key's measurements in a run, ordered by time, and the token of the
// next page.
func (s *Service) MetricHistory(ctx context.Context, run, key string, most int, token string) ([]Metric, string, error) {
	limit, err := bounded(most, maxHistory, maxHistory)
	if err != nil {
		return nil, "", err
	}
	question := query.Fingerprint([]any{"history", run, key})
	last, err := query.Last(token, question, historyTerms)
	if err != nil {
		return nil, "", err
	}
	found, err := s.stores.History.History(ctx, run, key, last, limit+1)
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	m := found[limit-1]
	value, nan := Stored(m.Value)
	return found[:limit], query.Token(question, []any{m.Timestamp, m.Step, value, nan}), nil
}

// MetricHistories gives a key's measurements in many runs, ordered by run and time.
func (s *Service) MetricHistories(ctx context.Context, teams, runs []string, key string, most int) ([]Metric, error) {
	if len(runs) > maxBulkRuns {
		return nil, invalid("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.", maxBulkRuns, len(runs))
	}
	limit, err := bounded(min(most, maxHistory), maxHistory, maxHistory)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	return s.stores.History.Histories(ctx, teams, runs, key, limit)
}

// SampleHistories gives a key's measurements in many runs at about most of their steps, the
// same in all runs, so that curves can be laid over each other; between two steps, if both
// are given. They are ordered by run as asked, then by step. One run is held at a time.
func (s *Service) SampleHistories(ctx context.Context, teams, runs []string, key string, start, end *int64, most int) ([]Metric, error) {
	if len(runs) > maxBulkRuns {
		return nil, invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.", maxBulkRuns, len(runs))
	}
	limit, err := bounded(most, maxSample, maxSample)
	if err != nil {
		return nil, invalid("max_results must be between 1 and %d.", maxSample)
	}
	steps := [2]int64{0, math.MaxInt64}
	switch {
	case (start == nil) != (end == nil):
		return nil, invalid("If either start step or end step are specified, both must be specified.")
	case start != nil && *start > *end:
		return nil, invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", *start, *end)
	case start != nil:
		steps = [2]int64{*start, *end}
	}
	var each [][]int64
	for _, run := range runs {
		if _, _, err := s.RunOwner(ctx, teams, run); err != nil {
			return nil, err
		}
		found, err := s.stores.History.Series(ctx, run, key)
		if err != nil {
			return nil, err
		}
		each = append(each, stepsOf(found))
	}
	chosen := sampled(each, steps, limit)
	var out []Metric
	for _, run := range runs {
		found, err := s.stores.History.Series(ctx, run, key)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(m Metric) bool { _, in := slices.BinarySearch(chosen, m.Step); return !in })
		out = append(out, evenly(found, len(chosen))...)
	}
	return out, nil
}

// stepsOf are the steps of a series, each once.
func stepsOf(series []Metric) []int64 {
	out := make([]int64, len(series))
	for i, m := range series {
		out[i] = m.Step
	}
	return slices.Compact(out)
}

// sampled chooses steps as MLflow does (mlflow/store/tracking/abstract_store.py): of all that
// the runs have between two steps, evenly, limit and the last of them, and the first and the
// last of each run. The result is sorted.
func sampled(runs [][]int64, between [2]int64, limit int) []int64 {
	var all, ends []int64
	for _, run := range runs {
		all = append(all, run...)
		if len(run) > 0 {
			ends = append(ends, run[0], run[len(run)-1])
		}
	}
	outside := func(step int64) bool { return step < between[0] || step > between[1] }
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), outside)
	out := slices.DeleteFunc(ends, outside)
	if len(all) <= limit {
		out = append(out, all...)
	} else {
		for i := range limit {
			out = append(out, all[i*len(all)/limit])
		}
		out = append(out, all[len(all)-1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// evenly chooses at most limit of a series, with the first and the last: one step may have
// very many measurements.
func evenly(all []Metric, limit int) []Metric {
	if len(all) <= limit {
		return all
	}
	out := make([]Metric, limit)
	for i := range out {
		out[i] = all[i*(len(all)-1)/max(1, limit-1)]
	}
	return out
}

// SearchDatasets lists what data sets experiments used.
func (s *Service) SearchDatasets(ctx context.Context, teams, experiments []string) ([]DatasetSummary, error) {
	switch {
	case len(experiments) == 0:
		return nil, invalid("SearchDatasets request must specify at least one experiment_id.")
	case len(experiments) > maxSummaryOf:
		return nil, invalid("SearchDatasets request cannot specify more than %d experiment_ids. Received %d experiment_ids.", maxSummaryOf, len(experiments))
	}
	if err := checkExperiments(experiments); err != nil {
		return nil, err
	}
	return s.stores.History.Datasets(ctx, teams, experiments, maxSummaries)
}
