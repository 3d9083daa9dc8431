package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
)

// Headers in their canonical form: they are looked up in maps.
const (
	requestIDHeader = "X-Request-Id"
	revisionHeader  = "Slipway-Revision"
	versionHeader   = "Slipway-Model-Version"
	deadlineHeader  = "Slipway-Deadline-Ms"
	typeHeader      = "Content-Type"
)

// invoke answers one prediction request over net/http.
func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, who caller, key string, p answer.Protocol) {
	_, err := g.granted(who, key)
	if err == nil {
		err = answer.Acceptable(r.Header)
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	buf := buffers.Get().(*buffer)
	defer buf.release()
	held, err := g.read(buf, r)
	defer g.buffered.Add(-held)
	if err != nil {
		if err.Code == slipway.CodeTooLarge { // the rest of it is not read
			w.Header().Set("Connection", "close")
		}
		p.Fail(w, err)
		return
	}
	h := w.Header()
	in := payload{protocol: p, body: buf.in}
	out, rev, err := g.predict(r.Context(), &call{who: who, key: key, request: h[requestIDHeader][0], codec: &in,
		wanted: r.Header.Get(revisionHeader), wish: deadlineOf(r.Header.Get(deadlineHeader))})
	if r.Context().Err() != nil {
		return // nobody listens
	}
	if rev != nil {
		h[revisionHeader], h[versionHeader] = rev.header, rev.version
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	buf.out = p.Append(buf.out[:0], key, rev.version[0], in.id, out)
	h[typeHeader] = answer.JSON
	if len(buf.out) > 2048 { // net/http counts less by itself
		h["Content-Length"] = []string{strconv.Itoa(len(buf.out))}
	}
	_, _ = w.Write(buf.out)
}

// deadlineOf reads a caller's deadline, in milliseconds; what is none is 0.
func deadlineOf(text string) time.Duration {
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return max(time.Duration(ms)*time.Millisecond, time.Millisecond)
}
