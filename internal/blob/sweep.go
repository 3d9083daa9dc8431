package blob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
)

// Sweep finds the blobs that keep does not want and that nobody has stored or asked for
// since before, and gives their number and bytes; with take it removes them. Put, Sizes and
// Missing count as asking, so that who was told that a blob is there can rely on it until
// then, whatever keep knows of it. A sweep that is broken off may be repeated.
func (d *Dir) Sweep(ctx context.Context, keep func(slipway.Digest) bool, before time.Time, take bool) (found int, size int64, err error) {
	for i := range d.shards {
		entries, err := os.ReadDir(d.shard(i))
		if err != nil {
			return found, size, ioError("list the blobs", err)
		}
		for _, e := range entries {
			digest, err := slipway.ParseDigest("sha256:" + strings.TrimSuffix(e.Name(), ending))
			if err != nil || keep(digest) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return found, size, err
			}
			n, err := d.sweepOne(i, e.Name(), before, take)
			if err != nil {
				return found, size, ioError("remove a blob", err)
			}
			if n != absent {
				found, size = found+1, size+n
			}
		}
	}
	n, bytes, err := d.sweepIn(ctx, keep, before, take)
	return found + n, size + bytes, err
}

// Reclaim removes those of the blobs that nobody has stored or asked for since before, and
// gives the bytes of each that went. The others stay, for who was told that they are there.
func (d *Dir) Reclaim(ctx context.Context, digests []slipway.Digest, before time.Time) (gone map[slipway.Digest]int64, err error) {
	gone = map[slipway.Digest]int64{}
	for _, digest := range digests {
		path, _, err := d.place(digest)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return gone, err
		}
		for _, name := range []string{filepath.Base(path) + ending, filepath.Base(path)} {
			size, err := d.sweepOne(shardOf(digest), name, before, true)
			if err != nil {
				return gone, ioError("remove a blob", err)
			}
			if size != absent {
				gone[digest] += size
			}
		}
		size, err := d.reclaimIn(ctx, digest, before, true)
		if err != nil {
			return gone, err
		}
		if size != absent {
			gone[digest] += size
		}
	}
	return gone, nil
}

// sweepOne gives the size of a blob that is old, else absent.
func (d *Dir) sweepOne(shard int, name string, before time.Time, take bool) (int64, error) {
	d.shards[shard].Lock()
	defer d.shards[shard].Unlock()
	path := filepath.Join(d.shard(shard), name)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, err
	}
	if !st.Mode().IsRegular() || !st.ModTime().Before(before) {
		return absent, nil
	}
	size := st.Size()
	if strings.HasSuffix(name, ending) {
		size, err = sealedIn(path)
	}
	if take && err == nil {
		err = os.Remove(path)
	}
	return size, err
}

// touch makes a blob young for Sweep, by the clock of the file system.
func touch(path string) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0)
}
