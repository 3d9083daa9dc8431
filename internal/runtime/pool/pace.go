package pool

import (
	"sync/atomic"
	"time"
)

// inlineBelow is the longest a request may be expected to take if the goroutine that reads
// the connection answers it: the next frame waits for so long. Handing over to a worker
// costs a few microseconds and a copy.
const inlineBelow = 50 * time.Microsecond

// Pace learns what a request costs by its size: a moving average of nanoseconds per KiB,
// weight 1/8. Lost updates do no harm. Until the first observation nothing is cheap.
type Pace struct {
	perKiB atomic.Int64
}

// Observe notes what a request of a size has taken.
func (p *Pace) Observe(size int, took time.Duration) {
	now := max(1, int64(took)*1024/int64(max(size, 1)))
	if old := p.perKiB.Load(); old > 0 {
		now = max(1, old+(now-old)/8)
	}
	p.perKiB.Store(now)
}

// Cheap says whether a request of this size is expected to be quick enough.
func (p *Pace) Cheap(size int) bool {
	per := p.perKiB.Load()
	return per > 0 && per*int64(size)/1024 < int64(inlineBelow)
}
