package admit

import (
	"slices"
	"time"
)

// waiter is one request in the queue.
type waiter struct {
	caller string
	ends   time.Duration // until when it must be answered
	done   chan *Refusal // gets nil with a place, or why there is none; once
}

// line is the waiters of one caller, the oldest first.
type line struct {
	caller  string
	waiters []*waiter
}

// queue holds waiters. Callers take turns, however many waiters each has.
type queue struct {
	lines map[string]*line
	turns []*line // those that have waiters
	turn  int     // whose it is
	n     int
}

func (q *queue) add(w *waiter) {
	l := q.lines[w.caller]
	if l == nil {
		if q.lines == nil {
			q.lines = map[string]*line{}
		}
		l = &line{caller: w.caller}
		q.lines[w.caller], q.turns = l, append(q.turns, l)
	}
	l.waiters = append(l.waiters, w)
	q.n++
}

// next takes a waiter out, the oldest of the caller whose turn it is, or gives nil.
func (q *queue) next() *waiter {
	if q.n == 0 {
		return nil
	}
	q.turn %= len(q.turns)
	l := q.turns[q.turn]
	w := l.waiters[0]
	if q.cut(l, 0); len(l.waiters) > 0 {
		q.turn++
	}
	return w
}

// longest is the line with the most waiters; there must be one.
func (q *queue) longest() *line {
	return slices.MaxFunc(q.turns, func(a, b *line) int { return len(a.waiters) - len(b.waiters) })
}

// before is how many get their turn before one more of a caller's would.
func (q *queue) before(caller string) int {
	mine := q.of(caller)
	n := mine
	for _, l := range q.turns {
		if l.caller != caller {
			n += min(len(l.waiters), mine+1)
		}
	}
	return n
}

// of is how many wait of a caller.
func (q *queue) of(caller string) int {
	if l := q.lines[caller]; l != nil {
		return len(l.waiters)
	}
	return 0
}

// remove takes out one that waits no longer; it answers false if it is out already.
func (q *queue) remove(w *waiter) bool {
	l := q.lines[w.caller]
	if l == nil {
		return false
	}
	i := slices.Index(l.waiters, w)
	if i >= 0 {
		q.cut(l, i)
	}
	return i >= 0
}

func (q *queue) cut(l *line, i int) {
	l.waiters = slices.Delete(l.waiters, i, i+1)
	q.n--
	if len(l.waiters) > 0 {
		return
	}
	delete(q.lines, l.caller)
	at := slices.Index(q.turns, l)
	q.turns = slices.Delete(q.turns, at, at+1)
	if at < q.turn {
		q.turn--
	}
}
