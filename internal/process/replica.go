package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	maxMisses = 3                      // health checks in a row without an answer, then it is killed
	retryDial = 50 * time.Millisecond  // between looks at a socket that is not ready
	answerMin = 500 * time.Millisecond // for the answer to one of these looks
)

// errNotReady says that the replica answers, but not that it is ready.
var errNotReady = errors.New("the replica is not ready")

// replica is one slot of a revision: the goroutine run keeps a process in it.
type replica struct {
	s        *Supervisor
	id       string
	revision string
	slot     int
	socket   string
	digest   slipway.Digest

	check   chan struct{}   // a token asks for a health check now
	dropped context.Context // ends when the replica is no longer wanted
	giveUp  context.CancelFunc

	// Guarded by s.mu.
	rev     *route.Revision // nil for an adopted replica before the first Want
	proc    proc
	started time.Time
	lane    *lane
	tail    []string
	hosting // of a pool's process
	history
}

func (s *Supervisor) newReplica(revision string, slot int) *replica {
	r := &replica{s: s, id: replicaID(revision, slot), revision: revision, slot: slot, check: make(chan struct{}, 1)}
	r.work = make(chan struct{}, 1)
	r.dropped, r.giveUp = context.WithCancel(context.Background())
	r.State = route.ReplicaStarting
	return r
}

// drop marks a replica, so that publish leaves it out; run sees to the rest. s.mu is held.
func (r *replica) drop() {
	r.history = r.history.next(event{what: dropped}, r.s.o.Now())
	r.giveUp()
}

// note records an event.
func (r *replica) note(e event) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	before := r.State
	r.history = r.history.next(e, r.s.o.Now())
	if r.State != before {
		r.s.poke()
	}
}

// attach publishes a connection, or none, and gives the one before.
func (r *replica) attach(l *lane) (old *lane) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	old, r.lane = r.lane, l
	r.s.publish()
	return old
}

// run keeps a process in the slot until the replica is dropped or the supervision ends.
func (r *replica) run() {
	s := r.s
	for s.ctx.Err() == nil {
		s.mu.Lock()
		p, rev, restarts := r.proc, r.rev, r.Restarts
		s.mu.Unlock()
		var err error
		if p.pid == 0 {
			p, err = r.launch(rev, restarts)
		}
		end := event{what: exited}
		switch {
		case disk.Full(err):
			end = event{what: held, reason: noRoom}
		case err != nil:
			end.reason = "cannot be started: " + err.Error()
		default:
			var ended bool
			if end, ended = r.attend(p); !ended {
				return
			}
		}
		if !r.again(end) {
			return
		}
	}
}

func (r *replica) launch(rev *route.Revision, restarts int) (proc, error) {
	if err := r.dropped.Err(); err != nil {
		return proc{}, err
	}
	p, at, err := r.s.start(r.dropped, r.id, rev, restarts)
	if err != nil {
		return p, err
	}
	r.s.mu.Lock()
	r.proc, r.started = p, at
	r.s.mu.Unlock()
	r.note(event{what: started})
	return p, nil
}

// again decides after the end of a process. It waits for the time of the next start, or
// removes the replica and answers false.
func (r *replica) again(end event) bool {
	s := r.s
	tail := readTail(s.files.log(r.id))
	s.limits.remove(r.id)
	end.jitter = float64(s.o.Rand(1024)) / 1024
	r.note(end)
	s.blame(r, end)
	s.mu.Lock()
	r.proc, r.tail = proc{}, tail
	wait, known, state := r.Retry.Sub(s.o.Now()), r.rev != nil, r.State
	s.mu.Unlock()
	if known && r.dropped.Err() == nil {
		s.o.Log.Warn("a replica ended", "replica", r.id, "reason", end.reason, "state", state, "retry_in", wait)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-r.dropped.Done():
		case <-s.ctx.Done():
			return false
		}
	}
	s.remove(r.id, r.socket)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.replicas, r.id)
	if rev := s.wanted[r.revision]; rev != nil && !s.released {
		s.scale(rev) // it may have been counted in meanwhile
	}
	s.poke()
	return false
}

// noRoom is why a replica is held.
const noRoom = "the disk is full; it starts when there is room"

// exitDisk is the exit code of a runtime that could not write for want of space.
const exitDisk = 14

// attend stays with a process until its end and tells how it ended. It answers false when
// the supervision ends first; the process is then left as it is.
func (r *replica) attend(p proc) (end event, ended bool) {
	s := r.s
	life, over := context.WithCancel(s.ctx) // ends with the process
	var watch sync.WaitGroup
	watch.Go(func() { defer over(); p.wait(life) })
	defer watch.Wait()
	defer over()
	serving, stop := context.WithCancel(life)
	defer stop()
	defer context.AfterFunc(r.dropped, stop)()

	reason := r.serve(serving)
	if life.Err() == nil { // not wanted, or of no use
		if r.dropped.Err() != nil {
			r.drain(life, p)
		} else {
			p.kill()
		}
		<-life.Done()
	}
	if s.ctx.Err() != nil {
		return end, false
	}
	if l := r.attach(nil); l != nil {
		l.conn.Close()
		l.drain(s.ctx) // its requests fail at once, and tell whose they were
	}
	r.tending.Wait()
	how, code := p.reap()
	if s.limits.outOfMemory(r.id) {
		how += ": out of memory, its limit was reached"
	}
	switch {
	case reason != "":
		how = reason
	case code == exitDisk:
		return event{what: held, reason: noRoom}, true
	}
	return event{what: exited, reason: how}, true
}

// serve connects to the replica and watches its health. It answers when ctx ends, or why
// the process has to be replaced.
func (r *replica) serve(ctx context.Context) string {
	t := r.s.o.Timing
	limit := t.Start
	r.s.mu.Lock()
	if left := t.Start - r.s.o.Now().Sub(r.started); left < limit {
		limit = max(left, min(minAdopt, t.Start))
	}
	r.s.mu.Unlock()
	conn, err := r.connect(ctx, limit)
	if conn == nil {
		if ctx.Err() != nil {
			return ""
		}
		return fmt.Sprintf("not ready within %v: %v", limit.Round(100*time.Millisecond), err)
	}
	r.open(ctx, conn)
	return r.watch(ctx, conn)
}

// connect tries until the replica answers that it is ready.
func (r *replica) connect(ctx context.Context, limit time.Duration) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := time.NewTicker(retryDial)
	defer pause.Stop()
	for {
		conn, err := r.dial(ctx, max(answerMin, r.s.o.Timing.Answer))
		if err == nil {
			return conn, nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// dial makes a connection that has answered.
func (r *replica) dial(ctx context.Context, limit time.Duration) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := r.s.o.Dial(ctx, r.socket)
	if err != nil {
		return nil, err
	}
	err = conn.Ready(ctx)
	if err == nil && r.isPool() {
		err = r.sync(ctx, conn)
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errNotReady, err)
	}
	return conn, nil
}

// open gives requests to a connection, until ctx ends or it is retired.
func (r *replica) open(ctx context.Context, c Conn) {
	r.attach(newLane(c, r.socket, func(revision string, sent bool) {
		if sent {
			r.lose(revision)
		}
		select {
		case r.check <- struct{}{}:
		default:
		}
	}))
	r.note(event{what: ready})
	if r.isPool() {
		r.tendTo(ctx, c)
	}
}

// watch checks the health of a replica. A check that fails takes the connection out of the
// pick and makes a new one; one without an answer in time leaves it there, since the
// replica may only be busy. Several in a row, and the process is replaced. A replica that
// answers, but that it is not ready, has as long as a starting one.
func (r *replica) watch(ctx context.Context, conn Conn) string {
	t := r.s.o.Timing
	tick := time.NewTicker(t.Health)
	defer tick.Stop()
	check := r.check
	misses := 0
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-tick.C:
			check = r.check
		case <-check:
			check = nil // at most one a period, whatever the requests meet
		}
		err := r.probe(ctx, conn)
		if ctx.Err() != nil {
			return ""
		}
		if err == nil {
			misses = 0
			r.note(event{what: healthy})
			continue
		}
		misses++
		if !errors.Is(err, context.DeadlineExceeded) {
			if conn != nil {
				since = r.s.o.Now()
				r.retire()
				r.note(event{what: lost, reason: "no longer ready: " + err.Error()})
			}
			switch conn, err = r.dial(ctx, t.Answer); {
			case err == nil:
				r.open(ctx, conn)
			case errors.Is(err, errNotReady) && r.s.o.Now().Sub(since) < t.Start:
				misses = 0
			}
		}
		if err != nil && misses >= maxMisses {
			return fmt.Sprintf("no answer to %d health checks: %v", misses, err)
		}
	}
}

// probe asks a replica whether it is ready.
func (r *replica) probe(ctx context.Context, conn Conn) error {
	if conn == nil {
		return errNotReady
	}
	ctx, cancel := context.WithTimeout(ctx, r.s.o.Timing.Answer)
	defer cancel()
	return conn.Ready(ctx)
}

// retire takes the connection out of the pick, and closes it when its requests are
// answered; on a broken one they have failed already.
func (r *replica) retire() {
	r.s.mu.Lock()
	if r.leave != nil {
		r.leave()
	}
	r.s.mu.Unlock()
	l := r.attach(nil)
	if l == nil {
		return
	}
	r.s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(r.s.ctx, r.s.o.Timing.Drain)
		defer cancel()
		l.drain(ctx)
		l.conn.Close()
	})
}

// drain lets a replica finish its requests, then ends its process; life ends with it.
func (r *replica) drain(life context.Context, p proc) {
	t := r.s.o.Timing
	if l := r.attach(nil); l != nil {
		ctx, cancel := context.WithTimeout(life, t.Drain)
		stop := context.AfterFunc(r.s.rush, cancel)
		l.drain(ctx)
		stop()
		cancel()
		defer l.conn.Close()
	}
	if life.Err() != nil {
		return
	}
	p.terminate()
	timer := time.NewTimer(t.Term)
	defer timer.Stop()
	select {
	case <-life.Done():
		return
	case <-timer.C:
	case <-r.s.rush.Done():
	}
	p.kill()
}
