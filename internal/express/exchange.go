package express

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	bufferSize = 4 << 10                // a head that is longer is not ordinary
	linger     = 500 * time.Millisecond // for a client to read the last answer
)

// States of an exchange; any other is the time when its request began.
const (
	idle    = 0
	reading = -1
)

// exchange is one connection, and the request that is on it.
type exchange struct {
	s      *Server
	c      Conn
	ctx    context.Context
	cancel context.CancelFunc
	began  atomic.Int64 // nanoseconds since 1970 when a request came, or a state

	in   []byte // read and not used yet
	buf  [bufferSize]byte
	head head
	url  url.URL
	req  *http.Request
	body body
	out  response

	readBy, writeBy time.Time // deadlines that are set
}

func newExchange(s *Server, c Conn) *exchange {
	x := &exchange{s: s, c: c}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.head.header = http.Header{}
	x.body.x = x
	x.req = (&http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &x.url,
		RemoteAddr: c.RemoteAddr().String()}).WithContext(x.ctx)
	x.out.header = http.Header{}
	return x
}

// run answers one request after the other.
func (x *exchange) run() {
	defer x.cancel()
	x.setReadBy(x.s.now().Add(x.s.ReadHeaderTimeout))
	for {
		n, ok := x.await()
		if !ok {
			break
		}
		if n == 0 || !x.head.parse(string(x.in[:n])) || !x.s.takes(x.head.path) {
			x.giveUp()
			return
		}
		x.in = x.in[n:]
		if !x.answer() {
			x.lingering()
			break
		}
	}
	x.s.leave(x)
	x.c.Close()
}

var end = []byte("\r\n\r\n")

// await reads until there is a whole head, and gives its length; 0 for what is not going to
// be an ordinary one. It answers false when the connection is over.
func (x *exchange) await() (int, bool) {
	began := x.s.now()
	if len(x.in) == 0 {
		x.in = x.buf[:0]
	}
	for {
		if i := bytes.Index(x.in, end); i >= 0 {
			return i + len(end), true
		}
		if len(x.in) > 0 {
			if !posts(x.in) || len(x.in) == bufferSize {
				return 0, true
			}
			copy(x.buf[:], x.in) // what was pipelined moves to the front
			x.in = x.buf[:len(x.in)]
			x.setReadBy(began.Add(x.s.ReadHeaderTimeout))
		}
		n, err := x.c.Read(x.buf[len(x.in):])
		if n == 0 && err != nil {
			return 0, false
		}
		if len(x.in) == 0 {
			x.began.Store(reading)
			began = x.s.now()
		}
		x.in = x.buf[:len(x.in)+n]
	}
}

// posts tells whether a request begins like a POST.
func posts(b []byte) bool {
	const post = "POST /"
	n := min(len(b), len(post))
	return string(b[:n]) == post[:n]
}

// giveUp leaves the connection, and what was read of it, to the http.Server.
func (x *exchange) giveUp() {
	x.s.leave(x)
	x.c.Unread(bytes.Clone(x.in))
	_ = x.c.SetReadDeadline(time.Time{}) // a connection that has ended says so to its next reader
	_ = x.c.SetWriteDeadline(time.Time{})
	select {
	case x.s.rest <- x.c:
	case <-x.s.restOver:
		x.c.Close()
	}
}

// answer answers the request whose head was read, and tells whether another may come.
func (x *exchange) answer() bool {
	began := x.s.now()
	x.began.Store(began.UnixNano())
	x.url = url.URL{Path: x.head.path}
	x.req.RequestURI, x.req.Host, x.req.Header = x.head.path, x.head.host, x.head.header
	x.req.ContentLength, x.req.Body = x.head.length, &x.body
	x.body.left, x.body.by = x.head.length, began.Add(x.s.ReadTimeout)
	x.out.reset()
	if !x.handle() || x.ctx.Err() != nil { // it failed, or nobody listens
		return false
	}
	if x.s.ending.Load() {
		x.out.header["Connection"] = last
	}
	now := x.s.now()
	if by := now.Add(x.s.WriteTimeout); stale(x.writeBy, by, x.s.WriteTimeout) {
		x.writeBy = by
		_ = x.c.SetWriteDeadline(by) // an error is the write's
	}
	if _, err := x.c.Write(x.out.finish(x.s.dateAt(now))); err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, &x.body); err != nil || x.out.closes() {
		return false
	}
	if len(x.in) > 0 { // pipelined
		x.began.Store(reading)
		return true
	}
	x.began.Store(idle)
	x.c.Between()
	if by := now.Add(x.s.IdleTimeout); stale(x.readBy, by, x.s.IdleTimeout) {
		x.setReadBy(by)
	}
	return true
}

// last says that an answer is the last of its connection.
var last = []string{"close"}

// stale tells whether a deadline that is set must be set anew. It may be early by an eighth of
// the time that it leaves: to set one costs more than to read the clock.
func stale(set, by time.Time, limit time.Duration) bool {
	return set.After(by) || by.Sub(set) > limit/8
}

// handle calls the handler; a panic of it costs the connection, as in net/http.
func (x *exchange) handle() (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			ok = false
			if err, is := p.(error); (!is || !errors.Is(err, http.ErrAbortHandler)) && x.s.ErrorLog != nil {
				x.s.ErrorLog.Printf("express: panic serving %v: %v\n%s", x.req.RemoteAddr, p, debug.Stack())
			}
		}
	}()
	x.s.Handler.ServeHTTP(&x.out, x.req)
	return true
}

// lingering lets the client read the last answer before what it still sends is refused.
func (x *exchange) lingering() {
	if w, ok := x.c.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		x.setReadBy(x.s.now().Add(linger))
		_, _ = io.Copy(io.Discard, x.c)
	}
}

func (x *exchange) setReadBy(t time.Time) {
	if !x.readBy.Equal(t) {
		x.readBy = t
		_ = x.c.SetReadDeadline(t) // an error is the next read's
	}
}

// body is what comes after a head.
type body struct {
	x    *exchange
	left int64
	by   time.Time // when it must be there
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	x := b.x
	if len(x.in) > 0 {
		n := copy(p, x.in)
		x.in = x.in[n:]
		b.left -= int64(n)
		return n, nil
	}
	x.setReadBy(b.by)
	n, err := x.c.Read(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return nil }
