package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// TestRoom: who goes was used before all who stay, is not pinned, and nobody goes in vain.
func TestRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		order := rapid.SliceOfN(rapid.IntRange(0, 30), n, n).Draw(t, "order")
		loaded := make([]slot, n)
		var total, pinned int64
		for i := range loaded {
			loaded[i] = slot{int64(rapid.IntRange(1, 50).Draw(t, "bytes")), int64(order[i]), rapid.Bool().Draw(t, "pinned")}
			total += loaded[i].bytes
			if loaded[i].pinned {
				pinned += loaded[i].bytes
			}
		}
		need, budget := int64(rapid.IntRange(0, 60).Draw(t, "need")), int64(rapid.IntRange(0, 400).Draw(t, "budget"))
		out, ok := room(loaded, need, budget)
		if want := pinned+need <= budget; ok != want {
			t.Fatalf("it fits: %v, not %v", ok, want)
		}
		goes := map[int]bool{}
		for _, i := range out {
			goes[i] = true
			total -= loaded[i].bytes
		}
		if ok && total+need > budget {
			t.Fatalf("%d bytes of %d", total+need, budget)
		}
		for i, s := range loaded {
			if goes[i] && s.pinned {
				t.Fatal("a pinned one goes")
			}
			for j, other := range loaded {
				if goes[i] && !goes[j] && !other.pinned && other.used < s.used {
					t.Fatal("one goes that was used after one that stays")
				}
			}
		}
		if len(out) > 0 && total+loaded[out[len(out)-1]].bytes+need <= budget {
			t.Fatal("the last went in vain")
		}
	})
}

// number answers its own number.
type number int

func (n number) Predict(context.Context, *tensor.Batch) (*tensor.Batch, error) {
	return &tensor.Batch{Tensors: []tensor.Tensor{{Shape: []int{int(n)}}}}, nil
}

func models(n int, pin func(int) bool) route.Pool {
	p := route.Pool{MemoryBytes: share * 100}
	for i := range n {
		p.Models = append(p.Models, route.Hosted{Revision: fmt.Sprintf("m%d-1", i), Dir: fmt.Sprint(i), Pinned: pin(i)})
	}
	return p
}

func never(int) bool { return false }

// loader loads models of 10 bytes; it counts, and holds while hold is open.
func loader(loads *atomic.Int64, hold <-chan struct{}) Load {
	return func(what route.Hosted, _ int64) (Model, int64, error) {
		loads.Add(1)
		if hold != nil {
			<-hold
		}
		var n int
		_, err := fmt.Sscan(what.Dir, &n)
		return number(n), 10, err
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestManyModels asks 40 models in a pool with room for ten, from many sides, while its
// contents change: everybody gets the answer of the model that he asked.
func TestManyModels(t *testing.T) {
	var loads atomic.Int64
	p := New(loader(&loads, nil), quiet(), time.Now)
	defer p.Close()
	p.Set(models(40, func(i int) bool { return i < 2 }))
	var callers sync.WaitGroup
	stop := make(chan struct{})
	for c := range 8 {
		callers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			for range 3000 {
				n := rng.IntN(40)
				out, err := p.Seat(fmt.Sprintf("m%d-1", n)).Predict(t.Context(), nil)
				if err != nil || out.Tensors[0].Shape[0] != n {
					t.Errorf("model %d: %v, %v", n, out, err)
					return
				}
			}
		})
	}
	var changes sync.WaitGroup
	changes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				p.Set(models(40, func(i int) bool { return i < 2 }))
				_ = p.Status()
			}
		}
	})
	callers.Wait()
	close(stop)
	changes.Wait()
	var bytes int64
	for _, st := range p.Status() {
		if st.Loaded {
			bytes += st.Bytes
		}
		if st.Revision == "m0-1" && (!st.Loaded || st.Loads != 1) {
			t.Errorf("a pinned model: %+v", st)
		}
	}
	if bytes > 100 || loads.Load() < 40 {
		t.Errorf("%d bytes of 100, %d loads", bytes, loads.Load())
	}
}

func TestOneLoadForAll(t *testing.T) {
	var loads atomic.Int64
	hold := make(chan struct{})
	p := New(loader(&loads, hold), quiet(), time.Now)
	defer p.Close()
	p.Set(models(1, never))
	seat := p.Seat("m0-1")
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := seat.Load(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if err := seat.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(hold)
	callers.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
}

func TestRefusals(t *testing.T) {
	now := time.Unix(0, 0)
	size := int64(101)
	fail := error(slipway.Errorf(slipway.Invalid, slipway.CodeModelFormat, "", "is broken"))
	loads := 0
	p := New(func(route.Hosted, int64) (Model, int64, error) {
		loads++
		if fail == nil && size == 0 {
			panic("a bad file")
		}
		return number(0), size, fail
	}, quiet(), func() time.Time { return now })
	defer p.Close()
	p.Set(models(1, never))
	seat := p.Seat("m0-1")
	code := func() string {
		if err := seat.Load(t.Context()); err != nil {
			return slipway.AsError(err).Code
		}
		return ""
	}
	if c := code(); c != slipway.CodeModelFormat || code() != c || loads != 1 {
		t.Errorf("a broken model: %s, %d loads", c, loads)
	}
	now, fail = now.Add(2*sulk), nil
	c := code()
	if _, loaded := seat.Loaded(); c != slipway.CodeReplicaStart || loaded {
		t.Errorf("one that is too large: %s", c)
	}
	now, size = now.Add(2*sulk), 0
	if c := code(); c != slipway.CodeModelFailed {
		t.Errorf("one that panics: %s", c)
	}
	now, size = now.Add(2*sulk), 100
	if c := code(); c != "" || p.Status()[0].Failed != "" {
		t.Errorf("once it is well: %s, %+v", c, p.Status())
	}
	p.Set(route.Pool{})
	if c := code(); c != slipway.CodeNoReplica || p.Seat("m0-1") != nil {
		t.Errorf("once it is gone: %s", c)
	}
}

func TestSize(t *testing.T) {
	type leaf struct{ first, second float64 }
	shared := make([]leaf, 10, 20)
	v := struct {
		x, y []leaf
		name string
		next *leaf
		any  any
		f    func()
	}{x: shared, y: shared, name: "fraud", next: &leaf{first: 1, second: 2}, any: int32(1)}
	const words = 3*8 + 3*8 + 2*8 + 8 + 2*8 + 8
	if got := Size(v); got != words+20*16+5+16+4 {
		t.Errorf("%d bytes", got)
	}
	if Size(nil) != 0 {
		t.Error("nothing takes memory")
	}
}
