// Package blob is a content-addressed directory of encrypted files. A blob is named by the
// SHA-256 of its bytes, is there only when it is whole and on disk, and never changes. What is
// on disk, halves of uploads too, is a stream of authenticated encryption with a key of its
// own; programs before that wrote blobs in clear, which are read still, and encrypted by
// Encrypt.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Keys gives the keys of blobs, 32 bytes each.
type Keys interface {
	// Key gives the key of a blob. It answers NotFound when there is none, CodeShredded when
	// it was destroyed.
	Key(ctx context.Context, digest string) ([]byte, error)
	// Make gives the key, and makes it durable first when there is none that opens: fresh then
	// says that whatever is stored is of another key.
	Make(ctx context.Context, digest string) (key []byte, fresh bool, err error)
}

// Dir keeps blobs as files, "ab/abcd….sealed" by the digits of their digests, or without the
// ending in clear. One process owns the directory; in it, every method is safe for concurrent
// use.
type Dir struct {
	path   string
	keys   Keys
	bucket *elsewhere // nil: all blobs are in the directory
	// A subdirectory is locked while a name in it is visible but not yet durable.
	shards [256]sync.RWMutex
}

// incoming holds uploads that are not whole yet.
const incoming = "incoming"

// maxBlob bounds a blob, in bytes.
const maxBlob = 50 << 30

// Open makes the directory if it is missing, and removes what broken uploads left.
func Open(path string, keys Keys) (*Dir, error) {
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
	return &Dir{path: path, keys: keys}, nil
}

// shard is the subdirectory of the blobs whose digests begin with a byte.
func shard(path string, i int) string { return filepath.Join(path, fmt.Sprintf("%02x", i)) }

func (d *Dir) shard(i int) string { return shard(d.path, i) }

// place is where the bytes of a blob lie in clear, if they do, and the lock of that
// directory.
func (d *Dir) place(digest slipway.Digest) (string, *sync.RWMutex, error) {
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return "", nil, err
	}
	h := digest.Hex()
	return filepath.Join(d.path, h[:2], h), &d.shards[shardOf(digest)], nil
}

// shardOf is the first byte of a digest whose form is known to be good.
func shardOf(digest slipway.Digest) int {
	b, _ := strconv.ParseUint(digest.Hex()[:2], 16, 8)
	return int(b) //nolint:gosec // a byte
}

// absent is the size of a blob that is not there.
const absent = -1

func (d *Dir) size(ctx context.Context, digest slipway.Digest) (int64, error) {
	path, shard, err := d.place(digest)
	if err != nil {
		return absent, err
	}
	shard.RLock()
	defer shard.RUnlock()
	return d.askFor(ctx, path, digest)
}

// askFor is sizeOf for somebody who relies on the blob from now on.
func (d *Dir) askFor(ctx context.Context, path string, digest slipway.Digest) (int64, error) {
	size, err := sizeOf(path)
	if err == nil && size == absent {
		return d.sizeIn(ctx, digest)
	}
	if err == nil {
		err = touchBlob(path)
	}
	return size, err
}

// touchBlob makes a blob young for Sweep.
func touchBlob(path string) error {
	err := touch(path + ending)
	if errors.Is(err, fs.ErrNotExist) {
		err = touch(path)
	}
	if err != nil {
		return ioError("keep a blob", err)
	}
	return nil
}

// sizeOf is the number of bytes of a blob, by the lengths of its files.
func sizeOf(path string) (int64, error) {
	size, err := sealedIn(path + ending)
	if errors.Is(err, fs.ErrNotExist) {
		var st fs.FileInfo
		if st, err = os.Stat(path); err == nil {
			size = st.Size()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, ioError("look for a blob", err)
	}
	return size, nil
}

// sealedIn is the number of bytes in an encrypted file; one of no form has none.
func sealedIn(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	form, err := formOf(f)
	if errors.Is(err, errAltered) {
		return 0, nil
	}
	return form.plainSize(st.Size()), err
}

// Sizes gives the sizes in bytes of those blobs that are there.
func (d *Dir) Sizes(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error) {
	out := make(map[slipway.Digest]int64, len(digests))
	for _, digest := range digests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := d.size(ctx, digest)
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
func (d *Dir) publish(ctx context.Context, f *os.File, digest slipway.Digest, size int64) error {
	path, shard, err := d.place(digest)
	if err != nil {
		return err
	}
	if d.bucket != nil {
		return d.send(ctx, f, digest)
	}
	if err := errors.Join(f.Chmod(0o400), f.Sync()); err != nil {
		return ioError("store a blob", err)
	}
	shard.Lock()
	defer shard.Unlock()
	if have, err := sealedIn(path + ending); err == nil && have == size {
		return touchBlob(path)
	}
	err = os.Rename(f.Name(), path+ending)
	if err == nil {
		if err = disk.Sync(filepath.Dir(path)); err != nil {
			err = errors.Join(err, os.Remove(path+ending))
		}
	}
	if err != nil {
		return ioError("store a blob", err)
	}
	return nil
}

// Remove deletes a blob. One that is not there is no error.
func (d *Dir) Remove(ctx context.Context, digest slipway.Digest) error {
	path, shard, err := d.place(digest)
	if err != nil {
		return err
	}
	shard.Lock()
	defer shard.Unlock()
	return d.remove(ctx, digest, path, path+ending)
}

func (d *Dir) remove(ctx context.Context, digest slipway.Digest, paths ...string) error {
	if d.bucket != nil {
		if err := d.bucket.Delete(ctx, nameOf(digest)); err != nil {
			return err
		}
	}
	return remove(paths...)
}

// remove deletes files of one directory, durably.
func remove(paths ...string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ioError("remove a blob", err)
		}
	}
	if err := disk.Sync(filepath.Dir(paths[0])); err != nil {
		return ioError("remove a blob", err)
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

// Copy gives another directory of blobs the file of a blob as it is, encrypted. It answers
// NotFound when it is not there, or in clear.
func (d *Dir) Copy(ctx context.Context, digest slipway.Digest, to string) error {
	path, shard, err := d.place(digest)
	if err != nil {
		return err
	}
	shard.RLock()
	defer shard.RUnlock()
	var content io.ReadCloser
	content, err = os.Open(path + ending)
	if errors.Is(err, fs.ErrNotExist) && d.bucket != nil {
		content, err = d.bucket.From(ctx, nameOf(digest), 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "upload it", "no encrypted blob %s", digest.Short())
	}
	if errors.As(err, new(*slipway.Error)) {
		return err
	}
	if err != nil {
		return ioError("copy a blob", err)
	}
	defer content.Close()
	h := digest.Hex()
	if err = os.MkdirAll(filepath.Join(to, h[:2]), 0o700); err != nil {
		return ioError("copy a blob", err)
	}
	out, err := os.OpenFile(filepath.Join(to, h[:2], h+ending), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return ioError("copy a blob", err)
	}
	_, err = io.Copy(out, content)
	if err = errors.Join(err, out.Close()); err != nil {
		return ioError("copy a blob", err)
	}
	return nil
}
