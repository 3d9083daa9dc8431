package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	f, err := os.Open(path)
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
	return &checked{f: f, want: digest, left: st.Size(), h: sha256.New()}, st.Size(), nil
}

// checked compares the digest when everything was read.
type checked struct {
	f    *os.File
	want slipway.Digest
	left int64 // bytes
	h    hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.h.Write(p[:n])
	c.left -= int64(n)
	if err != nil && err != io.EOF {
		return n, ioError("read a blob", err)
	}
	if (err == io.EOF || c.left <= 0) && hex.EncodeToString(c.h.Sum(nil)) != c.want.Hex() {
		return 0, slipway.Errorf(slipway.Internal, slipway.CodeUploadDigest, "restore it from a backup, or delete its file and upload it again",
			"the stored blob %s has rotted", c.want.Short())
	}
	return n, err
}

// Close ends the reading.
func (c *checked) Close() error { return c.f.Close() }
