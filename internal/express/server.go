// Package express is a short way through an http.Server for the requests that come most
// often: small POSTs with an ordinary head, one after the other on a kept connection. It
// reads them itself and calls the server's own handler, with one system call to read and
// one to write, no goroutine and next to no memory a request. A connection on which
// anything else comes, in whatever form, goes to the server for good, with all bytes that
// were read: there is no request that only express understands.
package express

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is what a listener may accept beside plain connections: one that wants to know where
// it stands, so that it can leave the server between two requests. A read then fails, and
// nothing of the connection is used any more but Close.
type Conn interface {
	net.Conn
	// Between says that an answer was written, and nothing of the next request read.
	Between()
	// Unread makes bytes that were read be read again, before all others.
	Unread([]byte)
}

// Server serves as its http.Server does. Limits and handler are those of the http.Server,
// whose listeners and end this one manages.
type Server struct {
	*http.Server
	takes func(path string) bool
	now   func() time.Time
	date  atomic.Pointer[date]

	ending atomic.Bool

	mu       sync.Mutex
	open     map[*exchange]struct{}
	rest     chan net.Conn // connections for the http.Server
	restOver chan struct{}
	over     sync.Once
	failed   error // of accepting; set before restOver is closed
}

// New takes POST requests for some paths, which must be simple: letters, digits and "-._~".
func New(s *http.Server, takes func(path string) bool, now func() time.Time) *Server {
	return &Server{Server: s, takes: takes, now: now, open: map[*exchange]struct{}{}, rest: make(chan net.Conn), restOver: make(chan struct{})}
}

// Serve serves until the listener fails, which is the error, or Shutdown or Close is
// called: then it is http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	watching := make(chan struct{})
	defer close(watching)
	go s.watch(watching)
	go s.accept(l)
	return s.Server.Serve(&rest{s, l})
}

// accept starts a goroutine a connection.
func (s *Server) accept(l net.Listener) {
	for {
		raw, err := l.Accept()
		if err != nil {
			if temporary, ok := err.(interface{ Temporary() bool }); ok && temporary.Temporary() { // out of descriptors, perhaps
				select {
				case <-time.After(5 * time.Millisecond):
					continue
				case <-s.restOver:
				}
			}
			s.end(err)
			return
		}
		c, ok := raw.(Conn)
		if !ok {
			c = &conn{Conn: raw}
		}
		x := newExchange(s, c)
		if !s.enter(x) {
			c.Close()
			continue
		}
		go x.run()
	}
}

func (s *Server) enter(x *exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Load() {
		return false
	}
	s.open[x] = struct{}{}
	return true
}

func (s *Server) leave(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
}

// end ends the way to the http.Server.
func (s *Server) end(err error) {
	s.over.Do(func() {
		s.failed = err
		close(s.restOver)
	})
}

// Shutdown is that of http.Server: it closes what is idle, and waits for what is not until
// ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.ending.Store(true)
	done := make(chan error, 1)
	go func() { done <- s.Server.Shutdown(ctx) }()
	var err error
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.closeIdle() > 0 && err == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return errors.Join(err, <-done)
}

// closeIdle closes the connections between two requests, and gives the number of the others.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.open {
		if x.began.Load() == idle {
			x.c.Close()
			delete(s.open, x)
		}
	}
	return len(s.open)
}

// Close closes all connections at once.
func (s *Server) Close() error {
	s.ending.Store(true)
	s.mu.Lock()
	for x := range s.open {
		x.c.Close()
	}
	s.mu.Unlock()
	return s.Server.Close()
}

// watchEvery is how often it is looked whether clients of slow answers are still there.
const watchEvery = 100 * time.Millisecond

// watch ends the contexts of requests whose clients have left.
func (s *Server) watch(stop <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var slow []*exchange
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		before := s.now().Add(-watchEvery).UnixNano()
		slow = slow[:0]
		s.mu.Lock()
		for x := range s.open {
			if began := x.began.Load(); began > idle && began < before {
				slow = append(slow, x)
			}
		}
		s.mu.Unlock()
		for _, x := range slow {
			if gone(x.c) {
				x.cancel()
			}
		}
		clear(slow)
	}
}

// gone looks whether the other side of a connection has closed it.
func gone(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	left := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		left = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return left && err == nil
}

// rest is the listener of the http.Server: its connections are those that express leaves.
type rest struct {
	s *Server
	l net.Listener
}

// Accept implements net.Listener.
func (r *rest) Accept() (net.Conn, error) {
	select {
	case c := <-r.s.rest:
		return c, nil
	case <-r.s.restOver:
		return nil, r.s.failed
	}
}

// Close implements net.Listener.
func (r *rest) Close() error {
	err := r.l.Close()
	r.s.end(net.ErrClosed)
	return err
}

// Addr implements net.Listener.
func (r *rest) Addr() net.Addr { return r.l.Addr() }

// conn is a plain connection.
type conn struct {
	net.Conn
	unread []byte
}

// Between implements Conn.
func (c *conn) Between() {}

// Unread implements Conn.
func (c *conn) Unread(b []byte) { c.unread = b }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite is for http.Server.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
