// Package process runs the replicas of revisions as supervised local processes. A replica
// outlives its supervisor: whoever opens the same directory next finds the processes by
// their records and goes on with them.
package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// maxSocketPath is sun_path of unix(7) without its final zero byte.
const maxSocketPath = 107

// Options are what a Supervisor works with. All but Timing and Cgroups are needed.
type Options struct {
	Dir     string   // home of records, configurations and logs; private to the user
	RunDir  string   // home of the sockets: short, since a socket's path has at most 107 bytes
	Command []string // path of the executable, and the arguments before "--config FILE"
	Env     []string // the whole environment of a replica, "KEY=value"
	// Secrets gives the environment that the model's own processes have besides, of a revision
	// that names secrets. They reach the replica in memory alone. An error is why they cannot
	// be had now; the start is then tried again.
	Secrets func(context.Context, *route.Revision) ([]string, error)
	// Dial connects to a replica; it fails when nobody listens on the socket.
	Dial    func(ctx context.Context, socket string) (Conn, error)
	Log     *slog.Logger
	Now     func() time.Time
	Rand    func(n int) int // uniform in [0, n); safe for concurrent use
	Timing  Timing
	Cgroups string // mount of the cgroup hierarchies, "/sys/fs/cgroup"; empty: limits are soft
}

// Timing holds the time limits; a zero field takes its default.
type Timing struct {
	Start  time.Duration // from the start of a process to its first answer; 2 min, more than a runtime gives its own children
	Health time.Duration // between health checks; 1 s
	Answer time.Duration // for the answer to a health check; 2 s
	Drain  time.Duration // for the requests in flight of a replica that goes; 10 s
	Term   time.Duration // from SIGTERM to SIGKILL; 10 s
}

func (t Timing) withDefaults() Timing {
	return Timing{
		Start:  cmp.Or(t.Start, 2*time.Minute),
		Health: cmp.Or(t.Health, time.Second),
		Answer: cmp.Or(t.Answer, 2*time.Second),
		Drain:  cmp.Or(t.Drain, 10*time.Second),
		Term:   cmp.Or(t.Term, 10*time.Second),
	}
}

// Supervisor keeps the wanted replicas running. Its methods are safe for concurrent use.
type Supervisor struct {
	o       Options
	files   layout
	lock    *os.File
	limits  limiter
	changed chan struct{}
	memory  sampler

	ctx    context.Context // ends with the supervision
	cancel context.CancelFunc
	rush   context.Context // ends when replicas must go at once
	hurry  context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once // of end

	lanes   atomic.Pointer[map[string][]*lane] // by revision; replaced, never changed
	waiting atomic.Int64                       // requests that wait for a replica

	mu       sync.Mutex
	news     chan struct{} // closed when lanes are replaced
	released bool
	wanted   map[string]*route.Revision // what has processes: revisions, and pools
	replicas map[string]*replica        // by id
	pools
}

// New takes over the directory and the replicas that live there. It waits for another
// supervisor to release the directory and answers Conflict when ctx ends first; Invalid
// when RunDir is too long; IO errors otherwise. Nothing is started or stopped before the
// first Want, but for processes that no record names.
func New(ctx context.Context, o Options) (*Supervisor, error) {
	o.Timing = o.Timing.withDefaults()
	s := &Supervisor{o: o, files: layout{filepath.Clean(o.Dir), filepath.Clean(o.RunDir)}, changed: make(chan struct{}, 1),
		news: make(chan struct{}), wanted: map[string]*route.Revision{}, replicas: map[string]*replica{}}
	if n := len(s.files.socket("")); n > maxSocketPath || !filepath.IsAbs(o.Dir) || !filepath.IsAbs(o.RunDir) {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "choose shorter, absolute directories",
			"socket paths under %s would have %d of at most %d bytes", o.RunDir, n, maxSocketPath)
	}
	for _, dir := range []string{s.files.records(), s.files.configs(), s.files.logs(), o.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, ioError(err)
		}
	}
	lock, err := lockFile(ctx, filepath.Join(o.Dir, "replicas.lock"))
	if err != nil {
		return nil, err
	}
	s.lock = lock
	self, _ := os.ReadFile("/proc/self/cgroup") // absent where there are no cgroups
	limits, why := newLimiter(o.Cgroups, string(self), s.files.tag())
	s.limits = limits
	s.pools = newPools(o.Command[0])
	o.Log.Info("memory limits of replicas", "kind", limits.String(), "cause", why)

	s.lanes.Store(&map[string][]*lane{})
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.rush, s.hurry = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.takeOver(); err != nil {
		s.cancel()
		s.hurry()
		lock.Close()
		return nil, ioError(err)
	}
	for _, r := range s.replicas {
		s.wg.Go(r.run)
	}
	return s, nil
}

// lockFile waits for an exclusive lock, which the death of its holder frees.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ioError(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, ioError(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "stop the other gateway first",
				"another gateway supervises the replicas of this home")
		}
	}
}

func ioError(err error) error {
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "the replicas' directory cannot be used",
		Next: "check its permissions and free space", Cause: err}
}

// Want sets the target: these revisions and no others, each with its number of replicas.
// It returns at once. A process of a wanted revision is left untouched.
func (s *Supervisor) Want(revisions []*route.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return
	}
	s.want(revisions)
}

func (s *Supervisor) want(revisions []*route.Revision) {
	s.wanted = map[string]*route.Revision{}
	var shared []*route.Revision
	for _, rev := range revisions {
		switch {
		case !fileName(replicaID(rev.ID, rev.Replicas)) || !fileName(replicaID(rev.Host(), rev.Replicas)):
			s.o.Log.Error("a revision's id cannot name files", "revision", rev.ID)
		case rev.Runtime.Shared != "" && s.moved[rev.ID] == "":
			shared = append(shared, rev)
		default:
			s.wanted[rev.ID] = rev
		}
	}
	s.share(revisions, shared)
	for _, r := range s.replicas {
		if rev := s.wanted[r.revision]; rev == nil || rev.ImageDigest != r.digest {
			r.drop()
		}
	}
	for _, rev := range s.wanted {
		s.scale(rev)
	}
	s.publish()
	s.poke()
}

// scale brings a revision to its number of replicas. Those go first that do not answer,
// then those of the highest slots.
func (s *Supervisor) scale(rev *route.Revision) {
	var live []*replica
	for _, r := range s.of(rev.ID) {
		if r.State != route.ReplicaDraining {
			r.rev = rev
			live = append(live, r)
		}
	}
	slices.SortStableFunc(live, func(a, b *replica) int {
		return unready(a) - unready(b)
	})
	for _, r := range live[min(len(live), max(0, rev.Replicas)):] {
		r.drop()
	}
	for n, slot := len(live), 0; n < rev.Replicas; slot++ {
		if s.replicas[replicaID(rev.ID, slot)] != nil {
			continue
		}
		r := s.newReplica(rev.ID, slot)
		r.rev, r.digest, r.socket = rev, rev.ImageDigest, s.files.socket(r.id)
		s.replicas[r.id] = r
		s.wg.Go(r.run)
		n++
	}
}

func unready(r *replica) int {
	if r.State == route.ReplicaReady {
		return 0
	}
	return 1
}

// of lists the replicas of a revision in the order of their slots; mu is held.
func (s *Supervisor) of(revision string) []*replica {
	var out []*replica
	for _, r := range s.replicas {
		if r.revision == revision {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *replica) int { return a.slot - b.slot })
	return out
}

// Status is the state of the replicas of a revision, or of its pool, without counts and
// latencies. A revision that is neither wanted nor draining has none.
func (s *Supervisor) Status(revision string) route.RevisionStatus {
	now := s.o.Now()
	s.mu.Lock()
	st := route.RevisionStatus{ID: revision, Replicas: []route.ReplicaStatus{}}
	host, m := revision, s.members[revision]
	if m != nil {
		host = m.pool
	}
	if rev := s.wanted[host]; rev != nil {
		st.Want = rev.Replicas
	}
	for _, r := range s.of(host) {
		rs := route.ReplicaStatus{ID: r.id, State: r.State, PID: r.proc.pid, Started: r.started,
			Restarts: r.Restarts, Reason: r.Reason, LogTail: r.tail}
		if m != nil {
			m.describe(r, &rs)
		}
		if rs.State == route.ReplicaReady {
			st.Ready++
		}
		st.Replicas = append(st.Replicas, rs)
	}
	s.mu.Unlock()
	for i := range st.Replicas {
		if r := &st.Replicas[i]; r.PID != 0 {
			r.RSSBytes = s.memory.of(r.PID, now, s.o.Timing.Health)
		}
	}
	return st
}

// Predict sends a batch to the ready replica with the fewest requests in flight. Without
// one it waits for a replica that is about to be started, and answers Unavailable with
// CodeNoReplica when ctx ends before or there is none; the errors of the connection come as
// they are. It does not retry.
func (s *Supervisor) Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error) {
	for {
		l, err := s.enter(ctx, revision)
		if err != nil {
			return nil, err
		}
		out, err := l.predict(ctx, revision, in)
		if err == nil || !neverSent(err) || !moment(ctx) {
			return out, err
		}
	}
}

// Through gives the socket on which the server behind the ready replica with the fewest
// requests in flight is spoken to as it is, and counts a request in until leave is called.
// It waits and fails as Predict does.
func (s *Supervisor) Through(ctx context.Context, revision string) (socket string, leave func(), err error) {
	l, err := s.enter(ctx, revision)
	if err != nil {
		return "", nil, err
	}
	return l.socket + route.ThroughExt, l.leave, nil
}

// enter picks a replica for a request, and counts it in.
func (s *Supervisor) enter(ctx context.Context, revision string) (*lane, error) {
	for {
		l := pick((*s.lanes.Load())[revision], s.o.Rand)
		if l == nil && s.await(ctx, revision) {
			continue
		}
		if l == nil {
			return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "see the revision's replicas for the reason",
				"no replica of %s is ready", revision)
		}
		if l.enter() { // else it was shut since, and is in the list no more
			return l, nil
		}
	}
}

// moment waits until the death of a replica was noticed, which takes no longer.
func moment(ctx context.Context) bool {
	select {
	case <-time.After(time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// maxWaiting bounds the requests that wait for a replica, and so their memory.
const maxWaiting = 1024

// await waits until the replicas that are ready have changed. It answers false when none of
// the revision will be ready soon, or ctx has ended.
func (s *Supervisor) await(ctx context.Context, revision string) bool {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return false
	}
	s.mu.Lock()
	news, there := s.news, len((*s.lanes.Load())[revision]) > 0
	host := revision
	if m := s.members[revision]; m != nil {
		host = m.pool
	}
	soon := slices.ContainsFunc(s.of(host), func(r *replica) bool {
		return r.State != route.ReplicaCrashLoop && r.State != route.ReplicaDraining
	})
	s.mu.Unlock()
	if there || !soon {
		return there
	}
	select {
	case <-s.ctx.Done(): // nothing changes any more
		return false
	case <-news:
		return true
	case <-ctx.Done():
		return false
	}
}

// Changed is poked when the state of some replica has changed; several changes may come as
// one.
func (s *Supervisor) Changed() <-chan struct{} { return s.changed }

func (s *Supervisor) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// publish replaces the list that Predict picks from; mu is held.
func (s *Supervisor) publish() {
	lanes := map[string][]*lane{}
	for _, r := range s.replicas {
		if r.lane != nil && r.State != route.ReplicaDraining {
			lanes[r.revision] = append(lanes[r.revision], r.lane)
		}
	}
	s.publishShared(lanes)
	s.lanes.Store(&lanes)
	close(s.news)
	s.news = make(chan struct{})
}

// Release ends the supervision, so that another supervisor can take over, and leaves the
// replicas running. Predict goes on with those that were ready until Close.
func (s *Supervisor) Release() {
	s.mu.Lock()
	s.released = true
	s.mu.Unlock()
	s.end()
}

func (s *Supervisor) end() {
	s.once.Do(func() {
		s.cancel()
		s.wg.Wait()
		s.hurry()
		s.lock.Close()
	})
}

// Close releases and closes the connections, after the requests in flight or when ctx
// ends. The replicas are left running.
func (s *Supervisor) Close(ctx context.Context) error {
	s.Release()
	var open []*lane
	s.mu.Lock()
	for _, r := range s.replicas {
		if r.lane != nil {
			open = append(open, r.lane)
			r.lane = nil
		}
	}
	s.publish()
	s.mu.Unlock()
	var errs []error
	for _, l := range open {
		l.drain(ctx)
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(errs...)
}

// StopAll drains and ends every replica, then closes. When ctx ends first, what is left is
// killed; it answers Unavailable if even that did not help.
func (s *Supervisor) StopAll(ctx context.Context) error {
	s.mu.Lock()
	s.released = true // from here on nobody starts anything
	s.want(nil)
	s.mu.Unlock()
	s.stop(ctx)
	s.end()
	err := s.Close(ctx)
	s.mu.Lock()
	left := len(s.replicas)
	s.mu.Unlock()
	if left > 0 {
		return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "end them by hand: their pids are in the records",
			"%d replicas still run", left)
	}
	return err
}

// stop waits until every replica is gone, and hurries them when ctx ends.
func (s *Supervisor) stop(ctx context.Context) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.wg.Wait()
	}()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	s.hurry()
	last := time.NewTimer(s.o.Timing.Term)
	defer last.Stop()
	select {
	case <-gone:
	case <-last.C:
	}
}
