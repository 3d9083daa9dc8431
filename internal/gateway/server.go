package gateway

import (
	"context"
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
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: keptIdle, DisableCompression: true,
		ExpectContinueTimeout: readTimeout,
	}
	return s.kept
}
