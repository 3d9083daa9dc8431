package handover

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Listener accepts connections for a net/http.Server, those that another process passes on
// too, and can pass all of them on itself. The server must call ConnState, and must have a
// ReadHeaderTimeout.
type Listener struct {
	inner net.Listener
	idle  time.Duration
	most  int // connections at once
	next  chan *conn
	heir  atomic.Pointer[heir] // who gets the connections from here on

	closing sync.Once
	closed  chan struct{}
	failed  error // of accepting; set before closed is closed

	mu     sync.Mutex
	conns  map[*conn]struct{}
	parked map[*conn]struct{} // of these, adopted and not yet the server's
	empty  chan struct{}      // closed when the last connection is gone, once somebody waits
}

// New wraps a listening socket, of which other processes may hold duplicates. A connection
// that was passed on waits for its next request for at most idle, which should be the
// server's IdleTimeout. While there are as many connections as most, new ones are closed at
// once: those that are open need descriptors, too.
func New(inner net.Listener, idle time.Duration, most int) *Listener {
	l := &Listener{inner: inner, idle: idle, most: most, next: make(chan *conn), closed: make(chan struct{}), conns: map[*conn]struct{}{}, parked: map[*conn]struct{}{}}
	go l.accept()
	return l
}

// accept feeds the accepted connections to Accept, beside those that are adopted.
func (l *Listener) accept() {
	var pause time.Duration
	for {
		raw, err := l.inner.Accept()
		if err == nil {
			pause = 0
			if l.full() {
				raw.Close()
				continue
			}
			l.deliver(l.add(raw))
			continue
		}
		if temporary, ok := err.(interface{ Temporary() bool }); !ok || !temporary.Temporary() {
			l.shut(err)
			return
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second) // out of descriptors, perhaps
		select {
		case <-time.After(pause):
		case <-l.closed:
			return
		}
	}
}

func (l *Listener) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) >= l.most
}

func (l *Listener) add(raw net.Conn) *conn {
	c := &conn{Conn: raw, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	c.leaving = l.heir.Load() != nil
	return c
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if len(l.conns) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

// deliver gives a connection to the server. If the server takes no more, it is passed on
// or closed.
func (l *Listener) deliver(c *conn) {
	select {
	case l.next <- c:
	case <-l.closed:
		l.drop(c)
	}
}

func (l *Listener) drop(c *conn) {
	c.mu.Lock()
	c.leaving = l.heir.Load() != nil
	c.leave(0)
	c.mu.Unlock()
	c.Close()
}

// adopt takes a connection of another process. The server sees it with the first byte of
// its next request, so that its time limits for a request do not run while it is idle.
func (l *Listener) adopt(raw net.Conn, unread []byte) {
	c := l.add(raw)
	if len(unread) > 0 {
		c.Unread(unread)
		go l.deliver(c)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(l.idle))
	l.mu.Lock()
	l.parked[c] = struct{}{}
	l.mu.Unlock()
	select {
	case <-l.closed:
		l.wakeParked()
	default:
	}
	go func() {
		first := make([]byte, 1)
		n, _ := c.Read(first)
		l.mu.Lock()
		delete(l.parked, c)
		l.mu.Unlock()
		if n == 0 {
			c.Close()
			return
		}
		c.Unread(first)
		l.deliver(c)
	}()
}

// wakeParked ends the connections that only this listener knows, or passes them on.
func (l *Listener) wakeParked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.parked {
		_ = c.Conn.SetReadDeadline(past())
	}
}

// Accept gives the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.closed:
		return nil, l.failed
	}
}

// Close ends accepting in this process: the socket lives on in those that have a
// duplicate. Connections that the server knows stay.
func (l *Listener) Close() error {
	l.shut(net.ErrClosed)
	return nil
}

func (l *Listener) shut(err error) {
	l.closing.Do(func() {
		l.failed = err
		l.inner.Close()
		close(l.closed)
		l.wakeParked()
	})
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// ConnState is the server's hook of that name.
func (l *Listener) ConnState(c net.Conn, s http.ConnState) {
	if c, ok := c.(*conn); ok && s == http.StateIdle { // a TLS connection is none of ours
		c.answered()
	}
}

// File is a duplicate of the listening socket.
func (l *Listener) File() (*os.File, error) {
	f, ok := l.inner.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("the listener has no file descriptor")
	}
	return f.File()
}

// passTo closes the listener and gives every connection to the heir, each between two
// requests. gone is closed when none is left; wait for it with a limit.
func (l *Listener) passTo(h *heir) (gone <-chan struct{}) {
	l.mu.Lock()
	l.heir.Store(h)
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	empty := make(chan struct{})
	if len(conns) == 0 {
		close(empty)
	} else {
		l.empty = empty
	}
	l.mu.Unlock()
	for _, c := range conns { // before Close, which ends what does not leave
		c.ask()
	}
	l.Close()
	return empty
}
