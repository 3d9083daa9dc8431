package blob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-ml/slipway"
)

// Progress is how much lies in clear still.
type Progress struct {
	Blobs, Bytes int64
	Rotten       int64 // of these, what is not what its name says; it stays as it is
}

// InClear counts what an older program wrote.
func (d *Dir) InClear(ctx context.Context) (p Progress, err error) {
	err = d.eachInClear(ctx, func(_ slipway.Digest, size int64) error {
		p.Blobs, p.Bytes = p.Blobs+1, p.Bytes+size
		return nil
	})
	return p, err
}

// Encrypt encrypts what lies in clear, a blob after the other: first the encrypted file is
// durable, then the other is removed. A blob that is read meanwhile is read to its end. It may
// be stopped anywhere, and goes on when it is called again. Report is told what is left after
// each blob.
func (d *Dir) Encrypt(ctx context.Context, report func(Progress)) error {
	left, err := d.InClear(ctx)
	if err != nil {
		return err
	}
	report(left)
	return d.eachInClear(ctx, func(digest slipway.Digest, size int64) error {
		err := d.encrypt(ctx, digest, size)
		if errors.Is(err, &slipway.Error{Code: slipway.CodeUploadDigest}) {
			left.Rotten++
			report(left)
			return nil
		}
		if err == nil {
			left.Blobs, left.Bytes = left.Blobs-1, left.Bytes-size
			report(left)
		}
		return err
	})
}

func (d *Dir) encrypt(ctx context.Context, digest slipway.Digest, size int64) error {
	key, _, err := d.begin(ctx, digest)
	if err != nil {
		return err
	}
	path, shard, err := d.place(digest)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return ioError("open a blob", err)
	}
	defer f.Close()
	if err := d.write(ctx, digest, size, key, f); err != nil {
		return err
	}
	shard.Lock()
	defer shard.Unlock()
	return remove(path)
}

// eachInClear calls do for each blob in clear, in order of their digests.
func (d *Dir) eachInClear(ctx context.Context, do func(digest slipway.Digest, size int64) error) error {
	return filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return ioError("look through the blobs", err)
		}
		if e.IsDir() && e.Name() == incoming {
			return fs.SkipDir
		}
		digest, err := slipway.ParseDigest("sha256:" + e.Name())
		if err != nil || !e.Type().IsRegular() {
			return ctx.Err()
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return ioError("look through the blobs", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return do(digest, info.Size())
	})
}
