package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
)

// buffer holds the body of a request and of its answer.
type buffer struct{ in, out []byte }

// maxKept is what a buffer may hold on to between requests.
const maxKept = 1 << 20

var buffers = sync.Pool{New: func() any { return &buffer{in: make([]byte, 0, 4<<10), out: make([]byte, 0, 4<<10)} }}

func (b *buffer) release() {
	if cap(b.in) <= maxKept && cap(b.out) <= maxKept {
		buffers.Put(b)
	}
}

// hold takes memory for bodies, to be given back whatever the answer is.
func (g *Gateway) hold(n int64) *slipway.Error {
	if g.buffered.Add(n) > maxBuffered {
		return &slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable,
			Message: "the gateway holds too many large requests", Next: "try again in a moment"}
	}
	return nil
}

// read fills a buffer with the body of a request. held is how much of the memory for
// bodies it takes, to be given back.
func (g *Gateway) read(b *buffer, r *http.Request, limit int64) (held int64, failed *slipway.Error) {
	if r.ContentLength > limit {
		return 0, answer.TooLarge(limit)
	}
	held = limit
	if r.ContentLength >= 0 {
		held = r.ContentLength
	}
	if err := g.hold(held); err != nil {
		return held, err
	}
	in := b.in[:0]
	defer func() { b.in = in }()
	for {
		if len(in) == cap(in) {
			in = append(in, 0)[:len(in)]
		}
		n, err := r.Body.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		switch {
		case int64(len(in)) > limit:
			return held, answer.TooLarge(limit)
		case errors.Is(err, io.EOF):
			return held, nil
		case err != nil:
			return held, &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid,
				Message: "the body of the request did not come whole and in time", Next: "send it again", Cause: err}
		}
	}
}
