package gateway

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/route"
)

// counts are route.Counts while they grow.
type counts struct {
	requests, failed, slow, rejected, cancelled, rescued, answered, errors, micros atomic.Uint64
	latency                                                                        histogram
}

// first counts a first attempt.
func (c *counts) first(o eprocess.Outcome, slow bool, took time.Duration) {
	c.requests.Add(1)
	switch o {
	case eprocess.Failed:
		c.failed.Add(1)
	case eprocess.Rejected:
		c.rejected.Add(1)
	case eprocess.Cancelled:
		c.cancelled.Add(1)
	}
	if slow {
		c.slow.Add(1)
	}
	c.micros.Add(uint64(max(0, took.Microseconds())))
	c.latency.observe(took)
}

func (c *counts) load() route.Counts {
	return route.Counts{Requests: c.requests.Load(), Failed: c.failed.Load(), Slow: c.slow.Load(), Rejected: c.rejected.Load(),
		Rescued: c.rescued.Load(), Answered: c.answered.Load(), Errors: c.errors.Load(), LatencyUS: c.micros.Load()}
}

// The histogram's buckets: eight to each doubling, from 16 µs to 67 s.
const (
	subBits  = 3
	firstBit = 4
	octaves  = 22
)

// histogram counts durations in buckets whose width is an eighth of a power of two, so
// that a quantile is off by at most an eighth.
type histogram [octaves << subBits]atomic.Uint64

func (h *histogram) observe(d time.Duration) { h[slot(d)].Add(1) }

// slot is the bucket of a duration; what is out of range falls into the first or last.
func slot(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1<<firstBit))
	octave := bits.Len64(us) - 1
	if octave >= firstBit+octaves {
		return octaves<<subBits - 1
	}
	sub := us >> (octave - subBits) & (1<<subBits - 1)
	return (octave-firstBit)<<subBits | int(sub)
}

// bound is the lower end of a bucket.
func bound(i int) time.Duration {
	octave := firstBit + i>>subBits
	us := uint64(1)<<octave + uint64(i&(1<<subBits-1))<<(octave-subBits)
	return time.Duration(us) * time.Microsecond
}

func (h *histogram) count() (n uint64) {
	for i := range h {
		n += h[i].Load()
	}
	return n
}

// quantile gives the upper end of the bucket in which the quantile lies; 0 if nothing was
// observed.
func (h *histogram) quantile(q float64) time.Duration {
	n := h.count()
	if n == 0 {
		return 0
	}
	rank := uint64(q*float64(n-1)) + 1
	for i := range h {
		c := h[i].Load()
		if c >= rank {
			return bound(i + 1)
		}
		rank -= c
	}
	return bound(len(h))
}
