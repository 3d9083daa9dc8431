// Package answered remembers which revision answered a request, so that a prediction can be
// traced to the model that made it: bounded files beside the gateway, written behind the
// requests, that hold no id of a request but a keyed hash of it.
//
// A file begins with a head and goes on in records of 20 bytes:
//
//	hash of the id, 12 bytes · milliseconds since the head's time, 4 · name, 2 · outcome, 1 · check, 1
//
// A record with the outcome named gives a name its number: the milliseconds are then the length
// of the name, which fills the records that follow. Numbers are little-endian. Each process
// writes a file of its own, so that two of them, in a hand-over, never write one.
package answered

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"
)

// Outcome is what a client got.
type Outcome byte

// The outcomes. Their numbers are in files.
const (
	OK       Outcome = 1 // a prediction
	Rescued  Outcome = 2 // a prediction of stable, after the candidate had failed
	Rejected Outcome = 3 // the model refused the input
	Failed   Outcome = 4
	named    Outcome = 255
)

// String names an outcome for people and programs.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "answered"
	case Rescued:
		return "rescued"
	case Rejected:
		return "rejected"
	default:
		return "failed"
	}
}

const (
	magic    = "slipans1"
	headSize = 20 // magic, the time in milliseconds since 1970, 4 bytes of nothing
	size     = 20 // of a record
	hashSize = 12
	keySize  = 16
	ending   = ".answered"
	maxNames = 1 << 16
	maxName  = 400 // bytes
)

// Limits of what is kept.
const (
	DefaultBytes = 1 << 30 // 53 million requests
	segment      = 16      // files that hold the whole
	every        = 100 * time.Millisecond
	maxBuffer    = 1 << 18             // records that wait for the disk; what comes then is not kept
	maxSpan      = 30 * 24 * time.Hour // of one file: its milliseconds fit into 32 bits
)

// note is a record that waits.
type note struct {
	hash    [hashSize]byte
	at      int64 // milliseconds since 1970
	name    uint16
	outcome Outcome
}

// Log remembers. Its methods are safe for concurrent use.
type Log struct {
	dir   string
	bytes int64
	now   func() time.Time
	log   *slog.Logger
	key   [keySize]byte

	mu      sync.Mutex
	waiting []note
	names   map[string]uint16 // of this process
	order   []string
	dropped atomic.Uint64

	writing sync.Mutex // the file, and what is below
	file    *os.File
	began   int64
	written int64
	known   int // names that the file has
	spare   []note
	broken  bool // the last write failed
}

// Config is what a Log is made of.
type Config struct {
	Dir   string // made with mode 0700
	Bytes int64  // that the files may take; DefaultBytes if 0
	Now   func() time.Time
	Log   *slog.Logger
}

// Open finds the key of a directory, or makes one.
func Open(c Config) (*Log, error) {
	if c.Bytes == 0 {
		c.Bytes = DefaultBytes
	}
	l := &Log{dir: c.Dir, bytes: c.Bytes, now: c.Now, log: c.Log, names: map[string]uint16{}}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(c.Dir, "key")
	key, err := os.ReadFile(path)
	if err != nil || len(key) != keySize {
		key = make([]byte, keySize)
		_, _ = rand.Read(key) // never fails, says its documentation
		if err := disk.Replace(path, key, true); err != nil {
			return nil, err
		}
	}
	copy(l.key[:], key)
	return l, nil
}

// hash hides an id. Ids have at most 64 bytes.
func (l *Log) hash(id string) (out [hashSize]byte) {
	var text [keySize + 64]byte
	n := copy(text[:], l.key[:])
	n += copy(text[n:], id)
	sum := sha256.Sum256(text[:n])
	copy(out[:], sum[:])
	return out
}

// Note remembers that a revision, named as the caller likes, answered a request. It takes a
// fraction of a microsecond, and never waits for the disk.
func (l *Log) Note(id, name string, o Outcome) {
	n := note{hash: l.hash(id), at: l.now().UnixMilli(), outcome: o}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxBuffer {
		l.dropped.Add(1)
		return
	}
	number, ok := l.names[name]
	if !ok {
		if len(l.order) >= maxNames || len(name) > maxName {
			l.dropped.Add(1)
			return
		}
		number = uint16(len(l.order))
		l.names[name], l.order = number, append(l.order, name)
	}
	n.name = number
	l.waiting = append(l.waiting, n)
}

// Dropped counts what could not be remembered, because the disk did not keep up or took
// nothing.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Run writes what was noted until ctx ends, then what is left.
func (l *Log) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.Flush()
			l.writing.Lock()
			defer l.writing.Unlock()
			if l.file != nil {
				l.file.Close()
				l.file = nil
			}
			return
		case <-tick.C:
			l.Flush()
		}
	}
}

// Flush writes what was noted. What the disk does not take is dropped, and counted: these are
// traces, and serving goes on without them.
func (l *Log) Flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	notes, names := l.waiting, l.order
	l.waiting = l.spare[:0]
	l.mu.Unlock()
	l.spare = notes
	if len(notes) == 0 {
		return
	}
	err := l.write(notes, names)
	if err != nil {
		l.dropped.Add(uint64(len(notes)))
		if l.file != nil {
			l.file.Close()
			l.file = nil
		}
	}
	if err != nil && !l.broken {
		l.log.Error("which revisions answered cannot be written; serving goes on", "error", err)
	}
	l.broken = err != nil
}

// write appends to the file, or begins one.
func (l *Log) write(notes []note, names []string) error {
	at := notes[0].at
	if l.file == nil || l.written >= l.bytes/segment || at-l.began >= maxSpan.Milliseconds() || at < l.began {
		if err := l.begin(at); err != nil {
			return err
		}
	}
	b := make([]byte, 0, (len(notes)+8)*size)
	for ; l.known < len(names); l.known++ {
		b = appendName(b, uint16(l.known), names[l.known])
	}
	for _, n := range notes {
		b = appendRecord(b, n.hash[:], uint32(max(0, n.at-l.began)), n.name, n.outcome)
	}
	// Always at the end of what is whole, so that a write that failed half-way is undone.
	if _, err := l.file.WriteAt(b, l.written); err != nil {
		return err
	}
	l.written += int64(len(b))
	return nil
}

func appendRecord(b, hash []byte, ms uint32, name uint16, o Outcome) []byte {
	from := len(b)
	b = append(b, hash...)
	b = binary.LittleEndian.AppendUint32(b, ms)
	b = binary.LittleEndian.AppendUint16(b, name)
	b = append(b, byte(o))
	return append(b, check(b[from:]))
}

func appendName(b []byte, number uint16, name string) []byte {
	var none [hashSize]byte
	b = appendRecord(b, none[:], uint32(len(name)), number, named)
	b = append(b, name...)
	for pad := (size - len(name)%size) % size; pad > 0; pad-- {
		b = append(b, 0)
	}
	return b
}

// check tells a record from bytes that a crash left.
func check(b []byte) byte {
	c := byte(0x5a)
	for _, x := range b {
		c = c<<1 | c>>7
		c ^= x
	}
	return c
}

// begin starts a file, and removes the oldest ones that are too many.
func (l *Log) begin(at int64) error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	path := filepath.Join(l.dir, fmt.Sprintf("%016x-%d%s", at, os.Getpid(), ending))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	for n := 1; os.IsExist(err) && n < 100; n++ {
		f, err = os.OpenFile(strings.TrimSuffix(path, ending)+fmt.Sprintf("-%d%s", n, ending), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	}
	if err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint64([]byte(magic), uint64(at))
	head = append(head, make([]byte, headSize-len(head))...)
	if _, err := f.WriteAt(head, 0); err != nil {
		f.Close()
		return err
	}
	l.file, l.began, l.written, l.known = f, at, headSize, 0
	l.sweep()
	return nil
}

// files are the names of the files, oldest first.
func (l *Log) files() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ending) && e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out) // they begin with the time
	return out, nil
}

// sweep removes the oldest files until the others, and a whole one more, fit.
func (l *Log) sweep() {
	files, err := l.files()
	if err != nil {
		return // the next file tries again
	}
	total := l.bytes / segment
	for i, name := range slices.Backward(files) {
		info, err := os.Stat(filepath.Join(l.dir, name))
		if err != nil {
			continue
		}
		if total += info.Size(); total > l.bytes && i < len(files)-1 {
			if err := os.Remove(filepath.Join(l.dir, name)); err != nil {
				l.log.Error("an old file of answered requests stays", "error", err)
			}
		}
	}
}
