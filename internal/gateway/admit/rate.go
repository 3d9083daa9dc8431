package admit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// bucket is a token bucket, kept as the time at which it is full again: one word and no
// lock. (It is the generic cell rate algorithm of ITU-T I.371.)
type bucket struct{ full atomic.Int64 }

// take takes a token if there is one. Else it gives how long it takes until there is one.
// A token comes every so often, and as many as burst are kept.
func (b *bucket) take(now, every time.Duration, burst int) (wait time.Duration) {
	for {
		full := b.full.Load()
		next := max(full, int64(now)) + int64(every)
		if wait := next - int64(now) - int64(every)*int64(burst); wait > 0 {
			return time.Duration(wait)
		}
		if b.full.CompareAndSwap(full, next) {
			return 0
		}
	}
}

// interval is the time between the tokens of a rate; 0 for none.
func interval(perSecond float64) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	return max(1, time.Duration(math.Round(float64(time.Second)/perSecond)))
}

// Meter holds an endpoint to its rates. It is safe for concurrent use and takes no lock.
type Meter struct {
	refused *Refused
	rates   atomic.Pointer[rates]
	all     bucket
	callers sync.Map // of *bucket by caller: those that have a grant, so there are few
}

// rates are Rates, ready for use.
type rates struct {
	Rates
	every, callerEvery time.Duration
}

// NewMeter makes a meter that counts whom it refuses.
func NewMeter(r Rates, refused *Refused) *Meter {
	m := &Meter{refused: refused}
	m.Set(r)
	return m
}

// Set changes the rates.
func (m *Meter) Set(r Rates) { m.rates.Store(&rates{r, interval(r.Rate), interval(r.CallerRate)}) }

// Take takes a request on, or says why not. Times are those of one clock, since any moment.
func (m *Meter) Take(caller string, now time.Duration) *Refusal {
	r := m.rates.Load()
	if r.callerEvery > 0 { // first, so that one who sends too many takes nothing from others
		if wait := m.of(caller).take(now, r.callerEvery, r.CallerBurst); wait > 0 {
			return m.refused.add(CallerRate, wait)
		}
	}
	if r.every > 0 {
		if wait := m.all.take(now, r.every, r.Burst); wait > 0 {
			return m.refused.add(Rate, wait)
		}
	}
	return nil
}

// of is the bucket of a caller.
func (m *Meter) of(caller string) *bucket {
	if b, ok := m.callers.Load(caller); ok {
		return b.(*bucket)
	}
	b, _ := m.callers.LoadOrStore(caller, &bucket{})
	return b.(*bucket)
}
