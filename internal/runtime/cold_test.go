package runtime

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/pool"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// echoed is a model that answers what it gets.
type echoed struct{}

func (echoed) Predict(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) { return in, nil }

// TestColdModelKeepsNobodyWaiting: however many requests wait for a model to be loaded, its pool
// says that it is ready and what it hosts, and answers for the others; too many are refused.
func TestColdModelKeepsNobodyWaiting(t *testing.T) {
	opened := make(chan struct{})
	open := sync.OnceFunc(func() { close(opened) })
	defer open()
	log := slog.New(slog.DiscardHandler)
	p := &hostedPool{models: pool.New(func(what route.Hosted, _ int64) (pool.Model, int64, error) {
		if what.Revision == "cold" {
			<-opened
		}
		return echoed{}, 1, nil
	}, log, time.Now)}
	p.models.Set(route.Pool{Models: []route.Hosted{{Revision: "cold"}, {Revision: "other"}}})
	h := newHost(nil, true, poolWorkers, log)
	h.pool = p
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { h.serve(ctx, ln, func() time.Duration { return 0 }) })
	c, err := Dial(t.Context(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("x", []int{1}, []float64{1})}}
	answers := make(chan error, maxWaiting+1)
	for range maxWaiting + 1 {
		go func() {
			_, err := c.Predict(t.Context(), "cold", in)
			answers <- err
		}()
	}
	if err := <-answers; err == nil { // which makes sure that all others wait
		t.Error("more wait than may")
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if states, err := c.Host(t.Context(), nil); err != nil || len(states) != 2 || states[0].Loaded {
		t.Errorf("%+v, %v", states, err)
	}
	if _, err := c.Predict(t.Context(), "other", in); err != nil {
		t.Error(err)
	}
	open()
	for range maxWaiting {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	stop()
	c.Close()
	serving.Wait()
}
