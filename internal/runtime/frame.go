// Package runtime is the process behind one replica and the client end of its socket. The
// process loads one model, or starts one custom server and fronts it, or hosts the models of
// a pool, and answers batches that come as frames over a Unix socket.
//
// # Protocol
//
// One connection carries any number of requests at once. After the connection is made the
// client sends hello, the host answers with its own hello, and from then on both sides send
// frames in any order. All integers are little-endian. A frame is
//
//	offset  size  what
//	0       4     length of all that follows, 9 … 64 MiB
//	4       1     kind
//	5       8     id, chosen by the client, unique among its requests in flight; 0 in hello
//	13      …     body
//
// and the kinds are
//
//	kind       from    body
//	1 hello    both    "SLWP", u16 version of the protocol: 3
//	2 predict  client  u32 time left in µs, counted from arrival, 0 for no limit; u8 length and
//	                   text of the request's id, for logs; u8 length and text of the revision
//	                   that is asked, which only a pool looks at; then the batch as
//	                   tensor.AppendBatch writes it
//	3 ready    client  u32 time left and id, as in predict
//	4 cancel   client  empty: nobody waits for the answer to id any more
//	5 result   host    the batch that answers predict; a list of route.HostedStatus, as JSON,
//	                   that answers host; empty when it answers ready or load
//	6 error    host    u8 class of the error; then code, field, message and next step, each
//	                   as u16 length and UTF-8 text; instead of hello: why there is none
//	7 host     client  to a pool: u32 time left and id, as in predict; then the route.Pool that
//	                   it is to be, as JSON, or nothing to leave it as it is
//	8 load     client  to a pool: u32 time left, id and revision, as in predict: load its model
//
// Every predict, ready, host and load gets one result or one error with its id, answers come in any
// order, and a cancelled request may be answered or not. The classes of errors are numbered
// like the kinds of slipway.Error: 0 internal, 1 invalid, 2 not found, 3 conflict, 4 denied,
// 5 unauthorized, 6 exhausted, 7 unavailable, 8 unprocessable. A side that reads anything
// else closes the connection; the requests in flight are then lost.
//
// Version 2 has no revisions, and so no pools; version 1 no ids of requests either. A host knows
// them still, and says hello in the version of the client; a client that meets a host of an
// older version connects again in that. Replicas outlive the gateway that started them, and
// that may be upgraded, or taken back. Python workers speak version 2.
package runtime

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/slipway-ml/slipway"
)

// Bounds of the protocol.
const (
	version      = 3
	withRevision = 3 // version from which requests name a revision
	withID       = 2 // and their id
	oldest       = 1 // version that is still spoken
	magic        = "SLWP"
	maxFrame     = 64 << 20
	minLength    = 9  // kind and id
	headerSize   = 13 // length, kind and id
	readBuffer   = 64 << 10
	growFrom     = 1 << 20 // longer frames get memory as their bytes arrive
	maxErrorText = 2 << 10
)

type kind byte

const (
	kindHello kind = 1 + iota
	kindPredict
	kindReady
	kindCancel
	kindResult
	kindError
	kindHost
	kindLoad
)

var errProtocol = errors.New("the peer broke the frame protocol")

// frame is one frame as it was read. Body is valid until the next read if it is borrowed.
type frame struct {
	kind     kind
	id       uint64
	body     []byte
	borrowed bool
}

// frameReader cuts a stream into frames.
type frameReader struct {
	r    *bufio.Reader
	skip int // bytes of the last borrowed frame
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, readBuffer)}
}

// next reads one frame. It answers io.EOF only between two frames.
func (fr *frameReader) next() (frame, error) {
	if _, err := fr.r.Discard(fr.skip); err != nil {
		return frame{}, err
	}
	fr.skip = 0
	h, err := fr.r.Peek(headerSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	length := binary.LittleEndian.Uint32(h)
	if length < minLength || length > maxFrame {
		return frame{}, fmt.Errorf("%w: a frame of %d bytes", errProtocol, length)
	}
	f := frame{kind: kind(h[4]), id: binary.LittleEndian.Uint64(h[5:])}
	n := int(length) - minLength
	if headerSize+n <= fr.r.Size() {
		b, err := fr.r.Peek(headerSize + n)
		if err != nil {
			return frame{}, unexpected(err)
		}
		f.body, f.borrowed, fr.skip = b[headerSize:], true, len(b)
		return f, nil
	}
	if _, err = fr.r.Discard(headerSize); err != nil {
		return frame{}, err
	}
	f.body, err = readBody(fr.r, n)
	return f, err
}

// more says whether a whole frame lies in the buffer, so that next will not wait.
func (fr *frameReader) more() bool {
	n := fr.r.Buffered() - fr.skip
	if n < headerSize {
		return false
	}
	b, err := fr.r.Peek(fr.skip + 4)
	return err == nil && uint32(n) >= 4+binary.LittleEndian.Uint32(b[fr.skip:])
}

// readBody reads n bytes. It does not believe a large n: memory grows with what arrives.
func readBody(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, growFrom))
	for at := 0; ; {
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, unexpected(err)
		}
		if at = len(b); at == n {
			return b, nil
		}
		grown := make([]byte, min(n, 2*at))
		copy(grown, b)
		b = grown
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendHeader starts a frame, whose length endFrame sets.
func appendHeader(dst []byte, k kind, id uint64) []byte {
	dst = append(dst, 0, 0, 0, 0, byte(k))
	return binary.LittleEndian.AppendUint64(dst, id)
}

// endFrame sets the length of the frame that starts at offset start. It answers false when
// the frame is too long to be sent.
func endFrame(dst []byte, start int) bool {
	n := len(dst) - start - 4
	if n > maxFrame {
		return false
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(n))
	return true
}

func appendHello(dst []byte, version int) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, kindHello, 0), magic...)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(version))
	endFrame(dst, start)
	return dst
}

// parseHello gives the peer's version. Whatever follows it is for later versions.
func parseHello(f frame) (int, error) {
	if f.kind != kindHello || len(f.body) < len(magic)+2 || string(f.body[:len(magic)]) != magic {
		return 0, fmt.Errorf("%w: no hello", errProtocol)
	}
	return int(binary.LittleEndian.Uint16(f.body[len(magic):])), nil
}

// appendLeft writes the time left, rounded up to a microsecond; no limit is 0.
func appendLeft(dst []byte, left time.Duration, limited bool) []byte {
	us := uint32(0)
	if limited {
		us = uint32(min(max(1, (left+time.Microsecond-1)/time.Microsecond), math.MaxUint32))
	}
	return binary.LittleEndian.AppendUint32(dst, us)
}

// parseLeft reads the time left, 0 for no limit, and gives the rest of the body.
func parseLeft(body []byte) (time.Duration, []byte, error) {
	if len(body) < 4 {
		return 0, nil, fmt.Errorf("%w: no time limit", errProtocol)
	}
	return time.Duration(binary.LittleEndian.Uint32(body)) * time.Microsecond, body[4:], nil
}

// maxName bounds the id of a revision and of a request, or of those that are answered
// together, in bytes.
const maxName = 255

// appendName writes the id of a request or a revision, cut if it is too long.
func appendName(dst []byte, id string) []byte {
	id = id[:min(len(id), maxName)]
	return append(append(dst, byte(len(id))), id...)
}

// parseName reads the id of a request or a revision and gives the rest of the body.
func parseName(body []byte) (string, []byte, error) {
	if len(body) == 0 || int(body[0]) > len(body)-1 {
		return "", nil, fmt.Errorf("%w: no id of a request or a revision", errProtocol)
	}
	n := 1 + int(body[0])
	for _, c := range body[1:n] {
		if c <= ' ' || c >= 0x7f { // ours have no such bytes
			return slipway.OneLine(string(body[1:n]), maxName), body[n:], nil
		}
	}
	return string(body[1:n]), body[n:], nil
}

func appendError(dst []byte, id uint64, e *slipway.Error) []byte {
	start := len(dst)
	dst = append(appendHeader(dst, kindError, id), byte(e.Kind))
	for _, s := range [...]string{e.Code, e.Field, e.Message, e.Next} {
		s = slipway.OneLine(s, maxErrorText)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	endFrame(dst, start)
	return dst
}

func parseError(body []byte) (*slipway.Error, error) {
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: an empty error", errProtocol)
	}
	e := &slipway.Error{Kind: slipway.Kind(body[0])}
	if e.Kind > slipway.Unprocessable {
		e.Kind = slipway.Internal
	}
	body = body[1:]
	for _, s := range [...]*string{&e.Code, &e.Field, &e.Message, &e.Next} {
		if len(body) < 2 {
			return nil, fmt.Errorf("%w: a cut error", errProtocol)
		}
		n := int(binary.LittleEndian.Uint16(body))
		if body = body[2:]; n > len(body) {
			return nil, fmt.Errorf("%w: a cut error", errProtocol)
		}
		*s, body = slipway.OneLine(string(body[:n]), maxErrorText), body[n:]
	}
	return e, nil
}
