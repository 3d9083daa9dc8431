package handover

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// phase is where a connection stands between the requests of net/http.Server. The server
// reports StateIdle when an answer is written, then sets the deadline of the idle wait,
// waits until four bytes of the next request are there, and sets another deadline. Nothing
// is lost if a later version does this differently: the connection is merely not passed on.
type phase uint8

const (
	fresh   phase = iota // nothing was read
	busy                 // a request is being read or answered
	idle                 // answered; the wait has not begun
	waiting              // what is read now are the first bytes of the next request
	framed               // HTTP/2, which has state that cannot be passed on
)

const (
	// bufferSize is that of net/http's reader, which always asks for the rest of it.
	bufferSize = 4 << 10
	// peekSize is how many bytes end the wait; fewer are passed on with the connection.
	peekSize = 4
	// preface begins every connection of HTTP/2 and none of HTTP/1 (RFC 9113, 3.4).
	preface = "PRI "
)

// past is a deadline that wakes a blocked read.
func past() time.Time { return time.Unix(1, 0) }

// errPassedOn ends the server's loop without a word to the client.
var errPassedOn = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}

// conn is a connection that can leave the server between two requests.
type conn struct {
	net.Conn
	l *Listener

	mu       sync.Mutex
	phase    phase
	deadline time.Time // as the server wants it
	leaving  bool      // to be passed on when it can be
	passed   bool      // the server was told that it ended: Close passes it on
	unread   []byte    // to be read first
	last     [peekSize - 1]byte
	matched  int // bytes of the preface that have come; -1: it is another protocol
}

// Read reads for the server, and ends its wait for another request when the connection
// shall leave.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.leave(len(p)) {
		c.mu.Unlock()
		return 0, errPassedOn
	}
	if len(c.unread) > 0 && len(p) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		c.saw(p[:n])
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()

	n, err := c.Conn.Read(p)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.saw(p[:n])
	if !c.leaving {
		return n, err
	}
	if n > 0 { // the wake-up came too late, and must not end the request that begins
		_ = c.Conn.SetReadDeadline(c.deadline)
		return n, err
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && c.leave(len(p)) {
		return 0, errPassedOn
	}
	return n, err
}

// saw remembers the last bytes that the server got; mu is held.
func (c *conn) saw(b []byte) {
	if len(b) == 0 {
		return
	}
	if c.phase == fresh {
		c.phase = busy
	}
	for _, x := range b {
		if c.matched < 0 || c.matched == len(preface) {
			break
		}
		if c.matched++; x != preface[c.matched-1] {
			c.matched = -1
		}
	}
	if c.matched == len(preface) && c.phase != framed {
		c.phase = framed
		c.l.forget(c)
	}
	if len(b) >= len(c.last) {
		copy(c.last[:], b[len(b)-len(c.last):])
		return
	}
	copy(c.last[:], c.last[len(b):])
	copy(c.last[len(c.last)-len(b):], b)
}

// leave decides whether the connection can be passed on now, from a read of the server for
// n bytes; mu is held. What the server has read and not used is put back.
func (c *conn) leave(n int) bool {
	if !c.leaving || c.passed {
		return c.passed
	}
	switch c.phase {
	case fresh:
	case waiting:
		held := bufferSize - n
		if held < 0 || held >= peekSize {
			return false
		}
		c.unread = append(append([]byte(nil), c.last[len(c.last)-held:]...), c.unread...)
	default:
		return false
	}
	c.passed = true
	return true
}

// ask wants the connection to leave, and wakes it if it waits.
func (c *conn) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	if c.phase == fresh || c.phase == waiting {
		_ = c.Conn.SetReadDeadline(past())
	}
}

// SetReadDeadline follows the server's phases.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	switch c.phase {
	case idle:
		c.phase = waiting
	case waiting:
		c.phase = busy
	}
	if c.leaving && (c.phase == fresh || c.phase == waiting) {
		t = past()
	}
	return c.Conn.SetReadDeadline(t)
}

// answered notes that the server is done with a request.
func (c *conn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != framed {
		c.phase = idle
	}
}

// CloseWrite lets the client read an answer that ends a connection on which it still
// writes.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Unread makes bytes unread on a connection of which nobody has read anything else since the
// last answer. It can be passed on with them, unless they are too many.
func (c *conn) Unread(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread, c.phase, c.matched = b, fresh, 0
	if len(b) > maxContent {
		c.phase = busy
	}
}

// Between is how a server that is not net/http's says that it has answered, and read nothing
// of the next request: from here on its read may be ended, and the connection passed on.
func (c *conn) Between() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = fresh
}

// SyscallConn is for looks at the socket.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close closes the connection or, if that is why it ends, passes it on.
func (c *conn) Close() error {
	c.mu.Lock()
	passed, unread := c.passed, c.unread
	c.mu.Unlock()
	if passed {
		_ = c.l.heir.Load().give(c.Conn, unread) // if nobody takes it, it can only be closed
	}
	c.l.forget(c)
	return c.Conn.Close()
}
