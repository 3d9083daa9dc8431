package gateway

import (
	"errors"
	"io"
	"net/http"

	"github.com/slipway-ml/slipway/internal/gateway/openinference"
)

// grpc answers a gRPC call. Whoever has no token that is good is refused before anything of
// a message is read.
func (g *Gateway) grpc(w http.ResponseWriter, r *http.Request) {
	id := g.requestID(r)
	w.Header()[requestIDHeader] = id
	if who := g.callerOf(r); who.grant == nil && !openinference.Open(r.URL.Path) {
		g.refuse(who, "")
		openinference.Refuse(w, unauthorized())
		return
	}
	body := &metered{ReadCloser: r.Body, g: g}
	defer body.release()
	r.Body = body
	g.calls.Serve(w, r, &openinference.Caller{Authorization: r.Header["Authorization"], Source: r.RemoteAddr,
		Request: id[0], Revision: r.Header.Get(revisionHeader)})
}

var errFull = errors.New("the gateway holds too many large requests; try again in a moment")

// metered counts what is read of a body, for as long as its request lasts, against the memory
// for bodies. What a stream has answered is not told from what it has not: a stream that has
// sent more than all of that is ended.
type metered struct {
	io.ReadCloser
	g    *Gateway
	held int64
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.held += int64(n)
	if m.g.buffered.Add(int64(n)) > maxBuffered {
		return 0, errFull
	}
	return n, err
}

func (m *metered) release() { m.g.buffered.Add(-m.held) }
