// Package blob is a content-addressed directory. A blob is named by the SHA-256 of its
// bytes, is there only when it is whole and on disk, and never changes.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Dir keeps blobs as files, "ab/abcd…" by the digits of their digests. One process owns the
// directory; in it, every method is safe for concurrent use.
type Dir struct {
	path string
	// A subdirectory is locked while a name in it is visible but not yet durable.
	shards [256]sync.RWMutex
}

// incoming holds uploads that are not whole yet.
const incoming = "incoming"

// maxBlob bounds a blob, in bytes.
const maxBlob = 50 << 30

// Open makes the directory if it is missing, and removes what broken uploads left.
func Open(path string) (*Dir, error) {
	err := os.RemoveAll(filepath.Join(path, incoming))
	if err == nil {
		err = os.MkdirAll(filepath.Join(path, incoming), 0o700)
	}
	for i := 0; i < 256 && err == nil; i++ {
		err = os.MkdirAll(shard(path, i), 0o700)
	}
	if err == nil {
		err = errors.Join(disk.Sync(path), disk.Sync(filepath.Dir(path)))
	}
	if err != nil {
		return nil, ioError("open the directory", err)
	}
	return &Dir{path: path}, nil
}

// shard is the subdirectory of the blobs whose digests begin with a byte.
func shard(path string, i int) string { return filepath.Join(path, fmt.Sprintf("%02x", i)) }

func (d *Dir) shard(i int) string { return shard(d.path, i) }

// place is where the bytes of a blob lie, and the lock of that directory.
func (d *Dir) place(digest slipway.Digest) (string, *sync.RWMutex, error) {
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return "", nil, err
	}
	h := digest.Hex()
	shard, err := strconv.ParseUint(h[:2], 16, 8)
	return filepath.Join(d.path, h[:2], h), &d.shards[shard], err
}

// absent is the size of a blob that is not there.
const absent = -1

func (d *Dir) size(digest slipway.Digest) (int64, error) {
	path, shard, err := d.place(digest)
	if err != nil {
		return absent, err
	}
	shard.RLock()
	defer shard.RUnlock()
	return askFor(path)
}

// askFor is sizeOf for somebody who relies on the blob from now on.
func askFor(path string) (int64, error) {
	size, err := sizeOf(path)
	if err == nil && size != absent {
		if err = touch(path); err != nil {
			err = ioError("keep a blob", err)
		}
	}
	return size, err
}

func sizeOf(path string) (int64, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, ioError("look for a blob", err)
	}
	return st.Size(), nil
}

// Sizes gives the sizes in bytes of those blobs that are there.
func (d *Dir) Sizes(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error) {
	out := make(map[slipway.Digest]int64, len(digests))
	for _, digest := range digests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := d.size(digest)
		if err != nil {
			return nil, err
		}
		if size != absent {
			out[digest] = size
		}
	}
	return out, nil
}

// Missing lists the digests of which nothing is there, each once, in the order given.
func (d *Dir) Missing(ctx context.Context, digests []slipway.Digest) ([]slipway.Digest, error) {
	there, err := d.Sizes(ctx, digests)
	if err != nil {
		return nil, err
	}
	var out []slipway.Digest
	for _, digest := range digests {
		if _, known := there[digest]; !known {
			out = append(out, digest)
			there[digest] = absent
		}
	}
	return out, nil
}

// publish makes the bytes durable, then visible. A blob that another upload has brought
// meanwhile stays.
func (d *Dir) publish(f *os.File, digest slipway.Digest, size int64) error {
	path, shard, err := d.place(digest)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o400), f.Sync()); err != nil {
		return ioError("store a blob", err)
	}
	shard.Lock()
	defer shard.Unlock()
	if have, err := askFor(path); err != nil || have == size {
		return err
	}
	err = os.Rename(f.Name(), path)
	if err == nil {
		if err = disk.Sync(filepath.Dir(path)); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil {
		return ioError("store a blob", err)
	}
	return nil
}

func ioError(what string, err error) error {
	if disk.Full(err) {
		return &slipway.Error{Code: slipway.CodeDiskFull, Kind: slipway.Exhausted, Message: "the disk of the blob directory is full",
			Next: "free space on it, then try again", Cause: fmt.Errorf("blob: %w", err)}
	}
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "cannot " + what, Next: "check the disk and the permissions of the blob directory",
		Cause: fmt.Errorf("blob: %w", err)}
}
