package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/slipway-ml/slipway"
)

// Open gives the bytes of a blob and their number. It answers NotFound for one that is not
// there. A disk may rot: if the bytes are not those of the digest any more, the last of
// them are not given, but CodeUploadDigest.
func (d *Dir) Open(ctx context.Context, digest slipway.Digest) (io.ReadCloser, int64, error) {
	path, shard, err := d.place(digest)
	if err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	shard.RLock()
	defer shard.RUnlock()
	f, err := os.Open(path + ending)
	if err == nil {
		return d.openSealed(ctx, f, digest)
	}
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "upload it", "no blob %s", digest.Short())
	}
	if err != nil {
		return nil, 0, ioError("open a blob", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, ioError("open a blob", err)
	}
	return &checked{f: f, in: source{f}, want: digest, left: st.Size(), h: sha256.New()}, st.Size(), nil
}

// openSealed decrypts while it is read.
func (d *Dir) openSealed(ctx context.Context, f *os.File, digest slipway.Digest) (io.ReadCloser, int64, error) {
	key, err := d.keys.Key(ctx, string(digest))
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, ioError("open a blob", err)
	}
	size := max(plainSize(st.Size()), 0)
	return &checked{f: f, in: &opening{f: f, key: key, digest: digest}, want: digest, left: size, h: sha256.New()}, size, nil
}

// opening reads the head of the stream with its first bytes.
type opening struct {
	f      *os.File
	key    []byte
	digest slipway.Digest
	r      io.Reader
}

func (o *opening) Read(p []byte) (int, error) {
	if o.r == nil {
		r, err := openFrom(source{o.f}, o.key, o.digest)
		if err != nil {
			return 0, fmt.Errorf("the head of the stream: %w", err) // never a bare end
		}
		o.r = r
	}
	return o.r.Read(p)
}

// source tells the errors of the disk from those of the encryption.
type source struct{ f *os.File }

func (s source) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // os.File gives it bare
		err = ioError("read a blob", err)
	}
	return n, err
}

// checked compares the digest when everything was read.
type checked struct {
	f    *os.File
	in   io.Reader // the bytes of the blob
	want slipway.Digest
	left int64 // bytes
	h    hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.h.Write(p[:n])
	c.left -= int64(n)
	if errors.As(err, new(*slipway.Error)) {
		return n, err
	}
	altered := err != nil && err != io.EOF
	if altered || (err == io.EOF || c.left <= 0) && hex.EncodeToString(c.h.Sum(nil)) != c.want.Hex() {
		return 0, slipway.Errorf(slipway.Internal, slipway.CodeUploadDigest, "restore it from a backup, or delete its file and upload it again",
			"the stored blob %s has rotted", c.want.Short())
	}
	return n, err
}

// Close ends the reading.
func (c *checked) Close() error { return c.f.Close() }
