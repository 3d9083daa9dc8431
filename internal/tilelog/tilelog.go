// Package tilelog keeps the audit log on disk as a Merkle tree in tiles (C2SP tlog-tiles),
// which any reader of that format can verify.
package tilelog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
)

// Files of the log, below its directory.
const (
	stateFile   = ".state/treeState"
	stateLock   = ".state/treeState.lock"
	publishLock = ".state/publish.lock"
	versionFile = ".state/version"
)

// never is an interval after which Tessera would do by itself what is done here.
const never = 100 * 365 * 24 * time.Hour

// Log is an open log. One goroutine appends; the other methods are safe beside it.
type Log struct {
	dir    string
	key    *audit.Key
	driver tessera.Driver
	cold   atomic.Pointer[[]string] // directories with tiles that were moved away

	mu     sync.Mutex // of who appends
	tree   *audit.Tree
	edges  []uint64                         // sizes that the tree had since the last checkpoint
	halves bool                             // a write failed, and may have left half a file
	point  atomic.Pointer[audit.Checkpoint] // the newest that was signed
	size   atomic.Uint64                    // of the tree
}

var quiet sync.Once

// Open opens the log in a directory, which is made when it is missing, and removes what a
// killed process left half written. It answers CodeAuditDamaged if the log is not the one
// that was signed.
func Open(ctx context.Context, dir string, key *audit.Key, cold []string) (*Log, error) {
	quiet.Do(func() { // what Tessera has to say comes as errors
		klog.LogToStderr(false)
		klog.SetOutput(io.Discard)
	})
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError(err)
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, diskError(err)
	}
	l := &Log{dir: dir, key: key, driver: driver}
	l.cold.Store(&cold)
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	return l, l.sweep()
}

// load reads the state and verifies it against the tiles and the checkpoint.
func (l *Log) load(ctx context.Context) error {
	if err := l.appender(ctx, 1, func(*tessera.Appender) error { return nil }); err != nil { // makes what is missing
		return err
	}
	st, err := l.readState()
	if err != nil {
		return err
	}
	hashes, err := l.Subtrees(ctx, 0, st.Size, st.Size)
	if err != nil {
		return damaged("its tiles cannot be read", err)
	}
	if l.tree, err = audit.NewTree(st.Size, hashes); err != nil {
		return damaged("its tiles are not those of a tree", err)
	}
	if string(l.tree.Root()) != string(st.Root) {
		return damaged("its tiles do not make its root", nil)
	}
	point, err := l.readCheckpoint()
	if err != nil {
		return err
	}
	if point.Size > st.Size {
		return damaged(fmt.Sprintf("a checkpoint of %d events was signed, and it has %d", point.Size, st.Size), nil)
	}
	proof, err := l.Consistency(ctx, point.Size, st.Size)
	if err == nil {
		err = audit.Consistent(point, audit.Checkpoint{Size: st.Size, Root: st.Root}, proof)
	}
	if err != nil {
		return damaged("it is not the one that was signed", err)
	}
	l.point.Store(&point)
	l.size.Store(st.Size)
	return nil
}

func (l *Log) readCheckpoint() (audit.Checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, layout.CheckpointPath))
	if err != nil {
		return audit.Checkpoint{}, damaged("its checkpoint cannot be read", err)
	}
	public, err := audit.ParsePublic(l.key.Public())
	if err != nil {
		return audit.Checkpoint{}, err
	}
	c, err := public.Checkpoint(text)
	if err != nil {
		return c, damaged("its checkpoint is not signed with this key", err)
	}
	return c, nil
}

// Size is how many events are in the tree; those behind the checkpoint's are not promised
// yet.
func (l *Log) Size() uint64 { return l.size.Load() }

// Checkpoint is the newest one that was signed.
func (l *Log) Checkpoint() audit.Checkpoint { return *l.point.Load() }

// Key signs the log.
func (l *Log) Key() *audit.Key { return l.key }

type state struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func (l *Log) readState() (st state, err error) {
	b, err := os.ReadFile(filepath.Join(l.dir, stateFile))
	if err != nil {
		return st, damaged("its state cannot be read", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, damaged("its state cannot be read", err)
	}
	return st, nil
}

// appender lends an appender of Tessera whose batch has so many entries. Each batch has one
// of its own: the last entry then flushes it, never a timer, and what is in the log is in
// the order in which it was added. Two batches of one appender can overtake each other.
func (l *Log) appender(ctx context.Context, batch int, use func(*tessera.Appender) error) error {
	// Tessera panics when it cannot open its lock.
	lock, err := os.OpenFile(filepath.Join(l.dir, stateLock), os.O_RDWR, 0)
	if err == nil {
		lock.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return diskError(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what has begun is not left half done
	defer cancel()
	o := tessera.NewAppendOptions().WithCheckpointSigner(l.key.Signer()).WithBatching(uint(batch), never).
		WithCheckpointInterval(never).WithCheckpointRepublishInterval(0).WithGarbageCollectionInterval(0)
	a, _, _, err := tessera.NewAppender(ctx, l.driver, o)
	if err != nil {
		return diskError(err)
	}
	return use(a)
}

// Append puts leaves behind the last one and signs a checkpoint over all of them: when it
// returns they are durable, in their order. Without leaves it signs what is there. After an
// error it may be called again with what is behind Size.
func (l *Log) Append(ctx context.Context, leaves [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(leaves) > 0 {
		if err := l.integrate(ctx, leaves); err != nil {
			l.halves = true
			return err
		}
		if l.halves {
			if err := l.clear(func(place) bool { return false }); err != nil {
				return err
			}
			l.halves = false
		}
	}
	return l.sign()
}

// integrate brings leaves into the tree. The tree that the leaves make is reckoned here
// too, and what Tessera has written is compared with it.
func (l *Log) integrate(ctx context.Context, leaves [][]byte) error {
	if err := l.unmoved(); err != nil {
		return err
	}
	from, next := l.tree.Size(), l.tree.Clone()
	for _, leaf := range leaves {
		if err := next.Append(audit.LeafHash(leaf), nil); err != nil {
			return err
		}
	}
	err := l.appender(ctx, len(leaves), func(a *tessera.Appender) error {
		added := make([]tessera.IndexFuture, len(leaves))
		for i, leaf := range leaves {
			added[i] = a.Add(ctx, tessera.NewEntry(leaf))
		}
		for i, wait := range added {
			at, err := wait()
			if err != nil {
				return diskError(err)
			}
			if at.Index != from+uint64(i) {
				return damaged(fmt.Sprintf("event %d came to index %d", from+uint64(i)+1, at.Index), nil)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	st, err := l.readState()
	if err == nil && (st.Size != next.Size() || string(st.Root) != string(next.Root())) {
		err = damaged(fmt.Sprintf("after %d events it is not the tree of its events", next.Size()), nil)
	}
	if err != nil {
		return err
	}
	l.tree, l.edges = next, append(l.edges, from)
	l.size.Store(next.Size())
	return nil
}

// unmoved makes sure that nobody else writes here.
func (l *Log) unmoved() error {
	st, err := l.readState()
	if err == nil && (st.Size != l.tree.Size() || string(st.Root) != string(l.tree.Root())) {
		err = damaged("somebody else writes it", nil)
	}
	return err
}

// sign promises the tree as it is.
func (l *Log) sign() error {
	old := l.Checkpoint()
	if old.Size == l.tree.Size() {
		return nil
	}
	c, err := l.key.Sign(l.tree.Size(), l.tree.Root())
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(l.dir, layout.CheckpointPath), c.Text); err != nil {
		return diskError(err)
	}
	l.point.Store(&c)
	for _, size := range append(l.edges, old.Size) {
		l.forget(size, c.Size)
	}
	l.edges = l.edges[:0]
	return nil
}

// replaceFile writes a file so that a reader, and one after a loss of power, sees the old
// or the new one.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func damaged(what string, cause error) error {
	return &slipway.Error{Code: slipway.CodeAuditDamaged, Kind: slipway.Conflict, Message: "the audit log is damaged: " + what,
		Next: "platform audit verify", Cause: cause}
}

func diskError(err error) error {
	e := &slipway.Error{Code: slipway.CodeAuditFull, Kind: slipway.Exhausted, Message: "the audit log cannot be written", Next: "check the disk of the audit log and its permissions", Cause: err}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		e.Message, e.Next = "its disk is full", "free space on the disk of the audit log, or: platform audit retain --before DATE --to DIRECTORY"
	}
	return e
}
