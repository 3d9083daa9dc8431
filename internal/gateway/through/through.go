// Package through passes requests on to the server behind a replica as they are, and its
// answers back as they come: for protocols that the platform does not speak itself.
package through

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

const (
	// keptIdle is how long a connection is kept without a request: less than the servers do
	// that Python knows, which close theirs after five seconds.
	keptIdle  = 4 * time.Second
	maxHeader = 64 << 10
	piece     = 32 << 10
)

// dropped are headers that a model's server does not get: they are for the platform. Those
// that speak of a connection alone are dropped by net/http.
var dropped = []string{"Authorization", "Cookie", "Proxy-Authorization", "Slipway-Revision", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"}

// withheld are headers of its answers that callers do not get: they would speak for the
// platform's address, of which other pages come.
var withheld = []string{"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed", "Alt-Svc", "Public-Key-Pins", "Nel", "Report-To", "Reporting-Endpoints"}

// Passer passes requests on. It is safe for concurrent use.
type Passer struct {
	transport *http.Transport
	proxy     *httputil.ReverseProxy
	idle      time.Duration
}

// Sender sends a request on, with Passer.Send, once or to one after another, and gives the
// answer that the caller gets. Failed answers the caller of one to which there is none.
type Sender interface {
	Send(*http.Request) (*http.Response, error)
	Failed(w http.ResponseWriter, r *http.Request, err error)
}

type senderKey struct{}

// New makes a passer. A body that does not go on for idle, in either direction, is cut.
func New(idle time.Duration, log *slog.Logger) *Passer {
	p := &Passer{idle: idle, transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: keptIdle,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader}}
	p.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			for _, name := range dropped {
				r.Out.Header.Del(name)
			}
			r.Out.URL.Scheme = "http"
		},
		Transport:      sending{},
		FlushInterval:  -1, // as it comes
		BufferPool:     &pieces{},
		ModifyResponse: clean,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				senderOf(r).Failed(w, r, err)
			}
		},
	}
	return p
}

// Close gives the connections back.
func (p *Passer) Close() { p.transport.CloseIdleConnections() }

// Pass answers a request, whose URL has the path and query at the server.
func (p *Passer) Pass(w http.ResponseWriter, r *http.Request, s Sender) {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), senderKey{}, s))
	defer cancel()
	r = r.WithContext(ctx)
	// A deadline that passes while the answer comes would look like a caller who left.
	if r.Body == nil || r.Body == http.NoBody {
		_ = c.SetReadDeadline(time.Time{})
	} else {
		r.Body = &upload{r.Body, c, p.idle}
	}
	p.proxy.ServeHTTP(&answerer{ResponseWriter: w, c: c, idle: p.idle}, r)
}

// Send sends a request to the server behind a socket. Its answer's header must come within
// limit, and each piece of its body within the passer's idle time. If there is an answer,
// ended is told once how its body ended: nil when it was whole, or the caller left.
func (p *Passer) Send(r *http.Request, socket string, limit time.Duration, ended func(error)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	out := r.Clone(ctx)
	out.URL.Host = hex.EncodeToString([]byte(socket)) // by which connections are kept
	resp, err := p.transport.RoundTrip(out)
	if !timer.Stop() && err == nil { // it has just fired
		resp.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &download{ReadCloser: resp.Body, timer: time.AfterFunc(p.idle, func() { cancel(errIdle) }), idle: p.idle, ctx: ctx, caller: r.Context(), ended: ended, cancel: cancel}
	return resp, nil
}

// errIdle says that a server went on with its answer no more.
var errIdle = errors.New("the answer did not go on")

func dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	socket, err := hex.DecodeString(host)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "unix", string(socket))
}

// clean takes out of an answer what would speak for the platform, and keeps browsers from
// running what is in it.
func clean(r *http.Response) error {
	for _, name := range withheld {
		r.Header.Del(name)
	}
	r.Header.Set("Content-Security-Policy", "sandbox")
	r.Header.Set("X-Content-Type-Options", "nosniff")
	return nil
}

// sending lets the sender of a request send it.
type sending struct{}

// RoundTrip implements http.RoundTripper.
func (sending) RoundTrip(r *http.Request) (*http.Response, error) { return senderOf(r).Send(r) }

func senderOf(r *http.Request) Sender { s, _ := r.Context().Value(senderKey{}).(Sender); return s }

// upload is the body of a request, which must go on.
type upload struct {
	io.ReadCloser
	c    *http.ResponseController
	idle time.Duration
}

func (u *upload) Read(p []byte) (int, error) {
	_ = u.c.SetReadDeadline(time.Now().Add(u.idle))
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		_ = u.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// download is the body of an answer, which must go on.
type download struct {
	io.ReadCloser
	timer  *time.Timer
	idle   time.Duration
	ctx    context.Context
	caller context.Context
	cancel context.CancelCauseFunc
	ended  func(error)
	once   sync.Once
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	d.timer.Reset(d.idle)
	if err != nil {
		cause := err
		if errors.Is(err, io.EOF) {
			cause = nil
		} else if c := context.Cause(d.ctx); c != nil {
			cause = c
		}
		d.end(cause)
	}
	return n, err
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.end(nil)
	return d.ReadCloser.Close()
}

func (d *download) end(err error) {
	d.once.Do(func() {
		d.timer.Stop()
		d.cancel(nil)
		if d.caller.Err() != nil {
			err = nil
		}
		d.ended(err)
	})
}

// answerer gives each piece of an answer its time to be written.
type answerer struct {
	http.ResponseWriter
	c    *http.ResponseController
	idle time.Duration
}

func (a *answerer) Write(p []byte) (int, error) {
	_ = a.c.SetWriteDeadline(time.Now().Add(a.idle))
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answerer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// pieces are what bodies are copied with.
type pieces struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *pieces) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, piece)
}

// Put implements httputil.BufferPool.
func (b *pieces) Put(p []byte) { b.pool.Put(&p) }
