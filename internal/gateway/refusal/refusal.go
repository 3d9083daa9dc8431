// Package refusal keeps who was refused at a gateway until the server has taken it into the
// record: the first time of a minute at once, what follows as a number. It costs those that
// are refused a map's look-up, and those that are not nothing; a flood costs it no more
// memory or disk than maxKinds a minute and maxKept in all.
package refusal

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"

	"github.com/slipway-ml/slipway/internal/route"
)

const (
	minute   = time.Minute
	tick     = time.Second
	maxKinds = 500   // kinds of attempts that are told apart in a minute
	maxKept  = 5_000 // entries that wait for the server
	maxFile  = 8 << 20
)

// Who tells refused attempts apart.
type Who struct {
	What      string // route.Unauthenticated or route.Denied
	Principal string // empty: nobody knows
	Token     string // its id; never its text
	Source    string // an address
	Endpoint  string // one that there is
}

// others are those that come after maxKinds.
var others = Who{What: route.Unauthenticated, Source: "many others"}

// Log is what was refused and not yet taken. It is safe for concurrent use.
type Log struct {
	path string
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{}

	mu     sync.Mutex
	since  time.Time
	counts map[Who]int // beyond the first of this minute
	kept   []route.Refusal
	next   uint64
	lost   int // entries beyond maxKept
	dirty  bool
}

// Open reads what the last process left in a file; one that cannot be read is begun anew.
// Numbers start at the clock's microseconds, so that none is given twice.
func Open(path string, now func() time.Time, log *slog.Logger) *Log {
	l := &Log{path: path, log: log, now: now, wake: make(chan struct{}, 1), counts: map[Who]int{}, since: now()}
	b, err := os.ReadFile(path)
	if err == nil && len(b) <= maxFile {
		err = json.Unmarshal(b, &l.kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("refusals that the server had not taken are lost", "error", err.Error())
		l.kept = nil
	}
	l.next = uint64(max(1, now().UnixMicro()))
	for _, r := range l.kept {
		l.next = max(l.next, r.Seq+1)
	}
	return l
}

// Source is the address of a client as attempts are told apart by it: of IPv6 its network,
// of which one client has as many addresses as it likes.
func Source(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}

// Note counts one refused attempt.
func (l *Log) Note(w Who) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.turn(now, false)
	if _, known := l.counts[w]; known {
		l.counts[w]++
		return
	}
	if len(l.counts) >= maxKinds {
		l.counts[others]++
		return
	}
	l.counts[w] = 0
	l.keep(w, now, 0)
}

// turn closes a minute that is over.
func (l *Log) turn(now time.Time, end bool) {
	if !end && now.Sub(l.since) < minute {
		return
	}
	order := slices.SortedFunc(maps.Keys(l.counts), func(a, b Who) int {
		return strings.Compare(a.Principal+"\x00"+a.Token+"\x00"+a.Source+"\x00"+a.Endpoint, b.Principal+"\x00"+b.Token+"\x00"+b.Source+"\x00"+b.Endpoint)
	})
	for _, w := range order {
		if n := l.counts[w]; n > 0 {
			l.keep(w, now, n)
		}
	}
	l.since = now
	clear(l.counts)
}

func (l *Log) keep(w Who, now time.Time, again int) {
	if len(l.kept) >= maxKept {
		l.lost++
		return
	}
	r := route.Refusal{Seq: l.next, Time: now.UTC(), What: w.What, Principal: w.Principal, Token: w.Token, Source: w.Source, Endpoint: w.Endpoint, Again: again, Lost: l.lost}
	if again > 0 {
		r.Since = l.since.UTC()
	}
	l.lost = 0
	l.next++
	l.kept = append(l.kept, r)
	l.dirty = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// After gives the entries above a number, in order, and forgets those up to it: the server
// has recorded them.
func (l *Log) After(seq uint64) []route.Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(l.kept), func(r route.Refusal) bool { return r.Seq <= seq })
	l.dirty = l.dirty || len(kept) != len(l.kept)
	l.kept = kept
	return append([]route.Refusal{}, kept...)
}

// Run writes until ctx ends, and then once more.
func (l *Log) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			l.write(true)
			return
		case <-l.wake:
		case <-t.C:
		}
		l.write(false)
	}
}

// write puts what is kept on disk. A disk that is full costs the record of attempts, and
// nobody his answer.
func (l *Log) write(end bool) {
	l.mu.Lock()
	l.turn(l.now(), end)
	dirty, kept := l.dirty, slices.Clone(l.kept)
	l.dirty = false
	l.mu.Unlock()
	if !dirty {
		return
	}
	b, err := json.Marshal(kept)
	if err == nil {
		err = disk.Replace(l.path, b, true)
	}
	if err != nil {
		l.log.Error("refusals are not on disk; trying again", "error", err.Error())
		l.mu.Lock()
		l.dirty = true
		l.mu.Unlock()
	}
}
