package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

const (
	uploads    = 4               // files at a time
	stallLimit = 2 * time.Minute // without a byte taken, or until the answer
)

// MissingBlobs gives those of the digests that the server does not have, at most 10000.
func (c *Client) MissingBlobs(ctx context.Context, digests []string) ([]string, error) {
	out, err := call[api.MissingBlobs](ctx, c, request{method: http.MethodPost, path: path("v1", "blobs", "missing"), idempotent: true},
		api.MissingBlobs{Digests: digests})
	return out.Digests, err
}

// PutBlob uploads size bytes with a digest. They are streamed, and opened anew for each
// attempt. The time limit is on standing still: a large file may take long.
func (c *Client) PutBlob(ctx context.Context, digest string, size int64, open func() (io.ReadCloser, error)) error {
	for try := 1; ; try++ {
		err := c.putOnce(ctx, digest, size, open)
		if err == nil || !worth(err, try, true) {
			return final(err)
		}
		if err := c.pause(ctx, try, err); err != nil {
			return err
		}
	}
}

func (c *Client) putOnce(ctx context.Context, digest string, size int64, open func() (io.ReadCloser, error)) error {
	f, err := open()
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(stallLimit, func() { cancel(errStalled) })
	defer stalled.Stop()
	src := &source{r: f, read: func() { stalled.Reset(stallLimit) }}
	r := request{method: http.MethodPut, path: path("v1", "blobs", digest), header: http.Header{typeHeader: {"application/octet-stream"}}}
	resp, err := c.open(ctx, r, src, size)
	if err == nil {
		return resp.Body.Close()
	}
	if read, broken := src.state(); broken != nil {
		return unreadable(broken)
	} else if read.ended && read.bytes != size || read.bytes > size {
		return slipway.Errorf(slipway.Conflict, slipway.CodeUploadDigest, "run the command again", "a file changed while it was uploaded")
	}
	if errors.Is(context.Cause(ctx), errStalled) {
		return &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Message: "the upload stood still", Next: "run the command again"}
	}
	return err
}

var errStalled = errors.New("stalled")

func unreadable(err error) error {
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Cause: err,
		Message: fmt.Sprintf("a file cannot be read: %v", err), Next: "make it readable, and run the command again"}
}

// source watches a file while the transport, in a goroutine of its own, reads it.
type source struct {
	r    io.Reader
	read func()

	mu     sync.Mutex
	done   progress
	broken error
}

type progress struct {
	bytes int64
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done.bytes += int64(n)
	s.done.ended = errors.Is(err, io.EOF)
	if err != nil && !s.done.ended {
		s.broken = err
	}
	return n, err
}

func (s *source) state() (progress, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done, s.broken
}

// Open gives the bytes of one file of an upload.
type Open func(f api.File) (io.ReadCloser, error)

// UploadVersion uploads those of a version's files that the server lacks, four at a time,
// and registers the version. Files with the same digest are sent once. progress, if not
// nil, is told the bytes sent and the bytes to send, never from two goroutines at once.
func (c *Client) UploadVersion(ctx context.Context, model string, r api.RegisterVersion, open Open, progress func(done, total int64)) (api.Version, error) {
	if err := c.UploadFiles(ctx, r.Files, open, progress); err != nil {
		return api.Version{}, err
	}
	return c.RegisterVersion(ctx, model, r)
}

// UploadFiles uploads files as UploadVersion does, and registers nothing.
func (c *Client) UploadFiles(ctx context.Context, files []api.File, open Open, progress func(done, total int64)) error {
	byDigest := map[string]api.File{}
	var digests []string
	for _, f := range files {
		if _, ok := byDigest[f.Digest]; !ok {
			digests = append(digests, f.Digest)
		}
		byDigest[f.Digest] = f
	}
	if len(digests) == 0 {
		return nil
	}
	missing, err := c.MissingBlobs(ctx, digests)
	if err != nil {
		return err
	}
	m := &meter{tell: progress}
	for _, d := range missing {
		f, ok := byDigest[d]
		if !ok {
			return slipway.Errorf(slipway.Internal, slipway.CodeInternal, "check the server's version", "the server asks for a blob that was not offered")
		}
		m.total += f.Size
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, d := range missing {
		f := byDigest[d]
		group.Go(func() error { return c.PutBlob(ctx, d, f.Size, m.counted(f, open)) })
	}
	return group.Wait()
}

// meter sums what all uploads have sent.
type meter struct {
	mu          sync.Mutex
	done, total int64
	tell        func(done, total int64)
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	if m.tell != nil {
		m.tell(m.done, m.total)
	}
}

// counted opens a file whose bytes are counted. What an earlier attempt sent is taken off.
func (m *meter) counted(f api.File, open Open) func() (io.ReadCloser, error) {
	var last *meteredFile
	return func() (io.ReadCloser, error) {
		if last != nil {
			m.add(-last.sent())
		}
		r, err := open(f)
		if err != nil {
			return nil, err
		}
		last = &meteredFile{ReadCloser: r, m: m}
		return last, nil
	}
}

type meteredFile struct {
	io.ReadCloser
	m  *meter
	mu sync.Mutex
	n  int64
}

func (f *meteredFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.mu.Lock()
	f.n += int64(n)
	f.mu.Unlock()
	f.m.add(int64(n))
	return n, err
}

func (f *meteredFile) sent() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}
