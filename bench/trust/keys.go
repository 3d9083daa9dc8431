package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

// speed is what encryption costs: MB/s of blobs as they are stored, beside a plain file that
// is hashed, written and synced in the same way.
type speed struct {
	metric     string
	ours, peer float64
}

const blobBytes = 512 << 20

// oneKey is the key of every blob.
type oneKey struct{}

func (oneKey) Key(context.Context, string) ([]byte, error) { return make([]byte, 32), nil }

func (oneKey) Make(context.Context, string) ([]byte, bool, error) {
	return make([]byte, 32), false, nil
}

// blobSpeeds writes and reads a file of 512 MiB a few times and gives the best of each.
func blobSpeeds(ctx context.Context) ([]speed, error) {
	dir, err := os.MkdirTemp("", "slipway-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	content := bytes.Repeat([]byte("0123456789abcdef"), blobBytes/16)
	digest := slipway.DigestOf(content)
	d, err := blob.Open(filepath.Join(dir, "blobs"), oneKey{})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "plain")
	out := []speed{{metric: "blob_write_mb_s"}, {metric: "blob_read_mb_s"}}
	for range 3 {
		for i, do := range [][2]func() error{
			{func() error {
				return errors.Join(d.Remove(ctx, digest), d.Put(ctx, digest, blobBytes, bytes.NewReader(content)))
			}, func() error { return writePlain(file, bytes.NewReader(content)) }},
			{func() error {
				in, _, err := d.Open(ctx, digest)
				return drain(in, err)
			}, func() error { return readPlain(file) }},
		} {
			ours, err := rate(do[0])
			peer, err2 := rate(do[1])
			if err := errors.Join(err, err2); err != nil {
				return nil, err
			}
			out[i].ours, out[i].peer = max(out[i].ours, ours), max(out[i].peer, peer)
		}
	}
	return out, nil
}

// rate is in MB/s.
func rate(do func() error) (float64, error) {
	began := time.Now()
	err := do()
	return blobBytes / 1e6 / time.Since(began).Seconds(), err
}

func writePlain(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(io.MultiWriter(f, sha256.New()), struct{ io.Reader }{r}, make([]byte, 256<<10))
	return errors.Join(err, f.Sync(), f.Close())
}

func readPlain(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return drain(struct {
		io.Reader
		io.Closer
	}{io.TeeReader(f, sha256.New()), f}, nil)
}

func drain(in io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, in, make([]byte, 256<<10))
	return errors.Join(err, in.Close())
}

// keys reports what the encryption of artifacts costs.
func (b *bench) keys(ctx context.Context) error {
	speeds, err := blobSpeeds(ctx)
	for _, s := range speeds {
		b.Print(b.Beside(s.metric, s.ours, s.peer, .3))
	}
	return err
}
