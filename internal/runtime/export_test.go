package runtime

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Predictor is what a host of a test runs.
type Predictor = predictor

// ServeHost runs a host without a process around it.
func ServeHost(ctx context.Context, p Predictor, inline bool, workers int, ln net.Listener, grace time.Duration) {
	h := newHost(p, inline, workers, slog.New(slog.DiscardHandler))
	h.serve(ctx, ln, func() time.Duration { return grace })
}

// Listen makes a replica's socket.
func Listen(path string) (net.Listener, error) { return listen(path) }

// AppendHello writes a hello of a version.
func AppendHello(version int) []byte { return appendHello(nil, version) }

// Frames reads a stream to its end, but at most limit frames, and gives what they hold.
func Frames(r io.Reader, limit int) (kinds []byte, ids []uint64, bodies [][]byte, err error) {
	fr := newFrameReader(r)
	for len(kinds) < limit {
		f, err := fr.next()
		if errors.Is(err, io.EOF) {
			return kinds, ids, bodies, nil
		}
		if err != nil {
			return kinds, ids, bodies, err
		}
		kinds, ids = append(kinds, byte(f.kind)), append(ids, f.id)
		bodies = append(bodies, append([]byte{}, f.body...))
	}
	return kinds, ids, bodies, nil
}

// AppendFrame writes one frame.
func AppendFrame(dst []byte, k byte, id uint64, body []byte) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, kind(k), id), body...)
	endFrame(dst, start)
	return dst
}

// Wire forms of errors, and configurations.
var (
	AppendError = appendError
	ParseError  = parseError
	ParseConfig = parseConfig
	ParseStatm  = parseStatm
)

// Socket is the path of the replica's socket, which was bound under its young name.
func (c *Client) Socket() string { return strings.TrimSuffix(c.conn.RemoteAddr().String(), "~") }
