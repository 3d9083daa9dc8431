package process

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// stubConn answers after a while, or fails.
type stubConn struct {
	wait time.Duration
	err  error
}

func (c stubConn) Predict(context.Context, string, *tensor.Batch) (*tensor.Batch, error) {
	time.Sleep(c.wait)
	return nil, c.err
}
func (c stubConn) Ready(context.Context) error { return c.err }
func (c stubConn) Close() error                { return nil }
func (c stubConn) Host(context.Context, *route.Pool) ([]route.HostedStatus, error) {
	return nil, c.err
}
func (c stubConn) Load(context.Context, string) error { return c.err }

func TestPick(t *testing.T) {
	load := func(n ...int64) []*lane {
		lanes := make([]*lane, len(n))
		for i := range n {
			lanes[i] = newLane(stubConn{}, "", nil)
			lanes[i].load.Store(n[i])
		}
		return lanes
	}
	if l := pick(nil, rand.IntN); l != nil {
		t.Error("picked from none")
	}
	lanes := load(3, 1, 2, 1, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	picked := map[*lane]int{}
	const draws = 3000
	for range draws {
		picked[pick(lanes, rng.IntN)]++
	}
	for i, l := range lanes {
		n := picked[l]
		if least := l.load.Load() == 1; !least && n > 0 || least && (n < draws/3-150 || n > draws/3+150) {
			t.Errorf("lane %d with load %d picked %d of %d times", i, l.load.Load(), n, draws)
		}
	}
}

func TestDrainWaitsForRequests(t *testing.T) {
	tests := map[string]struct {
		request, limit, want time.Duration
	}{
		"answered in time": {3 * time.Second, 10 * time.Second, 3 * time.Second},
		"given up":         {30 * time.Second, 10 * time.Second, 10 * time.Second},
		"idle":             {0, 10 * time.Second, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLane(stubConn{wait: tt.request}, "", nil)
				if tt.request > 0 {
					for range 3 {
						if !l.enter() {
							t.Fatal("an open lane refused")
						}
						go func() { _, _ = l.predict(t.Context(), "fraud-1", nil) }()
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				begin := time.Now()
				l.drain(ctx)
				if took := time.Since(begin); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				if l.enter() {
					t.Error("a shut lane let a request in")
				}
				time.Sleep(tt.request)
			})
		})
	}
}

func TestOnlyConnectionErrorsAskForACheck(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx  context.Context
		err  error
		want bool
	}{
		"answer":          {t.Context(), nil, false},
		"model's error":   {t.Context(), slipway.Errorf(slipway.Internal, slipway.CodeModelFailed, "", "no"), false},
		"schema":          {t.Context(), slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, "", "no"), false},
		"lost":            {t.Context(), slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "", "no"), true},
		"any other":       {t.Context(), errors.New("EOF"), true},
		"caller gave up":  {cancelled, context.Canceled, false},
		"caller and lost": {cancelled, errors.New("EOF"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			poked := false
			l := newLane(stubConn{err: tt.err}, "", func(string, bool) { poked = true })
			l.enter()
			if _, err := l.predict(tt.ctx, "fraud-1", nil); !errors.Is(err, tt.err) {
				t.Errorf("error %v became %v", tt.err, err)
			}
			if poked != tt.want || l.load.Load() != 0 {
				t.Errorf("asked for a check: %v; load %d", poked, l.load.Load())
			}
		})
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	s := &Supervisor{o: Options{Rand: rand.IntN}}
	s.lanes.Store(&map[string][]*lane{"fraud-1": {newLane(stubConn{}, "", nil), newLane(stubConn{}, "", nil)}})
	in := &tensor.Batch{}
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Predict(t.Context(), "fraud-1", in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
