package evaluate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Latency asks a model for one row at a time, one request after the other, and judges how
// long 95 % of the answers took: one result named latency. The rows are those of an example
// or a hold-out file in turn; without any the result is Unknown. The percentile is by nearest
// rank: the shortest time than which at least 95 % of the requests took no longer, so always
// one that was measured. The clock must be monotonic. It says what the model takes on an
// idle machine; under traffic the rollout judges. The error is that of a context that has
// ended.
func Latency(ctx context.Context, rows *tensor.Batch, want spec.Latency, m Model, now func() time.Time) ([]verdict.Result, error) {
	if rows == nil || rows.Rows() == 0 || want.Requests < 1 {
		return named("latency", verdict.Result{Verdict: verdict.Unknown, Message: "there are no rows to ask the model for",
			Next: "save the model with an input example, or add validation.dataset"}), nil
	}
	took := make([]time.Duration, want.Requests)
	for i := range took {
		row := i % rows.Rows()
		in := rows.Slice(row, row+1)
		start := now()
		_, stop, err := m.ask(ctx, in, func(int) string { return fmt.Sprintf("request %d", i+1) })
		took[i] = now().Sub(start)
		if err != nil {
			return nil, err
		}
		if stop != nil {
			return named("latency", *stop), nil
		}
	}
	slices.Sort(took)
	rank := (95*len(took) + 99) / 100 // ⌈0.95·n⌉
	p95 := took[rank-1]
	got, allowed := durations(p95, want.P95)
	r := verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("p95 is %s, at most %s is allowed: of %d requests of one row, one after the other, %d took no longer; the longest took %s",
		got, allowed, len(took), rank, took[len(took)-1].Round(time.Microsecond))}
	if p95 > want.P95 {
		r.Verdict, r.Next = verdict.Fail, "make the model faster, give it more in resources.cpu, or allow more in validation.latency.p95 of platform.yaml"
	}
	return named("latency", r), nil
}

// durations prints two to the microsecond, or whole if they would look equal and are not.
func durations(a, b time.Duration) (x, y string) {
	if ra, rb := a.Round(time.Microsecond), b.Round(time.Microsecond); ra != rb || a == b {
		a, b = ra, rb
	}
	return a.String(), b.String()
}
