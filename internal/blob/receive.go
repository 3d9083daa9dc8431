package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Receive stores what r gives, at most 50 GiB, and says what it was. Size announces how many
// bytes there will be; negative: nobody knows. When Receive answers nil the blob survives a
// power cut; else nothing of it is visible. What is there already is not stored twice. It
// answers CodeRequest when r breaks off or gives another number of bytes, CodeTooLarge, and
// CodeDiskFull, before reading where the file system can tell, when they do not fit.
func (d *Dir) Receive(ctx context.Context, size int64, r io.Reader) (slipway.Digest, int64, error) {
	if size > maxBlob {
		return "", 0, tooLarge()
	}
	f, err := os.CreateTemp(filepath.Join(d.path, incoming), "*")
	if err != nil {
		return "", 0, ioError("store a blob", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	key := newKey()
	digest, n, err := receiveInto(ctx, f, key, size, r)
	if errors.Is(err, errCount) {
		err = brokeOff(err)
	}
	if err != nil {
		return "", 0, err
	}
	blobKey, have, err := d.begin(ctx, digest)
	if err != nil || have == n {
		return digest, n, err
	}
	head, err := wrapKey(blobKey, digest, key)
	if err != nil {
		return "", 0, err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return "", 0, ioError("store a blob", err)
	}
	return digest, n, d.publish(ctx, f, digest, n)
}

func tooLarge() error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "split the file", "a blob has at most %d GiB", int64(maxBlob)>>30)
}

// errCount says that a stream had another length than was announced.
var errCount = errors.New("another number of bytes came than was announced")

// receiveInto encrypts into a file, and leaves room for what a wrapped one begins with.
func receiveInto(ctx context.Context, f *os.File, key []byte, size int64, r io.Reader) (slipway.Digest, int64, error) {
	limit := int64(maxBlob)
	if size >= 0 {
		limit = size
	}
	if size > 0 {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, wrapped.sealedSize(size))
		if disk.Full(err) {
			return "", 0, ioError("store a blob", err)
		}
	}
	if _, err := f.Seek(wrapped.head, io.SeekStart); err != nil {
		return "", 0, ioError("store a blob", err)
	}
	sealing, err := wrapped.sealTo(&early{f: f}, key, "")
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	n, err := pour(upload{ctx, io.LimitReader(r, limit+1)}, limit, sealing, h)
	if err == nil {
		err = sealing.Close()
	}
	switch {
	case err != nil:
		return "", 0, err
	case size < 0 && n > limit:
		return "", 0, tooLarge()
	case size >= 0 && n != size:
		return "", 0, errCount
	}
	return slipway.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), n, nil
}

// early writes to a file, and has the disk begin with what was written while more comes: else
// all of a large file would be waited for in the end.
type early struct {
	f             *os.File
	begun, behind int64 // bytes
}

const earlyStep = 8 << 20 // bytes

func (e *early) Write(p []byte) (int, error) {
	n, err := file{e.f}.Write(p)
	if e.behind += int64(n); e.behind >= earlyStep && err == nil {
		// A hint: what it does not do, the sync in the end does.
		_ = unix.SyncFileRange(int(e.f.Fd()), e.begun, e.behind, unix.SYNC_FILE_RANGE_WRITE)
		e.begun, e.behind = e.begun+e.behind, 0
	}
	return n, err
}

// What is in memory of a stream: it is read while what came before is hashed, encrypted and
// written, each on a processor of its own.
const (
	pieceSize = 256 << 10
	pieces    = 4
)

var pieceBuffers = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// piece is a part of a stream, until the last of its readers has it behind.
type piece struct {
	buf  *[]byte
	n    int
	left atomic.Int32
}

// pour gives each of the writers all that r gives, beside one another. It answers the first
// error of any of them.
func pour(r io.Reader, limit int64, writers ...io.Writer) (total int64, err error) {
	if limit <= pieceSize/4 { // not worth the switching
		buf := pieceBuffers.Get().(*[]byte)
		defer pieceBuffers.Put(buf)
		all := make([]io.Writer, len(writers))
		copy(all, writers)
		return io.CopyBuffer(io.MultiWriter(all...), r, *buf)
	}
	var (
		wg     sync.WaitGroup
		failed = make(chan error, len(writers))
		free   = make(chan struct{}, pieces) // holds an item for each piece that is in use
		queues = make([]chan *piece, len(writers))
	)
	for i, w := range writers {
		queues[i] = make(chan *piece, pieces)
		wg.Go(func() { drain(w, queues[i], free, failed) })
	}
	for err == nil {
		select {
		case err = <-failed:
			continue
		case free <- struct{}{}:
		}
		p := &piece{buf: pieceBuffers.Get().(*[]byte)}
		p.left.Store(int32(len(writers))) //nolint:gosec // two
		p.n, err = readPiece(r, *p.buf)
		total += int64(p.n)
		for _, q := range queues {
			q <- p
		}
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
		select {
		case err = <-failed:
		default:
		}
	}
	return total, err
}

// readPiece fills a buffer, but gives what there is when the stream ends or fails.
func readPiece(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// drain writes pieces until there are no more. After an error it only lets them go.
func drain(w io.Writer, queue <-chan *piece, free <-chan struct{}, failed chan<- error) {
	var err error
	for p := range queue {
		if err == nil {
			if _, err = w.Write((*p.buf)[:p.n]); err != nil {
				failed <- err
			}
		}
		if p.left.Add(-1) == 0 {
			pieceBuffers.Put(p.buf)
			<-free
		}
	}
}
