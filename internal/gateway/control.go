package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/route"
)

// controlled says whether a path is the server's.
func controlled(path string) bool {
	return route.IsPage(path) || route.IsMLflow(path) || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/openapi") || path == "/docs" || strings.HasPrefix(path, "/docs/")
}

// control passes a request of the control API to the server, which authorizes it. A
// rollback that needs no server is made here.
func (g *Gateway) control(w http.ResponseWriter, r *http.Request, path string) {
	if rest, ok := strings.CutPrefix(path, "/v1/endpoints/"); ok && r.Method == http.MethodPost {
		if key, ok := strings.CutSuffix(rest, "/rollback"); ok && g.canRollBack(key) {
			if grant := g.callerOf(r).grant; grant != nil && grant.MayRollBack(key, g.c.Now()) {
				g.rollback(w, r, key, grant)
				return
			} // the server says no, and records it
		}
	}
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Time{}) // event streams stay open
	body := &upload{ReadCloser: r.Body, c: c}
	r = r.WithContext(context.WithValue(r.Context(), uploadKey{}, body))
	r.Body = body
	g.proxy.ServeHTTP(final{w}, r)
	if body.refused && c.Flush() == nil {
		_, _ = io.CopyN(io.Discard, body, refusedBody) // a client that left
	}
}

// final leaves out that the server wants the body: the gateway has asked for itself, and who
// asks the gateway hears it when the body is read.
type final struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (f final) WriteHeader(code int) {
	if code != http.StatusContinue {
		f.ResponseWriter.WriteHeader(code)
	}
}

// Unwrap is for http.ResponseController.
func (f final) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// upload is a body that may be large, but must go on.
type upload struct {
	io.ReadCloser
	c       *http.ResponseController
	refused bool // by the server, whose answer is known
}

func (u *upload) Read(p []byte) (int, error) {
	_ = u.c.SetReadDeadline(time.Now().Add(readTimeout))
	return u.ReadCloser.Read(p)
}

func newProxy(socket string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "server", r.In.Host
			if fromLoopback(r.In.RemoteAddr) { // a proxy of this machine says for whom it asks
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			}
			r.SetXForwarded()
			expect(r.Out)
		},
		ModifyResponse: refused,
		Transport:      &server{socket: socket},
		FlushInterval:  -1, // events are sent as they come
		BufferPool:     &pieces{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				writeProblem(w, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
					Message: "the control plane does not answer, or is restarting; models serve on", Next: "platform up"}) // a client has tried for seconds
			}
		},
	}
}

// pieces are what answers are copied with: a small one does not cost a new buffer each, and
// an artifact goes through in larger pieces.
type pieces struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *pieces) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 64<<10)
}

// Put implements httputil.BufferPool.
func (b *pieces) Put(p []byte) { b.pool.Put(&p) }

func fromLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// writeProblem answers like the control API.
func writeProblem(w http.ResponseWriter, e *slipway.Error) {
	code := answer.Status(e)
	h := w.Header()
	switch code {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h["Retry-After"] = answer.RetryAfter(code, e)
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="slipway"`)
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Problem{Type: "about:blank", Title: http.StatusText(code), Status: code,
		Detail: e.Message, Code: e.Code, Next: e.Next, Field: e.Field})
}

// RolledBack is the answer to a manual rollback.
type RolledBack struct {
	Endpoint     string  `json:"endpoint"`
	FromRevision string  `json:"from_revision"`
	ToRevision   string  `json:"to_revision"`
	TookMS       float64 `json:"took_ms"` // until no request went to FromRevision any more
	VetoSeq      uint64  `json:"veto_seq"`
	Journalled   bool    `json:"journalled"` // false: the rollback stands, but not yet on disk
}

const (
	maxReason   = 500
	maxRollback = 8 << 10 // bytes of the request
	journalWait = time.Second
)

// rollback answers POST /v1/endpoints/{key}/rollback of those who may.
func (g *Gateway) rollback(w http.ResponseWriter, r *http.Request, key string, grant *route.Grant) {
	var in api.Rollback
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRollback)).Decode(&in)
	if err != nil && err != io.EOF || len(in.Reason) > maxReason {
		writeProblem(w, invalid("reason", "is no short text in a JSON object"))
		return
	}
	out, e := g.Rollback(r.Context(), key, grant.Principal, in.Reason)
	if e != nil {
		writeProblem(w, slipway.AsError(e))
		return
	}
	answer.Write(w, http.StatusOK, out)
}

// canRollBack says whether there is a candidate with weight and a stable revision.
func (g *Gateway) canRollBack(key string) bool {
	e := g.table.Load().endpoints[key]
	return e != nil && e.stable != nil && e.live != nil && e.live.given() > 0
}

// Rollback takes the candidate's weight away, at once and whatever else is broken, and then
// gives the journal a second to reach the disk. It answers Conflict with CodeNoPrevious if
// there is no candidate with weight beside a stable revision.
func (g *Gateway) Rollback(ctx context.Context, key, by, reason string) (RolledBack, error) {
	start := g.c.Now()
	e := g.table.Load().endpoints[key]
	if e == nil || e.stable == nil || e.live == nil {
		return RolledBack{}, noPrevious(key)
	}
	if reason == "" {
		reason = "rolled back by hand"
	}
	l := e.live
	l.mu.Lock()
	switch {
	case g.frozen.Load():
		l.mu.Unlock()
		return RolledBack{}, frozenError()
	case l.vetoed || l.weight == 0 || !g.inForce(l):
		l.mu.Unlock()
		return RolledBack{}, noPrevious(key)
	}
	v := g.veto(l, start, by, reason)
	l.mu.Unlock()
	out := RolledBack{Endpoint: key, FromRevision: v.Revision, ToRevision: e.stable.ID, VetoSeq: v.Seq,
		TookMS: float64(g.c.Now().Sub(start).Microseconds()) / 1000}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalWait)
	defer cancel()
	out.Journalled = g.journal.sync(ctx) == nil
	return out, nil
}

func noPrevious(key string) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeNoPrevious, "platform status "+key, "%s has no candidate with traffic to roll back from", key)
}
