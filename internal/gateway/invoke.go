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
)

// invoke answers one prediction request over net/http.
func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, who caller, path answer.Path) {
	p := path.Protocol
	e, err := g.granted(who, path.Name)
	var x answer.Exchange
	if err == nil {
		x, err = p.Open(r.Header.Get)
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	buf := buffers.Get().(*buffer)
	defer buf.release()
	limit := e.maxBody(g.c.MaxBody)
	held, err := g.read(buf, r, limit)
	if err == nil {
		err = x.Decode(buf.in, limit, g.room)
	}
	defer g.buffered.Add(-held - x.Held())
	if err != nil {
		if err.Code == slipway.CodeTooLarge { // the rest of it is not read
			w.Header().Set("Connection", "close")
		}
		p.Fail(w, err)
		return
	}
	h := w.Header()
	out, rev, err := g.predict(r.Context(), &call{who: who, key: path.Name, version: path.Version, request: h[requestIDHeader][0], codec: &x, size: int64(len(buf.in)),
		wanted: r.Header.Get(revisionHeader), wish: deadlineOf(r.Header.Get(deadlineHeader))})
	if r.Context().Err() != nil {
		return // nobody listens
	}
	if rev != nil {
		h[revisionHeader], h[versionHeader] = rev.header, rev.version
	}
	var reply answer.Reply
	if err == nil {
		reply, err = x.Reply(buf.out[:0], path.Name, rev.version[0], out)
	}
	if err != nil {
		p.Fail(w, err)
		return
	}
	if reply.Encoding == "" { // else it is other memory
		buf.out = reply.Body
	}
	reply.Write(w)
}

// deadlineOf reads a caller's deadline, in milliseconds; what is none is 0.
func deadlineOf(text string) time.Duration {
	if text == "" { // as most have it: ParseUint would make an error of it
		return 0
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return max(time.Duration(ms)*time.Millisecond, time.Millisecond)
}
