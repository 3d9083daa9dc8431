package runtime

import (
	"context"
	"errors"
	"log/slog"
	"net"
	goruntime "runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/pool"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Bounds of a host.
const (
	maxConns          = 64
	maxQueue          = 1024         // requests that wait for a worker
	maxQueued         = 4 * maxFrame // bytes of requests that wait or run
	failuresPerSecond = 5            // logged
	drainPoll         = 5 * time.Millisecond
	drainGrace        = 10 * time.Second
)

// predictor is a loaded model, safe for concurrent use.
//
// Predict answers a batch with one of as many rows. It must not keep the batch, nor change
// it. An error that is no *slipway.Error reaches the log only. Ready answers nil when the
// next Predict has a chance.
type predictor interface {
	Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)
	Ready(ctx context.Context) error
}

// host answers the frames of any number of connections with one predictor, or the models of a
// pool. Cheap requests are answered by the goroutine that reads them, all others by a bounded
// set of workers.
type host struct {
	model   predictor
	pool    *hostedPool // nil unless it hosts one; model is then nil
	inline  bool        // cheap requests need no worker
	workers int
	log     *slog.Logger
	logRate *rate.Limiter // of failed requests, which come in floods

	jobs     chan *job
	pace     pool.Pace    // of the one model
	inflight atomic.Int64 // requests that wait or run
	queued   atomic.Int64 // their bytes
	draining atomic.Bool
	waiting  sync.WaitGroup // requests whose model is being loaded

	mu       sync.Mutex
	sessions map[*session]struct{}
}

// job is one request for a worker. Ctx ends with its deadline, its cancellation or its
// connection.
type job struct {
	s     *session
	id    uint64
	ctx   context.Context
	kind  kind
	asked asked
	body  []byte
}

// asked is the model that a request is for. It is zero for ready and host.
type asked struct {
	model interface {
		Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)
	}
	seat  *pool.Seat // of a pool
	pace  *pool.Pace
	quick bool // a cheap request needs no worker
}

func newHost(model predictor, inline bool, workers int, log *slog.Logger) *host {
	return &host{model: model, inline: inline, workers: workers, log: log,
		logRate: rate.NewLimiter(failuresPerSecond, 4*failuresPerSecond),
		jobs:    make(chan *job, maxQueue), sessions: map[*session]struct{}{}}
}

// serve answers until ctx ends. Then it refuses new requests, finishes those in flight for
// at most grace, and returns when all its goroutines have ended.
func (h *host) serve(ctx context.Context, ln net.Listener, grace func() time.Duration) {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers, conns sync.WaitGroup
	for range h.workers {
		workers.Go(func() { h.work(base) })
	}
	conns.Go(func() { h.accept(base, ln, &conns) })

	<-ctx.Done()
	h.draining.Store(true)
	ln.Close()
	h.drain(grace())
	h.mu.Lock()
	for s := range h.sessions {
		s.hangUp()
	}
	h.mu.Unlock()
	stop()
	conns.Wait()
	h.waiting.Wait() // their contexts have ended with their connections
	workers.Wait()
}

// drain waits until nothing is in flight, but not beyond grace.
func (h *host) drain(grace time.Duration) {
	end := time.After(grace)
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for h.inflight.Load() > 0 {
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

func (h *host) accept(ctx context.Context, ln net.Listener, conns *sync.WaitGroup) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			if h.draining.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			h.log.Warn("a connection could not be accepted", "error", err.Error())
			time.Sleep(drainPoll) // out of descriptors: do not spin
			continue
		}
		s := newSession(h, conn)
		if !h.enter(s) {
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer h.leave(s)
			if err := s.run(ctx); err != nil {
				h.log.Warn("a connection was dropped", "error", err.Error())
			}
		})
	}
}

func (h *host) enter(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining.Load() || len(h.sessions) >= maxConns {
		return false
	}
	h.sessions[s] = struct{}{}
	return true
}

func (h *host) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

// admit counts a request in. The count comes before the look at draining: either the
// request sees it, or drain sees the request.
func (h *host) admit(size int) *slipway.Error {
	h.inflight.Add(1)
	if h.draining.Load() {
		h.release(0)
		return draining()
	}
	if total := h.queued.Add(int64(size)); total > maxQueued && total > int64(size) {
		h.release(size)
		return overloaded()
	}
	return nil
}

func (h *host) release(size int) {
	h.queued.Add(-int64(size))
	h.inflight.Add(-1)
}

func (h *host) work(ctx context.Context) {
	for {
		select {
		case j := <-h.jobs:
			h.answer(j)
		case <-ctx.Done():
			return
		}
	}
}

// wait has a request wait for its model beside the workers, which have others to answer.
func (h *host) wait(j *job) {
	seat := j.asked.seat
	if seat.Waiting.Add(1) > maxWaiting {
		seat.Waiting.Add(-1)
		j.s.refuse(j)
		return
	}
	h.waiting.Go(func() {
		err := seat.Load(j.ctx)
		seat.Waiting.Add(-1)
		if j.kind == kindPredict && err == nil {
			j.s.enqueue(j)
		} else {
			h.answer(j) // which says the same at once
		}
		if err := j.s.out.flush(); err != nil {
			j.s.conn.Close()
		}
	})
}

// answer runs a job, unless nobody waits for it any more.
func (h *host) answer(j *job) {
	defer h.release(len(j.body))
	defer j.s.finish(j.id)
	if err := ended(j.ctx); err != nil {
		j.s.fail(j.id, late(err))
	} else {
		h.run(j)
	}
	if err := j.s.out.flush(); err != nil {
		j.s.conn.Close()
	}
}

// find gives the model of a request.
func (h *host) find(k kind, revision string) (asked, error) {
	switch {
	case k == kindReady:
		return asked{}, nil
	case h.pool == nil && k == kindPredict:
		return asked{model: h.model, pace: &h.pace, quick: h.inline}, nil
	case h.pool == nil:
		return asked{}, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "ask a pool", "this replica has one model of its own")
	case k == kindHost:
		return asked{}, nil
	}
	s := h.pool.models.Seat(revision)
	if s == nil {
		return asked{}, notHosted(revision)
	}
	a := asked{model: s, seat: s, pace: &s.Pace}
	if m, loaded := s.Loaded(); loaded {
		a.model, a.quick = m, true
	}
	return a, nil
}

// run does what a job asks.
func (h *host) run(j *job) {
	switch j.kind {
	case kindReady:
		j.s.reply(j.id, nil, h.ready(j.ctx))
	case kindHost:
		body, err := h.pool.set(j.body)
		j.s.replyBody(j.id, body, err)
	case kindLoad:
		err := j.asked.seat.Load(j.ctx)
		if err != nil {
			err = h.public(j.ctx, j.asked, err)
		}
		j.s.reply(j.id, nil, err)
	default:
		start := time.Now()
		out, err := h.predict(j.ctx, j.asked, j.body)
		if j.asked.seat == nil || j.asked.quick { // a load says nothing of what the next request costs
			j.asked.pace.Observe(len(j.body), time.Since(start))
		}
		j.s.reply(j.id, out, err)
	}
}

// ended says why a context is over. The clock is looked at, too: a timer may be late.
func ended(ctx context.Context) error {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

func (h *host) ready(ctx context.Context) error {
	if h.pool != nil { // its models come when they are asked for
		return nil
	}
	if err := h.model.Ready(ctx); err != nil {
		return h.public(ctx, asked{}, err)
	}
	return nil
}

// predict decodes a batch and runs the model; a panic of the model is its failure.
func (h *host) predict(ctx context.Context, m asked, body []byte) (out *tensor.Batch, err error) {
	in, err := tensor.DecodeBatch(body)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			h.logPanic(ctx, m, p)
			out, err = nil, modelFailed("the model failed", nil)
		}
	}()
	if out, err = m.model.Predict(ctx, in); err != nil {
		return nil, h.public(ctx, m, err)
	}
	return out, nil
}

// logOf is the log of a model: in a pool its lines name the revision.
func (h *host) logOf(m asked) *slog.Logger {
	if m.seat == nil {
		return h.log
	}
	return h.log.With("revision", m.seat.Revision())
}

// logPanic writes where the model panicked. The value may quote its input, so only those
// of the language itself are written.
func (h *host) logPanic(ctx context.Context, m asked, p any) {
	if !h.logRate.Allow() {
		return
	}
	what := "a value that is not shown"
	var e goruntime.Error
	if err, ok := p.(error); ok && errors.As(err, &e) {
		what = e.Error()
	}
	h.logOf(m).Error("the model panicked", "request", slipway.RequestOf(ctx), "panic", what, "stack", string(debug.Stack()))
}

// public makes of a predictor's error one that a caller may see, and logs the rest.
func (h *host) public(ctx context.Context, m asked, err error) *slipway.Error {
	e := modelFailed("the model failed", err)
	if !errors.As(err, &e) && ctx.Err() != nil {
		e = late(ctx.Err())
	}
	if e.Code == slipway.CodeModelFailed && h.logRate.Allow() {
		cause := ""
		if e.Cause != nil {
			cause = slipway.OneLine(e.Cause.Error(), maxErrorText)
		}
		h.logOf(m).Error(e.Message, "request", slipway.RequestOf(ctx), "cause", cause)
	}
	return e
}
