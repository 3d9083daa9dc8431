// Package pool keeps the models of many revisions in one process: a model is loaded when it
// is first asked for, and goes when others need its room, that which was asked longest ago
// first.
package pool

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	// share of a process' memory, as a divisor, that its models may take. The rest is for
	// requests, for what loading leaves behind until it is collected, and for the program.
	share = 2
	// maxLoads are the models that are loaded at once: a file that is read takes several
	// times the memory of what comes out of it.
	maxLoads = 2
	// sulk is how long a model that could not be loaded is not tried again.
	sulk = time.Second
)

// Model is a loaded model, safe for concurrent use.
type Model interface {
	Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)
}

// Load reads a model and says how many bytes it takes in memory. It refuses one whose files
// alone are larger than limit, 0 for none. Its errors reach callers: they are *slipway.Error,
// and not Unavailable, which would speak of the process.
type Load func(what route.Hosted, limit int64) (Model, int64, error)

// Pool is a set of models that share a budget of memory. Its methods are safe for concurrent
// use.
type Pool struct {
	load  Load
	log   *slog.Logger
	now   func() time.Time
	clock atomic.Int64 // counts uses, and so orders them

	seats   atomic.Pointer[map[string]*Seat] // by revision; replaced, never changed
	loading chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	budget int64 // bytes, 0 for no bound
}

// New makes an empty pool.
func New(load Load, log *slog.Logger, now func() time.Time) *Pool {
	p := &Pool{load: load, log: log, now: now, loading: make(chan struct{}, maxLoads)}
	p.seats.Store(&map[string]*Seat{})
	return p
}

// Seat is the place of one model in a pool.
type Seat struct {
	Pace    Pace         // what its requests cost
	Waiting atomic.Int64 // how many wait until it is loaded, as the host counts

	p     *Pool
	what  route.Hosted // but for Pinned
	used  atomic.Int64
	model atomic.Pointer[Model] // nil while it is not loaded

	// Guarded by p.mu.
	pinned bool
	gone   bool
	bytes  int64
	loads  int
	flight *flight // the load under way
	failed error
	retry  time.Time
}

// flight is one load, which any number of requests wait for.
type flight struct {
	done  chan struct{} // closed when it is over
	model Model
	err   error
}

// Seat finds the place of a revision's model, or gives nil.
func (p *Pool) Seat(revision string) *Seat { return (*p.seats.Load())[revision] }

// Set makes the pool consist of these models and no others. Models that stay are left as they
// are; those that go are forgotten, and requests that have them already are answered.
func (p *Pool) Set(to route.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, next := *p.seats.Load(), make(map[string]*Seat, len(to.Models))
	var pinned []*Seat
	for _, what := range to.Models {
		pin := what.Pinned
		what.Pinned = false
		s := old[what.Revision]
		if s == nil || s.what != what {
			s = &Seat{p: p, what: what}
		}
		if s.pinned = pin; pin && s.model.Load() == nil {
			pinned = append(pinned, s)
		}
		next[what.Revision] = s
	}
	for id, s := range old {
		if next[id] != s {
			s.gone = true
			s.model.Store(nil)
		}
	}
	p.budget = to.MemoryBytes / share
	p.seats.Store(&next)
	p.makeRoom(0)
	for _, s := range pinned {
		p.fly(s)
	}
}

// Status tells of every model, in the order of their revisions.
func (p *Pool) Status() []route.HostedStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	seats := *p.seats.Load()
	out := make([]route.HostedStatus, 0, len(seats))
	for id, s := range seats {
		st := route.HostedStatus{Revision: id, Loaded: s.model.Load() != nil, Bytes: s.bytes, Loads: s.loads}
		if s.failed != nil {
			st.Failed = slipway.AsError(s.failed).Message
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b route.HostedStatus) int { return cmp.Compare(a.Revision, b.Revision) })
	return out
}

// Close waits until nothing is loaded any more.
func (p *Pool) Close() { p.wg.Wait() }

// Revision is the id of the revision whose model this is.
func (s *Seat) Revision() string { return s.what.Revision }

// Loaded gives the model if it can answer at once, and counts that as a use.
func (s *Seat) Loaded() (Model, bool) {
	m := s.model.Load()
	if m == nil {
		return nil, false
	}
	s.used.Store(s.p.clock.Add(1))
	return *m, true
}

// Load loads the model unless it is loaded. It answers why it cannot be, and the error of ctx
// if that ends first; the load then goes on for others.
func (s *Seat) Load(ctx context.Context) error {
	_, err := s.get(ctx)
	return err
}

// Predict asks the model, and loads it before if need be. Its errors are those of Load and of
// the model.
func (s *Seat) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	m, err := s.get(ctx)
	if err != nil {
		return nil, err
	}
	return m.Predict(ctx, in)
}

func (s *Seat) get(ctx context.Context) (Model, error) {
	if m, ok := s.Loaded(); ok {
		return m, nil
	}
	s.used.Store(s.p.clock.Add(1))
	s.p.mu.Lock()
	f := s.p.fly(s)
	s.p.mu.Unlock()
	select {
	case <-f.done:
		return f.model, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly gives the load that is under way, or begins one; p.mu is held.
func (p *Pool) fly(s *Seat) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	switch m := s.model.Load(); {
	case m != nil:
		f.model = *m
	case s.gone:
		f.err = gone(s.what.Revision)
	case s.failed != nil && p.now().Before(s.retry):
		f.err = s.failed
	default:
		s.flight = f
		p.wg.Go(func() { p.run(s, f) })
		return f
	}
	close(f.done)
	return f
}

func gone(revision string) error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "ask again", "%s is not hosted here any more", revision)
}

// run loads a model and gives it a place.
func (p *Pool) run(s *Seat, f *flight) {
	p.loading <- struct{}{}
	defer func() { <-p.loading }()
	p.mu.Lock()
	limit := p.budget
	p.mu.Unlock()
	began := p.now()
	m, bytes, err := p.attempt(s.what, limit)
	took := p.now().Sub(began)

	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(f.done)
	s.flight = nil
	if err == nil && !s.gone {
		err = p.place(s, m, bytes)
	}
	log := p.log.With("revision", s.what.Revision)
	if err != nil {
		s.failed, s.retry = err, p.now().Add(sulk)
		log.Error("the model cannot be loaded", "reason", slipway.AsError(err).Message, "took", took.String())
	} else {
		s.failed = nil
		log.Info("loaded", "bytes", bytes, "took", took.String())
	}
	f.model, f.err = m, err
}

// attempt loads a model; a panic over its files is no more than their fault.
func (p *Pool) attempt(what route.Hosted, limit int64) (m Model, bytes int64, err error) {
	defer func() {
		if v := recover(); v != nil {
			m, err = nil, slipway.Errorf(slipway.Internal, slipway.CodeModelFailed, "see the log", "loading the model broke off")
			stack := make([]byte, 8<<10)
			p.log.Error("loading a model panicked", "revision", what.Revision, "stack", string(stack[:goruntime.Stack(stack, false)]))
		}
	}()
	return p.load(what, limit)
}

// place takes a loaded model in, and others out if need be; p.mu is held.
func (p *Pool) place(s *Seat, m Model, bytes int64) error {
	s.bytes = bytes
	if !p.makeRoom(bytes) {
		return TooLarge(fmt.Sprintf("it takes %d KiB", bytes>>10), p.budget)
	}
	s.loads++
	s.model.Store(&m)
	return nil
}

// TooLarge says that a model has no room in a pool of a budget.
func TooLarge(what string, budget int64) error {
	return slipway.Errorf(slipway.Exhausted, slipway.CodeReplicaStart,
		"raise resources.memory in platform.yaml, of which the pool's models may take half, or give it processes of its own: model.placement: own",
		"the model has no room in its pool: %s, and beside the pinned models there is less of the %d MiB", what, budget>>20)
}

// makeRoom evicts those in whose place one of need bytes fits, and none if it would not fit
// all the same; with need 0, those that are too many. p.mu is held.
func (p *Pool) makeRoom(need int64) bool {
	if p.budget <= 0 {
		return true
	}
	var in []*Seat
	var slots []slot
	for _, s := range sorted(*p.seats.Load()) {
		if s.model.Load() != nil {
			in = append(in, s)
			slots = append(slots, slot{s.bytes, s.used.Load(), s.pinned})
		}
	}
	out, ok := room(slots, need, p.budget)
	if !ok && need > 0 {
		return false
	}
	for _, i := range out {
		in[i].model.Store(nil)
		p.log.Info("evicted", "revision", in[i].what.Revision, "bytes", in[i].bytes)
	}
	return ok
}

func sorted(seats map[string]*Seat) []*Seat {
	return slices.SortedFunc(maps.Values(seats), func(a, b *Seat) int { return cmp.Compare(a.what.Revision, b.what.Revision) })
}
