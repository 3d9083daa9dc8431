package python

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Conn asks one worker. Predict answers a batch with one of as many rows; what the model
// refuses or fails is a *slipway.Error with CodeModelFailed, any other error means that the
// connection is lost. Ready answers nil once all requests before it were dealt with.
type Conn interface {
	Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)
	Ready(ctx context.Context) error
	Close() error
}

// Output takes what a worker prints. Flush writes a last line that has no end.
type Output interface {
	io.Writer
	Flush()
}

// Options are what a pool is made of.
type Options struct {
	Python       string // the interpreter of the model's environment
	Packages     string // a directory of packages beside those of the interpreter; may be empty
	Dir          string // the model directory, absolute
	Model        *mlmodel.Model
	Env          []string      // of the workers, beside what they need
	Workers      int           // at least 1
	Threads      int           // of numeric libraries, for each worker
	MaxRows      int           // that requests are joined to; 1 joins none
	Network      bool          // the model may open connections
	StartTimeout time.Duration // for loading the model
	Stuck        time.Duration // that a worker may still need when nobody waits for it any more
	Connect      func(ctx context.Context, conn net.Conn) (Conn, error)
	Output       func(stream string) Output // of a new worker; stream is stdout or stderr
	Log          *slog.Logger
}

const (
	maxQueue = 1024
	maxJoin  = 4 << 20 // bytes that requests are joined to
)

// Pool answers with the workers of one replica. It is safe for concurrent use.
//
// Requests are joined as they wait, never waited for: an idle worker takes what there is at
// that moment. Without load a request goes alone and at once; under load the batches grow
// by themselves.
type Pool struct {
	o     Options
	model description
	jobs  chan *job
	alive atomic.Int32
	warn  sync.Once

	failed chan error
	stop   context.CancelFunc
	slots  sync.WaitGroup

	mu     sync.Mutex
	groups map[int]int // worker to process group
}

// job is one request. Done gets its answer, for which somebody may no longer wait.
type job struct {
	ctx  context.Context
	in   *tensor.Batch
	done chan answer
}

type answer struct {
	out *tensor.Batch
	err error
}

// Start starts all workers and answers when each has loaded the model.
func Start(ctx context.Context, o Options) (*Pool, error) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Pool{o: o, model: describe(o.Model, o.Dir), jobs: make(chan *job, maxQueue), stop: stop,
		failed: make(chan error, 1), groups: map[int]int{}}
	var loading sync.WaitGroup
	errs := make([]error, o.Workers)
	for i := range o.Workers {
		ready := make(chan error, 1)
		loading.Go(func() { errs[i] = <-ready })
		p.slots.Go(func() { p.slot(run, i, ready) })
	}
	cancelled := context.AfterFunc(ctx, stop)
	loading.Wait()
	cancelled()
	for _, err := range errs {
		if err != nil {
			p.Stop()
			return nil, err
		}
	}
	return p, nil
}

// Stop ends all workers.
func (p *Pool) Stop() {
	p.stop()
	p.slots.Wait()
}

// Failed gets an error when a worker could not be replaced.
func (p *Pool) Failed() <-chan error { return p.failed }

// Groups lists the process groups of the workers.
func (p *Pool) Groups() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]int, 0, len(p.groups))
	for _, id := range p.groups {
		out = append(out, id)
	}
	return out
}

// Ready answers nil while there is a worker.
func (p *Pool) Ready(context.Context) error {
	if p.alive.Load() > 0 {
		return nil
	}
	return slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "see the replica's log", "the model's process is being replaced")
}

// Predict answers one request. A worker that dies with it fails it.
func (p *Pool) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	j := &job{ctx: ctx, in: in, done: make(chan answer, 1)}
	select {
	case p.jobs <- j:
	default:
		return nil, slipway.Errorf(slipway.Exhausted, slipway.CodeNoReplica, "try again later, or add workers or replicas", "too many requests wait for the model")
	}
	select {
	case a := <-j.done:
		return a.out, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// slot keeps one worker running: it tells ready how the first start went, and failed when
// a later one goes wrong.
func (p *Pool) slot(ctx context.Context, number int, ready chan<- error) {
	for first := true; ; first = false {
		w, err := p.start(ctx, number)
		switch {
		case first:
			ready <- err
		case err != nil && ctx.Err() == nil:
			p.fail(fmt.Errorf("a worker that died could not be replaced: %w", err))
		}
		if err != nil {
			return
		}
		p.enter(w)
		err = p.feed(ctx, w)
		p.leave(w)
		w.kill()
		if ctx.Err() != nil {
			return
		}
		p.o.Log.Error("a worker is replaced", "worker", number, "cause", err.Error(), "ended", w.proc.State())
	}
}

func (p *Pool) fail(err error) {
	select {
	case p.failed <- err:
	default: // one is enough
	}
}

func (p *Pool) enter(w *worker) {
	p.alive.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups[w.number] = w.proc.PID
}

func (p *Pool) leave(w *worker) {
	p.alive.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.groups, w.number)
}

// feed gives a worker what waits until it is lost; the error says how.
func (p *Pool) feed(ctx context.Context, w *worker) error {
	var next *job // taken, but did not fit
	for {
		if next == nil {
			select {
			case next = <-p.jobs:
			case <-w.proc.Ended:
				return errors.New("it ended by itself")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var group []*job
		group, next = p.gather(next)
		if err := w.answer(group, p.o.Stuck); err != nil {
			if next != nil {
				p.back(next)
			}
			return err
		}
	}
}

// gather adds to the first job those that wait and fit. It answers also the one that it
// took and that does not.
func (p *Pool) gather(first *job) (group []*job, next *job) {
	group = []*job{first}
	rows, size := first.in.Rows(), weight(first.in)
	for rows < p.o.MaxRows && size < maxJoin {
		select {
		case j := <-p.jobs:
			if rows+j.in.Rows() > p.o.MaxRows || !fits(first.in, j.in) {
				return group, j
			}
			group = append(group, j)
			rows, size = rows+j.in.Rows(), size+weight(j.in)
		default:
			return group, nil
		}
	}
	return group, nil
}

// back returns a job to the queue, for another worker.
func (p *Pool) back(j *job) {
	select {
	case p.jobs <- j:
	default:
		j.done <- answer{err: lost()}
	}
}

func weight(b *tensor.Batch) int {
	n := 0
	for i := range b.Tensors {
		n += len(b.Tensors[i].Data)
		for _, s := range b.Tensors[i].Strings {
			n += len(s)
		}
	}
	return n
}

func lost() *slipway.Error {
	return slipway.Errorf(slipway.Internal, slipway.CodeModelFailed, "see the replica's log", "the model's process died while it answered")
}

// answer asks the worker for a group of jobs. An error says that the worker is lost; all
// jobs are answered then, too.
func (w *worker) answer(group []*job, stuck time.Duration) error {
	waiting := group[:0]
	for _, j := range group {
		if j.ctx.Err() == nil { // else nobody waits any more
			waiting = append(waiting, j)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	parts := make([]*tensor.Batch, len(waiting))
	for i, j := range waiting {
		parts[i] = j.in
	}
	ctx, cancel := patience(waiting)
	defer cancel()
	ctx = slipway.WithRequest(ctx, requests(waiting))
	out, err := w.conn.Predict(ctx, join(parts))
	var outs []*tensor.Batch
	if err == nil {
		outs, err = split(out, parts)
		if err != nil {
			err = slipway.Errorf(slipway.Internal, slipway.CodeModelFailed, "see the replica's log", "%s", err.Error())
		}
	}
	if err == nil {
		for i, j := range waiting {
			j.done <- answer{out: outs[i]}
		}
		return nil
	}
	var e *slipway.Error
	switch {
	case ctx.Err() != nil:
		return w.recover(ctx, stuck)
	case !errors.As(err, &e) || e.Code != slipway.CodeModelFailed:
		for _, j := range waiting {
			j.done <- answer{err: lost()}
		}
		return fmt.Errorf("it died with %d requests", len(waiting))
	case len(waiting) == 1:
		waiting[0].done <- answer{err: placed(e)}
		return nil
	}
	// One bad request must not fail those that happened to wait beside it.
	for i, j := range waiting {
		if err := w.answer([]*job{j}, stuck); err != nil {
			for _, rest := range waiting[i+1:] {
				rest.done <- answer{err: lost()}
			}
			return err
		}
	}
	return nil
}

// placed moves the place in the model's source, which workers give as a field, to where
// the log has it and callers do not.
func placed(e *slipway.Error) error {
	if e.Field != "" {
		e.Cause, e.Field = errors.New(e.Field), ""
	}
	return e
}

// recover waits for a worker whose answer nobody wants any more. One that does not get
// free soon after the deadline that it had is lost.
func (w *worker) recover(of context.Context, stuck time.Duration) error {
	limit := stuck
	if d, ok := of.Deadline(); ok {
		limit += max(0, time.Until(d))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if w.conn.Ready(ctx) != nil {
		return fmt.Errorf("it still worked %v after the deadline of its requests", stuck)
	}
	return nil
}

// patience is a context that ends when the last of the jobs has no time left.
func patience(group []*job) (context.Context, context.CancelFunc) {
	if len(group) == 1 {
		return context.WithCancel(group[0].ctx)
	}
	var last time.Time
	for _, j := range group {
		d, limited := j.ctx.Deadline()
		if !limited {
			return context.WithCancel(context.Background())
		}
		if d.After(last) {
			last = d
		}
	}
	return context.WithDeadline(context.Background(), last)
}
