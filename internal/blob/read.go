package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/slipway-ml/slipway"
)

// Open gives the bytes of a blob and their number. It answers NotFound for one that is not
// there. A disk may rot: if the bytes are not those of the digest any more, the last of
// them are not given, but CodeUploadDigest.
func (d *Dir) Open(ctx context.Context, digest slipway.Digest) (io.ReadCloser, int64, error) {
	r, err := d.OpenAt(ctx, digest)
	if err != nil {
		return nil, 0, err
	}
	return &checked{r: r, left: r.Size(), h: sha256.New()}, r.Size(), nil
}

// checked compares the digest when everything was read.
type checked struct {
	r    *Reader
	left int64 // bytes
	h    hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // Reader gives it bare
		return n, err
	}
	c.h.Write(p[:n])
	c.left -= int64(n)
	if (err == io.EOF || c.left <= 0) && hex.EncodeToString(c.h.Sum(nil)) != c.r.digest.Hex() { //nolint:errorlint // as above
		return 0, c.r.rotten()
	}
	return n, err
}

// Close ends the reading.
func (c *checked) Close() error { return c.r.Close() }
