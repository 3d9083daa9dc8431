package blob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/slipway-ml/slipway"
)

// Reader gives the bytes of a blob from any place on, and decrypts only what is read. What is
// given is authenticated; after CodeUploadDigest nothing more comes. For one goroutine.
type Reader struct {
	in     io.ReaderAt
	close  func() error
	opened // without a cipher: the file is in clear
	digest slipway.Digest
	length int64 // of the file
	size   int64 // bytes of the blob
	at     int64 // the next byte of the blob

	buf   *[]byte // of one read of the file
	plain []byte  // what is decrypted, in buf, from the byte at on
	ahead int     // segments of the next read
	ended bool    // the last segment was authentic
	err   error   // stays
}

// ahead is how many segments a reader that goes on reads at once. One that has just been
// opened or moved begins with one: who reads a few bytes does not wait for more.
const ahead = 4

var readBuffers = sync.Pool{New: func() any { b := make([]byte, ahead*segment); return &b }}

// OpenAt opens a blob for reading from any place on. It answers NotFound for one that is not
// there, CodeShredded for one whose key was destroyed.
func (d *Dir) OpenAt(ctx context.Context, digest slipway.Digest) (*Reader, error) {
	path, shard, err := d.place(digest)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	shard.RLock()
	defer shard.RUnlock()
	f, err := os.Open(path + ending)
	sealed := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return d.openIn(ctx, digest)
	}
	if err != nil {
		return nil, ioError("open a blob", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, ioError("open a blob", err)
	}
	r := &Reader{in: f, close: f.Close, digest: digest, length: st.Size(), size: st.Size()}
	if sealed {
		err = r.unlock(ctx, d.keys)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

func none(digest slipway.Digest) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "upload it", "no blob %s", digest.Short())
}

// unlock reads the head of an encrypted file. That it was altered is told with the first
// bytes.
func (r *Reader) unlock(ctx context.Context, keys Keys) error {
	key, err := keys.Key(ctx, string(r.digest))
	if err != nil {
		return err
	}
	r.opened, err = openFrom(r.in, key, r.digest)
	r.size = max(r.plainSize(r.length), 0)
	if errors.Is(err, errAltered) {
		r.err, err = r.rotten(), nil
	} else if err != nil {
		err = r.failed(err)
	}
	return err
}

// failed gives the error of reading a file its place.
func (r *Reader) failed(err error) error {
	if errors.Is(short(err), errAltered) {
		return r.rotten()
	}
	if errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	return ioError("read a blob", err)
}

// Size is the number of bytes of the blob.
func (r *Reader) Size() int64 { return r.size }

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return r.at, errors.New("blob: a place before the first byte")
	}
	if offset != r.at {
		r.at, r.plain, r.ahead = offset, nil, 0
	}
	return r.at, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err == nil && len(r.plain) == 0 && (r.at < r.size || !r.ended && r.at == r.size) {
		r.err = r.fill()
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(r.plain) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.plain)
	r.plain, r.at = r.plain[n:], r.at+int64(n)
	return n, nil
}

// fill reads, and decrypts, from the place where the reader is.
func (r *Reader) fill() error {
	if r.buf == nil {
		r.buf = readBuffers.Get().(*[]byte)
	}
	if r.aead == nil {
		return r.fillClear()
	}
	number, skip := r.segmentOf(r.at)
	from := max(number*segment, r.head+header)
	r.ahead = min(max(1, 2*r.ahead), ahead)
	end := min((number+int64(r.ahead))*segment, r.length)
	if end-from < tag {
		return r.rotten()
	}
	sealed := (*r.buf)[:end-from]
	if n, err := r.in.ReadAt(sealed, from); n < len(sealed) {
		return r.failed(err)
	}
	out := (*r.buf)[:0]
	for len(sealed) > 0 {
		stop := min((number+1)*segment, end)
		last := stop == r.length
		plain, err := r.open(sealed[:stop-from], number, last)
		if err != nil {
			return r.rotten()
		}
		out = append(out, plain...) // to the left, over the tags
		sealed, from, number, r.ended = sealed[stop-from:], stop, number+1, last
	}
	r.plain = out[min(skip, int64(len(out))):]
	return nil
}

// segmentOf finds the segment of a byte of the blob, and where in it the byte is.
func (r *Reader) segmentOf(at int64) (number, skip int64) {
	first := int64(segment-tag) - r.head - header // bytes of the blob in the first one
	if at < first {
		return 0, at
	}
	number, skip = 1+(at-first)/(segment-tag), (at-first)%(segment-tag)
	if number*segment >= r.length { // behind the last byte: the last segment is looked at
		number = max(0, (r.length-1)/segment)
		skip = segment
	}
	return number, skip
}

func (r *Reader) fillClear() error {
	n, err := r.in.ReadAt((*r.buf)[:min(int64(len(*r.buf)), r.size-r.at)], r.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return ioError("read a blob", err)
	}
	r.plain, r.ended = (*r.buf)[:n], true
	return nil
}

func (r *Reader) rotten() error {
	return slipway.Errorf(slipway.Internal, slipway.CodeUploadDigest, "restore it from a backup, or delete its file and upload it again",
		"the stored blob %s has rotted", r.digest.Short())
}

// Close ends the reading.
func (r *Reader) Close() error {
	if r.buf != nil {
		readBuffers.Put(r.buf)
		r.buf, r.plain, r.err = nil, nil, fs.ErrClosed
	}
	return r.close()
}
