package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Put stores a blob of the given size in bytes, at most 50 GiB. If it is there already, r
// is not read. When Put answers nil the blob survives a power cut; else nothing of it is
// visible. It answers CodeUploadDigest when the bytes are not those of the digest and the
// size, CodeRequest when r breaks off, and CodeDiskFull, before reading where the file
// system can tell, when they do not fit.
func (d *Dir) Put(ctx context.Context, digest slipway.Digest, size int64, r io.Reader) error {
	if size < 0 {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "announce the size in bytes", "a blob cannot have %d bytes", size)
	}
	if size > maxBlob {
		return tooLarge()
	}
	key, have, err := d.begin(ctx, digest)
	// A blob of another size has rotted, or the announcement is wrong: the bytes will tell.
	if err != nil || have == size {
		return err
	}
	return d.write(ctx, digest, size, key, r)
}

// begin gives the key of a blob and its size, absent if it is not there. What is there under
// a key that was destroyed goes away first, so that nobody takes it for the blob.
func (d *Dir) begin(ctx context.Context, digest slipway.Digest) (key []byte, have int64, err error) {
	path, shard, err := d.place(digest)
	if err != nil {
		return nil, absent, err
	}
	shard.Lock()
	defer shard.Unlock()
	key, fresh, err := d.keys.Make(ctx, string(digest))
	if err == nil && fresh {
		err = d.remove(ctx, digest, path+ending)
	}
	if err != nil {
		return nil, absent, err
	}
	have, err = d.askFor(ctx, path, digest)
	return key, have, err
}

// write stores the encrypted bytes.
func (d *Dir) write(ctx context.Context, digest slipway.Digest, size int64, key []byte, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Join(d.path, incoming), "*")
	if err != nil {
		return ioError("store a blob", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if d.bucket != nil {
		err = d.wrap(ctx, f, digest, size, key, r)
	} else {
		err = receive(ctx, f, digest, size, key, r)
	}
	if err != nil {
		return err
	}
	return d.publish(ctx, f, digest, size)
}

// wrap is receive for a bucket, in which all files have one form.
func (d *Dir) wrap(ctx context.Context, f *os.File, digest slipway.Digest, size int64, blobKey []byte, r io.Reader) error {
	key := newKey()
	got, _, err := receiveInto(ctx, f, key, size, r)
	if errors.Is(err, errCount) || err == nil && got != digest {
		err = otherBytes(digest)
	}
	if err != nil {
		return err
	}
	head, err := wrapKey(blobKey, digest, key)
	if err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err != nil {
		return ioError("store a blob", err)
	}
	return nil
}

func otherBytes(digest slipway.Digest) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeUploadDigest, "send the bytes that the digest and the size were taken of",
		"the bytes uploaded as %s are others", digest.Short())
}

// receive copies what was announced, and nothing else, into a file.
func receive(ctx context.Context, f *os.File, digest slipway.Digest, size int64, key []byte, r io.Reader) error {
	if size > 0 {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bound.sealedSize(size))
		if disk.Full(err) {
			return ioError("store a blob", err)
		}
	}
	h := sha256.New()
	sealing, err := bound.sealTo(file{f}, key, digest)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(io.MultiWriter(sealing, h), upload{ctx, io.LimitReader(r, size+1)}, make([]byte, 256<<10))
	if err == nil {
		err = sealing.Close()
	}
	if err != nil {
		return err
	}
	if n != size || hex.EncodeToString(h.Sum(nil)) != digest.Hex() {
		return otherBytes(digest)
	}
	return nil
}

// file and upload tell the errors of the one side from those of the other.
type file struct{ f *os.File }

func (d file) Write(p []byte) (int, error) {
	n, err := d.f.Write(p)
	if err != nil {
		err = ioError("store a blob", err)
	}
	return n, err
}

type upload struct {
	ctx context.Context
	r   io.Reader
}

func (u upload) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, brokeOff(err)
	}
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped end is a broken one
		err = brokeOff(err)
	}
	return n, err
}

func brokeOff(err error) error {
	return &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Message: "the upload broke off", Next: "upload it again", Cause: err}
}
