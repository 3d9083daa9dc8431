package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// The revisions of a pool are hosted by processes of the pool, which is supervised as a
// revision is: wanted while one of its revisions is, with a process for each replica.

// When a model is taken out of its pool: after as many crashes with a request of it under way,
// each within a time of the one before; and how many may be out at once, since each costs a
// process. Whoever shared the crashes by chance loses nothing but memory.
const (
	maxCrashes  = 3
	crashMemory = time.Hour
	maxMoved    = 16
)

// stateEvery is how many health checks apart a pool is asked what it has loaded.
const stateEvery = 5

// pools is the part of a supervisor that is about them, guarded by its lock.
type pools struct {
	build   slipway.Digest // of the program: its pools are replaced by the next one's
	round   uint64         // counts what the pools were told to be
	asked   []*route.Revision
	members map[string]*member // the revisions that are hosted by pools, by id
	moved   map[string]string  // why a revision has processes of its own although it is shared
}

// member is a revision in a pool.
type member struct {
	rev     *route.Revision
	pool    string // id of the pool, as of a revision
	since   uint64 // the round from which its processes know it
	proven  bool   // it was loaded there
	trying  bool   // a process is about it
	crashes []time.Time
	history // of its loads, by the policy of starts
}

// hosting is the part of a replica that a pool's process needs, guarded by the supervisor's
// lock.
type hosting struct {
	work   chan struct{} // a token says that there is something to tell or to load
	told   uint64        // the round that the process has heard
	memory int64         // its limit, as it was placed last
	hosted map[string]route.HostedStatus
	lost   map[string]bool // whose requests a broken connection has lost
	leave  context.CancelFunc

	tending sync.WaitGroup // on who tends to it; not guarded
}

// newPools takes the program's file for its build.
func newPools(exe string) pools {
	id := exe
	if st, err := os.Stat(exe); err == nil {
		id = fmt.Sprintf("%s %d %d", exe, st.Size(), st.ModTime().UnixNano())
	}
	return pools{build: slipway.DigestOf([]byte(id)), members: map[string]*member{}, moved: map[string]string{}}
}

// share makes the pools of the wanted revisions that share; mu is held.
func (s *Supervisor) share(all, shared []*route.Revision) {
	s.asked = all
	for id := range s.moved {
		if !slices.ContainsFunc(all, func(r *route.Revision) bool { return r.ID == id }) {
			delete(s.moved, id)
		}
	}
	s.round++
	members := make(map[string]*member, len(shared))
	for _, rev := range shared {
		m := s.members[rev.ID]
		if m == nil || m.pool != rev.Host() || m.rev.ImageDigest != rev.ImageDigest {
			m = &member{pool: rev.Host(), since: s.round, history: history{State: route.ReplicaStarting}}
		}
		m.rev = rev
		members[rev.ID] = m
		s.wanted[m.pool] = grow(s.wanted[m.pool], rev, s.build)
	}
	s.members = members
	for _, r := range s.replicas {
		if r.isPool() {
			r.stir()
		}
	}
}

// grow gives a pool what its most demanding revision asks for.
func grow(pool, rev *route.Revision, build slipway.Digest) *route.Revision {
	if pool == nil {
		pool = &route.Revision{ID: rev.Host(), ImageDigest: build, Runtime: route.Runtime{Kind: route.RuntimePool, Shared: rev.Runtime.Shared}}
	}
	pool.Replicas = max(pool.Replicas, rev.Replicas)
	pool.MemoryBytes = max(pool.MemoryBytes, rev.MemoryBytes)
	pool.MilliCPU = max(pool.MilliCPU, rev.MilliCPU)
	return pool
}

// publishShared gives the revisions of pools their connections: those of processes that have
// heard of them. A model that was not loaded yet is when it is asked; mu is held.
func (s *Supervisor) publishShared(lanes map[string][]*lane) {
	byPool := map[string][]*replica{}
	for _, r := range s.replicas {
		if r.isPool() && r.lane != nil && r.State != route.ReplicaDraining {
			byPool[r.revision] = append(byPool[r.revision], r)
		}
	}
	for id, m := range s.members {
		for _, r := range byPool[m.pool] {
			if r.told >= m.since {
				lanes[id] = append(lanes[id], r.lane)
			}
		}
	}
}

// describe says what a process of a pool is for one of its revisions: it is ready once the
// model was loaded there; mu is held.
func (m *member) describe(r *replica, st *route.ReplicaStatus) {
	h := r.hosted[m.rev.ID]
	st.Pool, st.Loaded, st.ModelBytes = m.rev.Runtime.Shared, h.Loaded, h.Bytes
	if st.State != route.ReplicaReady {
		return
	}
	switch {
	case r.told < m.since:
		st.State = route.ReplicaStarting
	case !m.proven:
		st.State, st.Reason, st.Restarts = m.State, m.Reason, m.Restarts
	}
}

// isPool says whether the replica is a process of a pool.
func (r *replica) isPool() bool { return route.IsPool(r.revision) }

// stir has a pool's process told what is new.
func (r *replica) stir() {
	select {
	case r.work <- struct{}{}:
	default:
	}
}

// lose notes that a request to a revision was lost.
func (r *replica) lose(revision string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.lost == nil {
		r.lost = map[string]bool{}
	}
	r.lost[revision] = true
}

// tendTo tells a pool's process what it hosts and has every model loaded once, until the
// connection is retired or ctx ends.
func (r *replica) tendTo(ctx context.Context, c Conn) {
	ctx, leave := context.WithCancel(ctx)
	r.s.mu.Lock()
	if r.leave != nil {
		r.leave()
	}
	r.leave, r.lost = leave, nil
	r.s.mu.Unlock()
	r.tending.Add(1)
	r.s.wg.Go(func() {
		defer r.tending.Done()
		defer leave()
		r.tend(ctx, c)
	})
}

func (r *replica) tend(ctx context.Context, c Conn) {
	tick := time.NewTicker(stateEvery * r.s.o.Timing.Health)
	defer tick.Stop()
	for ctx.Err() == nil {
		m, wait := r.nextTask()
		switch {
		case m != nil:
			r.prove(c, m)
			continue
		case wait == 0:
			if r.sync(ctx, c) == nil {
				continue
			}
			wait = retryDial
		}
		retry := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.work:
		case <-retry.C:
		case <-tick.C:
			_ = r.sync(ctx, c) // health checks say what is wrong
		}
		retry.Stop()
	}
}

// nextTask gives a model that has to be loaded now, or how long there is none; 0 when the
// process has not heard the newest yet.
func (r *replica) nextTask() (*member, time.Duration) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.rev == nil {
		return nil, time.Hour
	}
	if r.told < s.round {
		return nil, 0
	}
	now, wait := s.o.Now(), time.Hour
	for _, m := range s.sortedMembers(r.revision) {
		switch {
		case m.proven || m.trying:
		case !m.Retry.After(now):
			m.trying = true
			return m, 0
		default:
			wait = min(wait, max(m.Retry.Sub(now), time.Millisecond))
		}
	}
	return nil, wait
}

// sortedMembers lists the revisions of a pool; mu is held.
func (s *Supervisor) sortedMembers(pool string) []*member {
	var out []*member
	for _, m := range s.members {
		if m.pool == pool {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *member) int { return cmp.Compare(a.rev.ID, b.rev.ID) })
	return out
}

// sync tells a pool's process what it hosts and hears how its models are. Before the first
// Want it tells nothing: what an adopted process hosts is left as it is.
func (r *replica) sync(ctx context.Context, c Conn) error {
	s := r.s
	ctx, cancel := context.WithTimeout(ctx, s.o.Timing.Answer)
	defer cancel()
	s.mu.Lock()
	round, rev := s.round, r.rev
	var to *route.Pool
	if rev != nil && r.told < round {
		to = s.contents(rev)
	}
	s.mu.Unlock()
	states, err := c.Host(ctx, to)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if to != nil {
		r.told = round
	}
	r.hosted = make(map[string]route.HostedStatus, len(states))
	for _, st := range states {
		r.hosted[st.Revision] = st
		if m := s.members[st.Revision]; m != nil && m.pool == r.revision && rev != nil {
			s.learn(m, st)
		}
	}
	resize := rev != nil && rev.MemoryBytes != r.memory
	if resize {
		r.memory = rev.MemoryBytes
	}
	pid := r.proc.pid
	s.publish()
	s.mu.Unlock()
	if resize {
		if err := s.limits.place(r.id, pid, rev.MemoryBytes); err != nil {
			s.o.Log.Warn("the memory limit of this replica is soft", "replica", r.id, "cause", err)
		}
	}
	return nil
}

// contents is what a process of a pool is told; mu is held.
func (s *Supervisor) contents(pool *route.Revision) *route.Pool {
	to := &route.Pool{MemoryBytes: pool.MemoryBytes, MilliCPU: pool.MilliCPU, Models: []route.Hosted{}}
	for _, m := range s.sortedMembers(pool.ID) {
		to.Models = append(to.Models, route.Hosted{Revision: m.rev.ID, Dir: m.rev.Dir, Digest: m.rev.VersionDigest,
			Kind: m.rev.Runtime.Kind, Pinned: m.rev.Runtime.Pinned})
	}
	return to
}

// learn takes up what a process says of a model: that it has loaded it once, perhaps for an
// earlier supervisor, or that it no longer can; mu is held.
func (s *Supervisor) learn(m *member, st route.HostedStatus) {
	switch {
	case st.Failed == "" && st.Loads > 0 && !m.proven:
		s.loaded(m)
	case st.Failed != "" && m.proven:
		m.proven = false
		s.failed(m, st.Failed)
	}
}

func (s *Supervisor) loaded(m *member) {
	m.proven, m.history = true, history{State: route.ReplicaReady}
	s.poke()
}

func (s *Supervisor) failed(m *member, reason string) {
	m.history = m.next(event{what: exited, reason: reason, jitter: float64(s.o.Rand(1024)) / 1024}, s.o.Now())
	s.o.Log.Warn("a model cannot be loaded in its pool", "revision", m.rev.ID, "reason", reason, "state", m.State)
	s.poke()
}

// prove has a model loaded, and notes what comes of it. What breaks the connection is the
// crash of a process, and counted there: so it is waited for beyond the connection's end.
func (r *replica) prove(c Conn, m *member) {
	s := r.s
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Timing.Start)
	defer cancel()
	err := c.Load(ctx, m.rev.ID)
	lost := err != nil && ctx.Err() == nil && broken(err)
	if lost && lostWith(err) {
		r.lose(m.rev.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.trying = false
	switch {
	case err == nil:
		s.loaded(m)
	case lost:
		m.Retry = s.o.Now().Add(retryDial) // the connection is about to be found broken
	case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.failed(m, slipway.AsError(err).Message)
	}
}

// blame finds out which models a pool's process may have died of: those whose requests it had.
// Who is suspected again and again gets processes of its own: there it hurts nobody, and if it
// is innocent it loses nothing.
func (s *Supervisor) blame(r *replica, end event) {
	if !r.isPool() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := r.lost
	r.lost, r.hosted, r.told = nil, nil, 0
	if end.what != exited || s.released || r.dropped.Err() != nil {
		return
	}
	now, moved := s.o.Now(), false
	for _, m := range s.sortedMembers(r.revision) {
		if !lost[m.rev.ID] {
			continue
		}
		m.crashes = append(recent(m.crashes, now), now)
		if len(m.crashes) < maxCrashes || len(s.moved) >= maxMoved {
			continue
		}
		s.moved[m.rev.ID] = end.reason
		moved = true
		s.o.Log.Warn("a model gets processes of its own: its pool has ended again and again while it was asked",
			"revision", m.rev.ID, "pool", r.revision, "times", len(m.crashes), "reason", end.reason)
	}
	if moved {
		s.want(s.asked)
	}
}

// recent are the crashes that still count: a quiet hour forgets all of them.
func recent(crashes []time.Time, now time.Time) []time.Time {
	if n := len(crashes); n > 0 && now.Sub(crashes[n-1]) > crashMemory {
		return nil
	}
	return crashes
}
