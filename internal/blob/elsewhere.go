package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// Bucket keeps the files of blobs elsewhere, by names of the form "ab/abcd….sealed". Safe for
// concurrent use. What Put has acknowledged is durable; one that fails leaves nothing visible.
// What is not there is NotFound; the bucket that cannot be reached is Unavailable.
type Bucket interface {
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	// Stat gives the length of a file, and when it was put there.
	Stat(ctx context.Context, name string) (size int64, put time.Time, err error)
	// From gives a file from a byte on.
	From(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	Delete(ctx context.Context, name string) error
	List(ctx context.Context, prefix string, each func(name string, size int64, put time.Time)) error
}

// elsewhere is a bucket, and what was asked for in it: its files have no time that could be
// set, so that a start counts as having asked for all.
type elsewhere struct {
	Bucket
	now   func() time.Time
	begun time.Time

	mu    sync.Mutex
	asked map[slipway.Digest]time.Time
	prune int // entries at which old ones are dropped
}

// forgotten is the age from which nobody relies on an answer any more.
const forgotten = 48 * time.Hour

// In makes a directory keep what is stored from now on in a bucket. Blobs that lie in the
// directory are read there as before; uploads are there, encrypted, until they are whole. It
// is called before anything else is.
func (d *Dir) In(b Bucket, now func() time.Time) {
	d.bucket = &elsewhere{Bucket: b, now: now, begun: now(), asked: map[slipway.Digest]time.Time{}, prune: 1 << 16}
}

// nameOf is the name of the file of a blob in a bucket.
func nameOf(digest slipway.Digest) string {
	h := digest.Hex()
	return h[:2] + "/" + h + ending
}

// touch remembers that somebody relies on a blob from now on.
func (e *elsewhere) touch(digest slipway.Digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if len(e.asked) >= e.prune {
		for d, when := range e.asked {
			if now.Sub(when) > forgotten {
				delete(e.asked, d)
			}
		}
		e.prune = max(1<<16, 2*len(e.asked))
	}
	e.asked[digest] = now
}

// old says whether nobody has put a blob there, or asked for it, since before.
func (e *elsewhere) old(digest slipway.Digest, put, before time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return put.Before(before) && e.begun.Before(before) && e.asked[digest].Before(before)
}

// sizeIn is the number of bytes of a blob in the bucket, absent if it is not there, for
// somebody who relies on it from now on.
func (d *Dir) sizeIn(ctx context.Context, digest slipway.Digest) (int64, error) {
	if d.bucket == nil {
		return absent, nil
	}
	d.bucket.touch(digest)
	length, _, err := d.bucket.Stat(ctx, nameOf(digest))
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return absent, nil
	}
	return wrapped.plainSize(length), err
}

// send puts a whole file into the bucket.
func (d *Dir) send(ctx context.Context, f *os.File, digest slipway.Digest) error {
	length, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return ioError("store a blob", err)
	}
	d.bucket.touch(digest)
	return d.bucket.Put(ctx, nameOf(digest), length, source{f})
}

// source tells the errors of the disk from those of the bucket.
type source struct{ f *os.File }

func (s source) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // os.File gives it bare
		err = ioError("read a blob", err)
	}
	return n, err
}

// openIn opens a blob in the bucket.
func (d *Dir) openIn(ctx context.Context, digest slipway.Digest) (*Reader, error) {
	if d.bucket == nil {
		return nil, none(digest)
	}
	length, _, err := d.bucket.Stat(ctx, nameOf(digest))
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil, none(digest)
	}
	if err != nil {
		return nil, err
	}
	in := &ranges{ctx: ctx, bucket: d.bucket, name: nameOf(digest)}
	r := &Reader{in: in, close: in.Close, digest: digest, length: length}
	if err = r.unlock(ctx, d.keys); err != nil {
		in.Close()
		return nil, err
	}
	return r, nil
}

// ranges reads a file in a bucket. As long as one reading begins where the last has ended it
// is one request. For one goroutine.
type ranges struct {
	ctx    context.Context
	bucket Bucket
	name   string
	in     io.ReadCloser
	at     int64
}

// ReadAt implements io.ReaderAt, but for concurrent use.
func (r *ranges) ReadAt(p []byte, at int64) (int, error) {
	if r.in == nil || r.at != at {
		if err := r.Close(); err != nil {
			return 0, err
		}
		in, err := r.bucket.From(r.ctx, r.name, at)
		if err != nil {
			return 0, err
		}
		r.in, r.at = in, at
	}
	n, err := io.ReadFull(r.in, p)
	r.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Close ends the request.
func (r *ranges) Close() error {
	if r.in == nil {
		return nil
	}
	err := r.in.Close()
	r.in = nil
	return err
}

// sweepIn is Sweep for the bucket.
func (d *Dir) sweepIn(ctx context.Context, keep func(slipway.Digest) bool, before time.Time, take bool) (found int, size int64, err error) {
	if d.bucket == nil {
		return 0, 0, nil
	}
	sizes := map[slipway.Digest]int64{}
	err = d.bucket.List(ctx, "", func(name string, length int64, put time.Time) {
		_, file, _ := strings.Cut(name, "/")
		digest, err := slipway.ParseDigest("sha256:" + strings.TrimSuffix(file, ending))
		if err == nil && name == nameOf(digest) && d.bucket.old(digest, put, before) {
			sizes[digest] = wrapped.plainSize(length)
		}
	})
	if err != nil {
		return 0, 0, err
	}
	for digest := range sizes {
		if keep(digest) {
			continue
		}
		n, err := d.reclaimIn(ctx, digest, before, take)
		if err != nil {
			return found, size, err
		}
		if n != absent {
			found, size = found+1, size+n
		}
	}
	return found, size, nil
}

// reclaimIn gives the size of a blob in the bucket that is old, else absent, and removes it.
func (d *Dir) reclaimIn(ctx context.Context, digest slipway.Digest, before time.Time, take bool) (int64, error) {
	if d.bucket == nil {
		return absent, nil
	}
	shard := &d.shards[shardOf(digest)]
	shard.Lock()
	defer shard.Unlock()
	length, put, err := d.bucket.Stat(ctx, nameOf(digest))
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) || err == nil && !d.bucket.old(digest, put, before) {
		return absent, nil
	}
	if err == nil && take {
		err = d.bucket.Delete(ctx, nameOf(digest))
	}
	return wrapped.plainSize(length), err
}
