package tracking

import (
	"context"
	"math"
	"slices"

	"github.com/slipway-ml/slipway/internal/query"
)

// historyTerms are the order of a history.
var historyTerms = []query.Term{
	{Expr: "timestamp", Kind: query.Int}, {Expr: "step", Kind: query.Int}, {Expr: "value", Kind: query.Float}, {Expr: "nan", Kind: query.Int},
}

// HistoryTerms are the expressions by which a history is ordered, for a store. NaN is the
// value 0 with a nan of 1.
func HistoryTerms() []query.Term { return slices.Clone(historyTerms) }

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

// SampleHistories gives about most measurements of a key in each run, evenly chosen, with
// the first and the last; between steps, if both are given.
func (s *Service) SampleHistories(ctx context.Context, teams, runs []string, key string, start, end *int64, most int) ([]Metric, error) {
	if len(runs) > maxBulkRuns {
		return nil, invalid("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids.", maxBulkRuns, len(runs))
	}
	limit, err := bounded(most, maxSample, maxSample)
	if err != nil {
		return nil, invalid("max_results must be between 1 and %d.", maxSample)
	}
	var steps *[2]int64
	switch {
	case (start == nil) != (end == nil):
		return nil, invalid("If either start step or end step are specified, both must be specified.")
	case start != nil && *start > *end:
		return nil, invalid("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", *start, *end)
	case start != nil:
		steps = &[2]int64{*start, *end}
	}
	var out []Metric
	for _, run := range runs { // at most a hundred, each bounded
		if _, _, err := s.RunOwner(ctx, teams, run); err != nil {
			return nil, err
		}
		found, err := s.stores.History.Sample(ctx, run, key, steps, limit)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
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
