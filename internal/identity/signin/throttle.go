package signin

import (
	"fmt"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// What may be wrong before one has to wait, and for how long then. Known and unknown names
// are treated alike; the counts are in memory, for whoever could restart the server needs
// no password.
const (
	freeName   = 5  // attempts for one account
	freeSource = 20 // and from one address, which several people may share
	firstLock  = 10 * time.Second
	longLock   = 15 * time.Minute
	forgetting = time.Hour // without a failure
	maxTracked = 100_000
)

// lockFor is how long one waits after so many failures in a row, of which some are free.
func lockFor(failures, free int) time.Duration {
	if failures < free {
		return 0
	}
	lock := firstLock
	for range min(failures-free, 30) {
		if lock >= longLock {
			break
		}
		lock *= 2
	}
	return min(lock, longLock)
}

// failures of one account or one source.
type failures struct {
	n     int
	last  time.Time
	until time.Time
}

type throttle struct {
	mu sync.Mutex
	of map[string]failures
}

func newThrottle() *throttle { return &throttle{of: map[string]failures{}} }

// try counts an attempt before it is made, so that a hundred at once are not one. It
// answers CodeLocked while one has to wait; locked says that the waiting begins with this
// attempt if it fails.
func (t *throttle) try(now time.Time, name, source string) (locked bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := map[string]int{"name " + name: freeName, "source " + source: freeSource}
	for key := range keys {
		if f := t.of[key]; now.Before(f.until) {
			wait := f.until.Sub(now).Round(time.Second)
			return false, slipway.Errorf(slipway.Exhausted, slipway.CodeLocked, fmt.Sprintf("try again in %v", max(wait, time.Second)), "there were too many wrong attempts")
		}
	}
	t.prune(now)
	for key, free := range keys {
		f := t.of[key]
		if now.Sub(f.last) > forgetting {
			f = failures{}
		}
		f.n, f.last = f.n+1, now
		f.until = now.Add(lockFor(f.n, free))
		locked = locked || f.until.After(now)
		t.of[key] = f
	}
	return locked, nil
}

// succeeded forgets the failures of a name, and this attempt of its source: a thief who owns
// one account does not wash away his guesses at others.
func (t *throttle) succeeded(name, source string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, "name "+name)
	f := t.of["source "+source]
	f.n, f.until = max(0, f.n-1), time.Time{}
	t.of["source "+source] = f
}

// prune keeps the memory bounded: what is forgotten goes first, then anything.
func (t *throttle) prune(now time.Time) {
	if len(t.of) < maxTracked {
		return
	}
	for key, f := range t.of {
		if now.Sub(f.last) > forgetting {
			delete(t.of, key)
		}
	}
	for key := range t.of {
		if len(t.of) < maxTracked/2 {
			break
		}
		delete(t.of, key)
	}
}
