package admit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const far = time.Hour

// TestBucket: over any stretch a bucket gives no more than its burst and what came in, and
// the wait that it names is exact.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "every"))
		burst := rapid.IntRange(1, 1000).Draw(t, "burst")
		var b bucket
		var taken []time.Duration
		now := time.Duration(0)
		for range 200 {
			now += time.Duration(rapid.Int64Range(0, int64(2*every)).Draw(t, "later"))
			wait := b.take(now, every, burst)
			if wait == 0 {
				taken = append(taken, now)
				continue
			}
			if b.take(now+wait-1, every, burst) == 0 {
				t.Fatal("a token came before its time")
			}
		}
		for i := range taken {
			for k := i; k < len(taken); k++ {
				if most := burst + int((taken[k]-taken[i])/every); k-i+1 > most {
					t.Fatalf("%d tokens within %v", k-i+1, taken[k]-taken[i])
				}
			}
		}
	})
}

// TestQueue: each that is added comes out once; callers take turns.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		in := map[*waiter]bool{}
		var turns []string
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				w := &waiter{caller: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "caller"))}
				q.add(w)
				in[w], turns = true, nil
			},
			"next": func(t *rapid.T) {
				waiting := map[string]bool{}
				for w := range in {
					waiting[w.caller] = true
				}
				w := q.next()
				if (w == nil) != (len(in) == 0) || w != nil && !in[w] {
					t.Fatalf("%v of %d", w, len(in))
				}
				if w == nil {
					return
				}
				delete(in, w)
				for i := len(turns) - 1; i >= 0 && turns[i] != w.caller; i-- {
					delete(waiting, turns[i])
				}
				turns = append(turns, w.caller)
			},
			"remove": func(t *rapid.T) {
				for w := range in {
					if !q.remove(w) || q.remove(w) {
						t.Fatal("a waiter was not there, or stays")
					}
					delete(in, w)
					turns = nil
					break
				}
			},
			"": func(t *rapid.T) {
				n := 0
				for _, l := range q.turns {
					if len(l.waiters) == 0 || q.lines[l.caller] != l {
						t.Fatal("an empty line has a turn")
					}
					n += len(l.waiters)
				}
				if q.n != len(in) || n != q.n || len(q.turns) != len(q.lines) {
					t.Fatalf("%d of %d wait", q.n, len(in))
				}
			},
		})
	})
}

// TestTurns: one with many waiters does not keep another one out.
func TestTurns(t *testing.T) {
	var q queue
	for range 10 {
		q.add(&waiter{caller: "noisy"})
	}
	q.add(&waiter{caller: "quiet"})
	q.add(&waiter{caller: "quiet"})
	got := ""
	for range 5 {
		got += q.next().caller[:1]
	}
	if got != "nqnqn" {
		t.Error(got)
	}
}

func TestFound(t *testing.T) {
	ms := time.Millisecond
	for name, tt := range map[string]struct {
		f    found
		s    seen
		want found
	}{
		"nothing seen":                       {found{64, ms}, seen{}, found{64, ms}},
		"quick, nobody waits":                {found{64, ms}, seen{10, 20 * ms, ms, 8, false}, found{64, ms}},
		"quick, and full":                    {found{64, ms}, seen{10, 20 * ms, ms, 64, true}, found{80, ms}},
		"at the ceiling":                     {found{100, ms}, seen{10, 20 * ms, ms, 64, true}, found{100, ms}},
		"slow because of others":             {found{64, ms}, seen{10, 250 * ms, 20 * ms, 64, true}, found{51, ms}},
		"very slow":                          {found{64, ms}, seen{1, 5000 * ms, 5000 * ms, 64, true}, found{32, ms}},
		"never below the floor":              {found{5, ms}, seen{1, 5000 * ms, 5000 * ms, 64, true}, found{4, ms}},
		"slow by itself":                     {found{64, 100 * ms}, seen{10, 2000 * ms, 100 * ms, 64, true}, found{80, 100 * ms}},
		"slower, but alone":                  {found{64, ms}, seen{10, 400 * ms, 40 * ms, 1, false}, found{64, 40 * ms}},
		"the first":                          {found{limit: 64}, seen{1, 30 * ms, 30 * ms, 64, false}, found{64, 30 * ms}},
		"above what may be, is brought back": {found{900, ms}, seen{}, found{100, ms}},
	} {
		if got := tt.f.next(tt.s, 4, 100); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// gated is a gate before a server of the test, on the clock of a bubble.
type gated struct {
	*Gate
	refused *Refused
	t       *testing.T
	origin  time.Time
}

func (g gated) now() time.Duration { return time.Since(g.origin) }

func (g gated) enter(caller string, within time.Duration) (*Refusal, time.Duration) {
	r, err := g.Wait(g.t.Context(), caller, g.now(), g.now()+within)
	if err != nil {
		g.t.Error(err)
	}
	return r, g.now()
}

func bubble(t *testing.T, c Config, f func(gated)) {
	synctest.Test(t, func(t *testing.T) {
		var refused Refused
		f(gated{New(c, &refused), &refused, t, time.Now()})
	})
}

// TestGate: places, then the queue, then refusals with a reason.
func TestGate(t *testing.T) {
	bubble(t, Config{Concurrency: 1, Queue: 1, Wait: 50 * time.Millisecond}, func(g gated) {
		if r, _ := g.enter("a", far); r != nil {
			t.Fatal(r)
		}
		second := make(chan *Refusal)
		go func() { r, _ := g.enter("a", far); second <- r }()
		synctest.Wait()
		if r, _ := g.enter("a", far); r == nil || r.Reason != Full {
			t.Error(r)
		}
		third := make(chan *Refusal)
		go func() { r, _ := g.enter("b", far); third <- r }() // b has less than its share, but a's only one may stay
		if r := <-third; r == nil || r.Reason != Full {
			t.Error(r)
		}
		time.Sleep(20 * time.Millisecond)
		g.Leave(0, g.now(), true)
		if r := <-second; r != nil {
			t.Error(r)
		}
		if r, at := g.enter("a", far); r == nil || r.Reason != Shed || at != 70*time.Millisecond {
			t.Errorf("%+v at %v", r, at)
		}
		if r, _ := g.enter("a", 0); r == nil || r.Reason != Deadline {
			t.Error(r)
		}
		if r, _ := g.enter("a", 10*time.Millisecond); r == nil || r.Reason != Deadline { // answers take 20 ms
			t.Error(r)
		}
		ctx, cancel := context.WithCancel(g.t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if r, err := g.Wait(ctx, "a", g.now(), far); r != nil || !errors.Is(err, context.Canceled) {
			t.Error(r, err)
		}
		g.Leave(0, g.now(), true)
		if s := g.Stats(); s.Inside != 0 || s.Waiting != 0 || g.refused[Full].Load() != 2 || g.refused[Shed].Load() != 1 || g.refused[Deadline].Load() != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestFull: in a full queue the one with the most waiters makes room for others.
func TestFull(t *testing.T) {
	bubble(t, Config{Concurrency: 1, Queue: 3, Wait: time.Second}, func(g gated) {
		g.enter("noisy", far)
		noisy := make(chan *Refusal, 3)
		for range 3 {
			go func() { r, _ := g.enter("noisy", far); noisy <- r }()
		}
		synctest.Wait()
		quiet := make(chan *Refusal)
		go func() { r, _ := g.enter("quiet", far); quiet <- r }()
		if r := <-noisy; r == nil || r.Reason != Full {
			t.Errorf("%+v", r)
		}
		g.Leave(0, g.now(), true)
		g.Leave(0, g.now(), true)
		if r := <-quiet; r != nil {
			t.Error(r)
		}
		g.Leave(0, g.now(), true)
		g.Leave(0, g.now(), true)
		if r1, r2 := <-noisy, <-noisy; r1 != nil || r2 != nil {
			t.Error(r1, r2)
		}
	})
}

// TestRates: the refusal says when to come again, and then there is room; one who sends too
// many takes nothing from others.
func TestRates(t *testing.T) {
	var refused Refused
	m := NewMeter(Rates{Rate: 10, Burst: 2, CallerRate: 5, CallerBurst: 1}, &refused)
	for _, tt := range []struct {
		caller string
		at     time.Duration
		want   *Refusal
	}{
		{"a", 0, nil},
		{"a", 0, &Refusal{CallerRate, 200 * time.Millisecond}},
		{"b", 0, nil},
		{"c", 0, &Refusal{Rate, 100 * time.Millisecond}},
		{"d", 100 * time.Millisecond, nil},
		{"a", 200 * time.Millisecond, nil},
	} {
		got := m.Take(tt.caller, tt.at)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%s at %v: %+v, want %+v", tt.caller, tt.at, got, tt.want)
		}
	}
	m.Set(Rates{})
	if r := m.Take("a", 0); r != nil || refused[Rate].Load() != 1 || refused[CallerRate].Load() != 1 {
		t.Errorf("%+v", r)
	}
}

// served is what became of an open load.
type served struct {
	good, refused atomic.Int64
	mu            sync.Mutex
	took, no      []time.Duration // of answers, of refusals
}

// overload sends requests at random times, at a rate, to a gate before a server.
func (g gated) overload(rate float64, length time.Duration, server func() bool) *served {
	var out served
	var wg sync.WaitGroup
	rnd := rand.New(rand.NewPCG(1, 2))
	for end := g.now() + length; g.now() < end; {
		wg.Go(func() {
			began := g.now()
			r, in := g.enter("a", 5*time.Second)
			took := g.now() - began
			if r != nil {
				out.refused.Add(1)
				out.mu.Lock()
				defer out.mu.Unlock()
				out.no = append(out.no, took)
				return
			}
			ok := server()
			g.Leave(in, g.now(), ok)
			out.good.Add(1)
			out.mu.Lock()
			defer out.mu.Unlock()
			out.took = append(out.took, g.now()-began)
		})
		time.Sleep(time.Duration(-math.Log(1-rnd.Float64()) / rate * float64(time.Second)))
	}
	wg.Wait()
	return &out
}

func most(d []time.Duration) (m time.Duration) {
	for _, v := range d {
		m = max(m, v)
	}
	return m
}

// parallel is a server that works on n requests at once, each for so long.
func parallel(n int, each time.Duration) func() bool {
	slots := make(chan struct{}, n)
	return func() bool {
		slots <- struct{}{}
		time.Sleep(each)
		<-slots
		return true
	}
}

// joining is a server that answers what waits together, in one go of a fixed time.
func joining(each time.Duration, end <-chan struct{}) func() bool {
	var mu sync.Mutex
	batch := make(chan struct{})
	go func() {
		for {
			mu.Lock()
			now := batch
			batch = make(chan struct{})
			mu.Unlock()
			select {
			case <-time.After(each):
				close(now)
			case <-end:
				close(now)
				return
			}
		}
	}()
	return func() bool {
		mu.Lock()
		mine := batch
		mu.Unlock()
		<-mine
		return true
	}
}

// TestOverload: at three times what a server can do, it is kept busy, those that are taken
// on are answered soon, and the others hear no soon. Nothing was declared.
func TestOverload(t *testing.T) {
	const length = 10 * time.Second
	for name, tt := range map[string]struct {
		capacity, offered float64
		floor, ceiling    int
		server            func(<-chan struct{}) func() bool
		took              time.Duration // at most
	}{
		"quick, two at once":  {2000, 6000, 4, 512, func(<-chan struct{}) func() bool { return parallel(2, time.Millisecond) }, 400 * time.Millisecond},
		"slow, one at once":   {20, 60, 2, 256, func(<-chan struct{}) func() bool { return parallel(1, 50*time.Millisecond) }, 5 * time.Second},
		"unknown, 64 at once": {640, 1920, 64, 64, func(<-chan struct{}) func() bool { return parallel(64, 100*time.Millisecond) }, time.Second},
		"joins what waits":    {400, 1200, 2, 256, func(end <-chan struct{}) func() bool { return joining(50*time.Millisecond, end) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Floor: tt.floor, Ceiling: tt.ceiling, Queue: 256}, func(g gated) {
				end := make(chan struct{})
				defer close(end)
				server := tt.server(end)
				g.overload(tt.capacity/10, time.Second, server) // learns what an answer takes alone
				out := g.overload(tt.offered, length, server)
				good := float64(out.good.Load()) / length.Seconds()
				t.Logf("%.0f/s of %.0f, answers within %v, refusals within %v, %+v", good, tt.capacity, most(out.took), most(out.no), g.Stats())
				if good < .9*tt.capacity {
					t.Errorf("%.0f answers a second of %.0f", good, tt.capacity)
				}
				if m := most(out.took); m > tt.took {
					t.Errorf("an answer took %v", m)
				}
				if m := most(out.no); m > 50*time.Millisecond {
					t.Errorf("a refusal took %v", m)
				}
				if s := g.Stats(); s.Inside != 0 || s.Waiting != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestRaces: whatever happens at once, places are neither lost nor given twice.
func TestRaces(t *testing.T) {
	const limit = 8
	g := New(Config{Concurrency: limit, Queue: 16, Wait: time.Millisecond}, &Refused{})
	origin := time.Now()
	now := func() time.Duration { return time.Since(origin) }
	var inside atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Microsecond)
				r, err := g.Wait(ctx, fmt.Sprint(i%3), now(), now()+time.Second)
				if r == nil && err == nil {
					if n := inside.Add(1); n > limit {
						t.Errorf("%d are inside", n)
					}
					began := now()
					inside.Add(-1)
					g.Leave(began, now(), true)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := g.Stats(); s.Inside != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkGate(b *testing.B) {
	g := New(Config{Floor: 4, Ceiling: 512, Queue: 256}, &Refused{})
	m := NewMeter(Rates{}, &Refused{})
	ctx := context.Background()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r, err := g.Wait(ctx, "a", 1, far); m.Take("a", 1) == nil && r == nil && err == nil {
				g.Leave(1, 2, true)
			}
		}
	})
}
