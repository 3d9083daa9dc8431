package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// keptIdle is how long a connection to the server is kept without a request. The server does
// not close idle ones by itself, so that no request crosses its close on the way.
const keptIdle = 30 * time.Second

// server is the way to the control plane: the socket, on connections that are kept. A server
// that takes over puts a socket of its own in the place of the one before, which may be of a
// process that is paused: then none of the old connections is used again.
type server struct {
	socket string

	mu   sync.Mutex
	of   os.FileInfo // the socket that kept connections lead to
	kept *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.transport().RoundTrip(r)
}

func (s *server) transport() *http.Transport {
	now, err := os.Stat(s.socket)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil && (err != nil || os.SameFile(s.of, now) && s.of.ModTime().Equal(now.ModTime())) {
		return s.kept
	}
	if s.kept != nil {
		s.kept.CloseIdleConnections()
	}
	s.of, s.kept = now, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "unix", s.socket)
			return inPieces{c}, err
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: keptIdle, DisableCompression: true, ExpectContinueTimeout: expectLimit,
	}
	return s.kept
}

const (
	// large bodies are asked for by the server when it has let their sender in: one that it
	// refuses is answered as it was, and not with a connection that broke while it was sent.
	large       = 64 << 10 // bytes
	expectLimit = 10 * time.Second

	// refusedBody is how much of a body is read that the server does not want, after the answer
	// was sent: some senders read none before the end.
	refusedBody = 256 << 20
)

// expect has the server ask for a large body.
func expect(out *http.Request) {
	if out.ContentLength > large || out.ContentLength < 0 {
		out.Header.Set("Expect", "100-continue")
	}
}

// refused notes that the server does not want a large body, of which some may be on its way:
// the answer goes out before the rest is read, and no request comes after it.
func refused(r *http.Response) error {
	u, ok := r.Request.Context().Value(uploadKey{}).(*upload)
	if ok && r.StatusCode >= http.StatusBadRequest && r.Request.Header.Get("Expect") != "" {
		u.refused = true
		r.Header.Set("Connection", "close")
		_ = u.c.EnableFullDuplex() // without it the answer waits
	}
	return nil
}

// uploadKey is where a request has its body in its context.
type uploadKey struct{}

// inPieces is a connection on which bodies are sent in large pieces.
type inPieces struct{ net.Conn }

var bodies = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// ReadFrom implements io.ReaderFrom.
func (c inPieces) ReadFrom(r io.Reader) (int64, error) {
	buf := bodies.Get().(*[]byte)
	defer bodies.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, *buf)
}
