package admit

import "time"

const (
	window = 100 * time.Millisecond // between two looks at the limit
	// allowed is how long an answer may take because others are before it, whatever it
	// takes alone.
	allowed = 20 * time.Millisecond
	// stretch is how many times as long as alone an answer may take. A replica that joins
	// the requests that wait takes twice: the batch before it, and its own.
	stretch = 3
)

// found is how many requests at once an endpoint answers well, and what it was found by.
// It falls while answers take longer than the replicas alone explain, and grows while they
// do not and requests wait. What a replica takes on beyond that waits inside of it, where
// nobody sees to deadlines, fairness and freshness.
type found struct {
	limit int
	alone time.Duration // the time of an answer when no other is in its way; 0: not known
}

// seen is what was seen in a window: some answers, which took so long.
type seen struct {
	n     int
	total time.Duration
	least time.Duration
	peak  int  // most requests at once
	full  bool // a request had to wait
}

func (s *seen) add(took time.Duration, inFlight int) {
	if s.n == 0 || took < s.least {
		s.least = took
	}
	s.n, s.total, s.peak = s.n+1, s.total+took, max(s.peak, inFlight)
}

// next is the limit for the window that follows, from floor to ceiling.
func (f found) next(s seen, floor, ceiling int) found {
	f.limit = min(max(f.limit, floor), ceiling)
	if s.n == 0 {
		return f
	}
	// More at once than the replicas work on would make it seem longer.
	if f.alone == 0 || s.least < f.alone || s.peak <= max(1, floor/8) {
		f.alone = s.least
	}
	mean, bound := s.total/time.Duration(s.n), max(allowed, stretch*f.alone)
	switch {
	case mean > bound:
		share := max(0.5, float64(bound)/float64(mean)) // one slow answer must not close the endpoint
		f.limit = max(floor, int(float64(f.limit)*share))
	case s.full && mean < bound*4/5:
		f.limit = min(ceiling, f.limit+max(1, f.limit/4))
	}
	return f
}
