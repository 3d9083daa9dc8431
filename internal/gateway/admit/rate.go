package admit

import (
	"math"
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
