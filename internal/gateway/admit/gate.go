package admit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	begin = 4 // times the floor is where a limit begins that is to be found

	// A wait by default is this share of the time that is left to a request, or so many times
	// an answer alone where that is longer.
	waitShare = 20
	patience  = 4

	// settled is of how many answers the usual time is the average, so that one that stalls
	// does not shut the queue.
	settled = 32

	// Of many requests one in so many is looked at.
	sample     = 8
	sampleFrom = 32 // requests at once
)

// One request that is answered, and one that waits, in Gate.state.
const (
	inside = 1 << 32
	queued = 1
)

// Gate lets requests to one revision in. It is safe for concurrent use, and takes a lock
// only when requests wait. Times are those of one clock, since any moment.
type Gate struct {
	refused *Refused
	config  atomic.Pointer[Config]
	limit   atomic.Int64  // requests at once, now
	state   atomic.Uint64 // those inside in the upper half, those that wait in the lower
	usual   atomic.Int64  // time of an answer, ns: the average of the last ones
	alone   atomic.Int64  // found.alone, ns
	between atomic.Int64  // time between two answers while requests waited, in the last window, ns; 0: none did
	left    atomic.Uint64
	full    atomic.Bool // a request had to wait since the window began

	mu    sync.Mutex
	queue queue

	watching sync.Mutex
	found    found
	seen     seen
	began    time.Duration // of the window
	answers  int64         // that usual is made of
}

// New makes a gate that counts whom it refuses.
func New(c Config, refused *Refused) *Gate {
	g := &Gate{refused: refused}
	g.Set(c)
	return g
}

// Set changes what the gate goes by. Requests inside stay, and so do those that wait.
func (g *Gate) Set(c Config) {
	c.Floor = max(1, c.Floor)
	c.Ceiling = max(c.Floor, c.Ceiling)
	g.watching.Lock()
	defer g.watching.Unlock()
	g.config.Store(&c)
	if g.found.limit == 0 {
		g.found.limit = begin * c.Floor
	}
	g.found.limit = min(max(g.found.limit, c.Floor), c.Ceiling)
	if c.Concurrency > 0 {
		g.adopt(c.Concurrency)
	} else {
		g.adopt(g.found.limit)
	}
}

// Wait takes a request on, after a while perhaps, or says why not. It must be answered at
// ends. Whoever is in calls Leave. When ctx ends first, err says so and nothing is counted.
func (g *Gate) Wait(ctx context.Context, caller string, now, ends time.Duration) (refused *Refusal, err error) {
	switch {
	case ends <= now:
		return g.refused.add(Deadline, time.Duration(g.usual.Load())), nil
	case g.Try():
		return nil, nil
	}
	return g.wait(ctx, caller, now, ends)
}

// Try takes a request on if nobody waits and there is room. Whoever is in calls Leave.
func (g *Gate) Try() bool {
	limit := uint64(g.limit.Load())
	for {
		s := g.state.Load()
		if s%inside > 0 || s/inside >= limit {
			return false
		}
		if g.state.CompareAndSwap(s, s+inside) {
			return true
		}
	}
}

// wait queues a request, and lets it wait.
func (g *Gate) wait(ctx context.Context, caller string, now, ends time.Duration) (*Refusal, error) {
	s := g.config.Load()
	w, in, refused := g.join(s, caller, now, ends)
	if in || refused != nil {
		return refused, nil
	}
	limit := ends - now // who was let into the queue stays, though it be slower than it was thought to be
	if s.Wait > 0 {
		limit = min(limit, s.Wait)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case r := <-w.done:
		return r, nil
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	gone := g.queue.remove(w)
	if gone {
		g.state.Add(^uint64(queued - 1))
	}
	g.mu.Unlock()
	if !gone { // somebody has decided in the meantime
		r := <-w.done
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return g.refused.add(Shed, g.drain()), nil
}

// join puts a request into the queue, if it does not get in after all.
func (g *Gate) join(s *Config, caller string, now, ends time.Duration) (w *waiter, in bool, refused *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for { // from here on nobody joins or leaves the queue, but others come and go inside
		if g.Try() {
			return nil, true, nil
		}
		st := g.state.Load()
		if st%inside == 0 && st/inside < uint64(g.limit.Load()) {
			continue // there is room again
		}
		usual := time.Duration(g.usual.Load())
		if now+usual > ends {
			return nil, false, g.refused.add(Deadline, g.drain())
		}
		// One that would wait in vain hears it now.
		if wait := time.Duration(g.queue.before(caller)) * g.pace(); wait > g.moment(s, ends-now) {
			g.full.Store(true)
			return nil, false, g.refused.add(Shed, g.drain())
		}
		if g.queue.n >= s.Queue && !g.evict(caller) {
			g.full.Store(true)
			return nil, false, g.refused.add(Full, g.drain())
		}
		if st = g.state.Load(); st/inside < uint64(g.limit.Load()) && st%inside == 0 || !g.state.CompareAndSwap(st, st+queued) {
			continue
		}
		break
	}
	g.full.Store(true)
	w = &waiter{caller: caller, ends: ends, done: make(chan *Refusal, 1)}
	g.queue.add(w)
	return w, false, nil
}

// evict makes room in a full queue for a caller who has less than a fair share of it: the
// oldest waiter of the longest line goes. mu is held.
func (g *Gate) evict(caller string) bool {
	if g.queue.n == 0 {
		return false
	}
	l := g.queue.longest()
	if len(l.waiters) <= g.queue.of(caller)+1 {
		return false
	}
	w := l.waiters[0]
	g.queue.remove(w)
	g.state.Add(^uint64(queued - 1))
	w.done <- g.refused.add(Full, g.drain())
	return true
}

// moment is for how long a request may wait that has so much time left.
func (g *Gate) moment(s *Config, left time.Duration) time.Duration {
	if s.Wait > 0 {
		return s.Wait
	}
	return max(left/waitShare, patience*time.Duration(g.alone.Load()))
}

// Leave gives the place of a request that had got in at began to the next one. Good says
// that it was answered, so that its time says something of the next ones.
func (g *Gate) Leave(began, now time.Duration, good bool) {
	for {
		s := g.state.Load()
		if s%inside > 0 {
			g.mu.Lock()
			g.state.Add(^uint64(inside - 1))
			g.fill(now)
			g.mu.Unlock()
			break
		}
		if g.state.CompareAndSwap(s, s-inside) {
			break
		}
	}
	if good {
		g.observe(now-began, now)
	}
}

// fill lets waiters in while there is room; mu is held.
func (g *Gate) fill(now time.Duration) {
	for g.queue.n > 0 && g.state.Load()/inside < uint64(g.limit.Load()) {
		w := g.queue.next()
		if now+time.Duration(g.usual.Load()) > w.ends { // nobody would wait for its answer
			g.state.Add(^uint64(queued - 1))
			w.done <- g.refused.add(Deadline, g.drain())
			continue
		}
		g.state.Add(inside - queued)
		w.done <- nil
	}
}

// observe learns from an answer.
func (g *Gate) observe(took, now time.Duration) {
	if n := g.left.Add(1); n%sample != 0 && g.limit.Load() >= sampleFrom {
		return
	}
	if !g.watching.TryLock() {
		return
	}
	defer g.watching.Unlock()
	g.answers = min(g.answers+1, settled)
	old := g.usual.Load()
	g.usual.Store(old + (int64(took)-old)/g.answers)
	g.seen.add(took, int(g.state.Load()/inside)+1)
	if now-g.began < window {
		return
	}
	c := g.config.Load()
	g.seen.full = g.full.Swap(false)
	g.between.Store(0)
	if n := g.left.Swap(0); g.seen.full {
		g.between.Store(int64(now-g.began) / int64(max(1, n)))
	}
	g.found = g.found.next(g.seen, c.Floor, c.Ceiling)
	g.alone.Store(int64(g.found.alone))
	g.seen, g.began = seen{}, now
	if c.Concurrency > 0 {
		return
	}
	g.adopt(g.found.limit)
	if g.state.Load()%inside > 0 {
		g.mu.Lock()
		g.fill(now)
		g.mu.Unlock()
	}
}

func (g *Gate) adopt(limit int) { g.limit.Store(int64(limit)) }

// pace is the time between two places that get free: by the time of answers and how many are
// made at once, or as it was of late, whichever is less. The first is too much while the limit
// falls, the second when requests did not wait for a whole window.
func (g *Gate) pace() time.Duration {
	pace := g.usual.Load() / max(1, g.limit.Load())
	if b := g.between.Load(); b > 0 {
		pace = min(pace, b)
	}
	return time.Duration(pace)
}

// drain is how long the queue takes to get empty.
func (g *Gate) drain() time.Duration {
	return g.pace() * time.Duration(g.state.Load()%inside+1)
}

// Stats are what a gate is doing.
type Stats struct{ Inside, Waiting, Limit int }

// Stats gives them.
func (g *Gate) Stats() Stats {
	s := g.state.Load()
	return Stats{Inside: int(s / inside), Waiting: int(s % inside), Limit: int(g.limit.Load())}
}
