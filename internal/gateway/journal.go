package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	maxJournal   = 64 << 20 // bytes; an entry has a few hundred
	journalRetry = time.Second
)

// journal is the list of vetoes: in memory at once, one JSON line each in a file as soon
// as the disk allows.
type journal struct {
	path string
	log  *slog.Logger
	wake chan struct{} // holds a token when there is something to write

	mu      sync.Mutex
	entries []route.Veto
	keys    map[route.RolloutKey]int // index of the veto in entries
	next    uint64
	written int           // entries that are on disk
	flushed chan struct{} // closed and replaced when written has grown

	file *os.File // used by whoever has writing
	size int64    // of what is known to be whole
	// writing is apart from mu, so that nobody who adds an entry waits for the disk.
	writing sync.Mutex
}

// openJournal reads the journal. A last line that is not whole was never acknowledged, and
// is cut off; damage before it is an error, since a rollback could be forgotten.
//
// Sequence numbers start at the clock's microseconds instead of after the last entry: an
// entry that a full disk kept from being written may have been reconciled already, and no
// other may ever get its number.
func openJournal(path string, now time.Time, log *slog.Logger) (*journal, error) {
	j := &journal{path: path, log: log, wake: make(chan struct{}, 1), keys: map[route.RolloutKey]int{},
		next: uint64(max(1, now.UnixMicro())), flushed: make(chan struct{})}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ioError("open the journal", err)
	}
	j.file = f
	err = j.read()
	if err == nil {
		err = disk.Sync(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, ioError("read the journal", err)
	}
	return j, nil
}

func (j *journal) read() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxJournal {
		return errors.New("it is too large")
	}
	content, err := os.ReadFile(j.path)
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(content, []byte("\n"))
		if !whole {
			break
		}
		var v route.Veto
		if err := json.Unmarshal(line, &v); err != nil {
			return &slipway.Error{Code: slipway.CodeIO, Message: "the journal is damaged",
				Next: "move journal.jsonl aside; rollbacks in it that the server has not seen are lost", Cause: err}
		}
		j.keys[v.Rollout] = len(j.entries)
		j.entries = append(j.entries, v)
		j.next = max(j.next, v.Seq+1)
		j.size += int64(len(line)) + 1
		content = rest
	}
	j.written = len(j.entries)
	return nil
}

// add numbers an entry and gives it to the writer. It never waits for the disk.
func (j *journal) add(v route.Veto) route.Veto {
	j.mu.Lock()
	defer j.mu.Unlock()
	v.Seq = j.next
	j.next++
	j.keys[v.Rollout] = len(j.entries)
	j.entries = append(j.entries, v)
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return v
}

func (j *journal) has(k route.RolloutKey) bool {
	_, ok := j.of(k)
	return ok
}

func (j *journal) of(k route.RolloutKey) (route.Veto, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, ok := j.keys[k]
	if !ok {
		return route.Veto{}, false
	}
	return j.entries[i], true
}

// after lists the entries above a sequence number, in order, whether written or not.
func (j *journal) after(seq uint64) []route.Veto {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := []route.Veto{}
	for _, v := range j.entries {
		if v.Seq > seq {
			out = append(out, v)
		}
	}
	return out
}

// last is the newest sequence number, 0 if there is none, and how many entries are not on
// disk.
func (j *journal) last() (seq uint64, unwritten int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.entries); n > 0 {
		seq = j.entries[n-1].Seq
	}
	return seq, len(j.entries) - j.written
}

// run writes until ctx ends; what fails is tried again.
func (j *journal) run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = j.flush() // logged
			return
		case <-j.wake:
		case <-retry.C:
		}
		if j.flush() != nil {
			retry.Reset(journalRetry)
		}
	}
}

// flush writes what is not on disk.
func (j *journal) flush() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	from := j.written
	entries := j.entries[from:]
	j.mu.Unlock()
	if len(entries) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, v := range entries {
		line, err := json.Marshal(v)
		if err != nil { // a judgement that is no JSON
			v.Judgement = nil
			line, _ = json.Marshal(v)
		}
		b.Write(append(line, '\n'))
	}
	// Always at the end of what is whole, so that a write that failed half-way is undone.
	_, err := j.file.WriteAt(b.Bytes(), j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.log.Error("a rollback stands but is not in the journal; trying again", "entries", len(entries), "error", ioError("write the journal", err))
		return err
	}
	j.size += int64(b.Len())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.written = from + len(entries)
	close(j.flushed)
	j.flushed = make(chan struct{})
	return nil
}

// sync waits until everything is on disk.
func (j *journal) sync(ctx context.Context) error {
	for {
		j.mu.Lock()
		flushed, missing := j.flushed, len(j.entries)-j.written
		j.mu.Unlock()
		if missing == 0 {
			return nil
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *journal) close() error { return j.file.Close() }
