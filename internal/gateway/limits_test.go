package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func limited(l route.Limits) route.Endpoint {
	e := serving(0)
	e.Limits = &l
	return e
}

// TestRateLimit: beyond the rate it is 429 with the time to wait, in both protocols, which no
// revision hears of; a new table changes the rate and keeps the count.
func TestRateLimit(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, limited(route.Limits{RatePerSecond: 0.1, Burst: 1, Queue: 1})))
	if w := h.infer(); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	w := h.infer()
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" || !strings.Contains(w.Body.String(), slipway.CodeRateLimited) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = h.send(http.MethodPost, "/endpoints/fraud/invocations", callerToken, mlflowBody)
	if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "REQUEST_LIMIT_EXCEEDED") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if c := h.counts("fraud-1"); c.Requests != 1 || c.Errors != 0 {
		t.Errorf("%+v", c)
	}
	if n := h.endpoint().Traffic.Refused["rate"]; n != 2 {
		t.Errorf("%d are counted", n)
	}
	if n := metric(t, h, "slipway_refused_total", "rate"); n != 2 {
		t.Errorf("metrics have %g", n)
	}
	h.apply(table(2, limited(route.Limits{Queue: 1})))
	if w := h.infer(); w.Code != http.StatusOK {
		t.Error(w.Code)
	}
	if n := h.endpoint().Traffic.Refused["rate"]; n != 2 {
		t.Errorf("a new table forgets: %d", n)
	}
}

func metric(t *testing.T, h *harness, name, reason string) float64 {
	t.Helper()
	all, err := h.config.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "reason" && l.GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return -1
}

// TestConcurrencyLimit: one is answered, one waits, the third is refused; the table may
// change meanwhile.
func TestConcurrencyLimit(t *testing.T) {
	f := newFake()
	h := open(t, t.TempDir(), f)
	began, end := make(chan struct{}), make(chan struct{})
	f.set("fraud-1", func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		began <- struct{}{}
		<-end
		return value(1)(ctx, in)
	})
	h.apply(table(1, limited(route.Limits{Concurrency: 1, Queue: 1, QueueWait: patience})))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if w := h.infer(); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	<-began
	for h.endpoint().Traffic.Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	h.apply(table(2, limited(route.Limits{Concurrency: 1, Queue: 1, QueueWait: patience})))
	w := h.infer()
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), slipway.CodeOverloaded) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	end <- struct{}{}
	<-began
	end <- struct{}{}
	wg.Wait()
	st := h.endpoint().Traffic
	if st.Inside != 0 || st.Waiting != 0 || st.Refused["queue_full"] != 1 {
		t.Errorf("%+v", st)
	}
}

// TestBodyLimit: the endpoint's own limit holds, for a length that is told and one that is
// not.
func TestBodyLimit(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, limited(route.Limits{MaxBody: int64(len(inferBody)), Queue: 1})))
	if w := h.infer(); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := h.send(http.MethodPost, "/v2/models/fraud/infer", callerToken, inferBody+" "); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestWaitTakesFromDeadline: a request whose time is over in the queue reaches nobody, and
// one that had its place late is cut at the same time as if it had not waited, which is not
// held against the model.
func TestWaitTakesFromDeadline(t *testing.T) {
	f := newFake()
	h := open(t, t.TempDir(), f)
	began, end := make(chan struct{}), make(chan struct{})
	f.set("fraud-1", func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		began <- struct{}{}
		<-end
		return value(1)(ctx, in)
	})
	h.apply(table(1, limited(route.Limits{Concurrency: 1, Queue: 9, QueueWait: patience})))
	first := make(chan int)
	go func() { first <- h.infer().Code }()
	<-began
	if w := h.infer("Slipway-Deadline-Ms", "20"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	end <- struct{}{}
	if code := <-first; code != http.StatusOK {
		t.Error(code)
	}
	if c := h.counts("fraud-1"); c.Requests != 1 {
		t.Errorf("%+v", c)
	}
}

// TestHangingCandidateTakesNoPlaces: stable answers on, however many wait for a candidate.
func TestHangingCandidateTakesNoPlaces(t *testing.T) {
	f := newFake()
	h := open(t, t.TempDir(), f)
	f.set("fraud-2", hang)
	e := serving(.5)
	e.Limits = &route.Limits{Concurrency: 2, Queue: 4}
	h.apply(table(1, e))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const flood, hanging = 32, 2
	var done atomic.Int64
	for range flood {
		wg.Go(func() {
			h.sendContext(ctx)
			done.Add(1)
		})
	}
	for done.Load() < flood-hanging { // who finds no place at the candidate goes to stable, which has few for so many at once
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		if w := h.infer(); w.Code != http.StatusOK || w.Header().Get("Slipway-Revision") != "fraud-1" {
			t.Errorf("%d from %s", w.Code, w.Header().Get("Slipway-Revision"))
		}
	}
	cancel()
	wg.Wait()
	if st := h.endpoint().Traffic; st.Inside != 0 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}
