package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"filippo.io/age"

	"github.com/slipway-ml/slipway"
)

// chunk is how much plaintext age authenticates together, and overhead what it adds.
const (
	chunk    = 64 << 10
	overhead = 16
)

// sealedSize is the length of an age file for the seal with n bytes of plaintext, given that
// of an empty one.
func sealedSize(empty, n int64) int64 {
	return empty + n + overhead*(max(1, (n+chunk-1)/chunk)-1)
}

// emptySize is the length of an age file for the seal that holds nothing.
func (s *Seal) emptySize() (int64, error) {
	var n counter
	w, err := age.Encrypt(&n, s.recipient)
	if err == nil {
		err = w.Close()
	}
	return int64(n), err
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// hashed hashes what is read through it, and counts it for people who wait.
type hashed struct {
	ctx  context.Context
	r    io.Reader
	h    io.Writer
	n    int64
	done *atomic.Int64 // may be nil
	err  error         // of r, but for its end
}

func (h *hashed) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := h.r.Read(p)
	_, _ = h.h.Write(p[:n]) // a hash never fails
	h.n += int64(n)
	if h.done != nil {
		h.done.Add(int64(n))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}

// open opens a file; one that has gone since it was listed has changed.
func (f File) open() (io.ReadCloser, error) {
	in, err := f.Open()
	if errors.Is(err, fs.ErrNotExist) {
		err = changed(f.Path)
	}
	return in, err
}

// digest hashes a file.
func digest(ctx context.Context, f File) (slipway.Digest, error) {
	in, err := f.open()
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, readerOnly{&hashed{ctx: ctx, r: in, h: io.Discard}}, make([]byte, copyBuffer))
	if err == nil && n != f.Size {
		err = changed(f.Path)
	}
	return slipway.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), err
}

const copyBuffer = 256 << 10

// readerOnly hides what would go past Read.
type readerOnly struct{ io.Reader }

func changed(path string) error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "make the backup again", "%s changed while it was copied", path)
}

// put seals a file into the target.
func put(ctx context.Context, t Target, s *Seal, f File, name string, size int64, done *atomic.Int64) error {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	plain := &hashed{ctx: ctx, r: in, h: h, done: done}
	sealed, err := age.EncryptReader(plain, s.recipient)
	if err != nil {
		return err
	}
	check := &ending{r: sealed, check: func() error {
		if plain.n != f.Size || hex.EncodeToString(h.Sum(nil)) != f.Digest.Hex() {
			return changed(f.Path)
		}
		return nil
	}, left: size}
	return t.Put(ctx, partPath(name), size, check)
}

// ending gives the last bytes of r only if check permits it.
type ending struct {
	r     io.Reader
	left  int64
	check func() error
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.left -= int64(n); e.left <= 0 && n > 0 || errors.Is(err, io.EOF) && e.left > 0 {
		if bad := e.check(); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// fetch opens the part of an entry and copies its plaintext to w, which has all of it only
// if fetch answers nil. It answers CodeBackupDamaged, with the name of the part, for one that
// is not as it was written.
func (r *Recovery) fetch(ctx context.Context, t Target, e Entry, sizes map[string]int64, w io.Writer, done *atomic.Int64) error {
	name := r.nameOf(e.Digest)
	what := partPath(name)
	in, size, err := t.Get(ctx, what)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return damaged(what, "it is missing; it holds %s", e.Path)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if want, ok := sizes[name]; !ok || size != want {
		return damaged(what, "it has %d bytes instead of %d; it holds %s", size, want, e.Path)
	}
	raw := &hashed{ctx: ctx, r: in, h: io.Discard, done: done}
	h := sha256.New()
	out := &writing{w: io.MultiWriter(w, h)}
	plain, err := age.Decrypt(raw, r.identity)
	if err == nil {
		_, err = io.CopyBuffer(out, readerOnly{plain}, make([]byte, copyBuffer))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case raw.err != nil:
		return raw.err
	case out.err != nil:
		return out.err
	case err != nil:
		return damaged(what, "it was changed since it was written; it holds %s", e.Path)
	case hex.EncodeToString(h.Sum(nil)) != e.Digest.Hex():
		return damaged(what, "it is another one under this name; it holds %s", e.Path)
	}
	return nil
}

// writing remembers the error of its writer.
type writing struct {
	w   io.Writer
	err error
}

func (w *writing) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
