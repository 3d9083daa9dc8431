package answer

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/slipway-ml/slipway"
)

// coding is a content coding (RFC 9110, 8.4.1).
type coding uint8

const (
	plain coding = iota
	gzipped
	deflated // zlib's format, as the RFC says
	zstandard
)

var codings = [...]string{"", "gzip", "deflate", "zstd"}

func (c coding) String() string { return codings[c] }

// codingOf reads Content-Encoding: one coding, since nothing is packed twice.
func codingOf(text string) (coding, bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "identity":
		return plain, true
	case "gzip", "x-gzip":
		return gzipped, true
	case "deflate":
		return deflated, true
	case "zstd":
		return zstandard, true
	default:
		return plain, false
	}
}

// negotiate chooses the coding of an answer: of those that a client likes most the one that
// packs best.
func negotiate(accept string) coding {
	best, weight := plain, 0.0
	for accept != "" {
		var one string
		one, accept, _ = strings.Cut(accept, ",")
		name, params, _ := strings.Cut(one, ";")
		c, ok := codingOf(name)
		if !ok || c == plain {
			continue
		}
		q := 1.0
		if text, has := strings.CutPrefix(strings.TrimSpace(params), "q="); has {
			var err error
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if q > weight || q == weight && q > 0 && prefer(c, best) {
			best, weight = c, q
		}
	}
	return best
}

func prefer(a, b coding) bool {
	order := [...]int{plain: 0, deflated: 1, gzipped: 2, zstandard: 3}
	return order[a] > order[b]
}

const (
	// minPacked is how large an answer is that is worth packing: below, the network is faster.
	minPacked = 32 << 10
	// maxRatio bounds how much a body may grow beyond freeGrowth bytes. JSON of numbers that are
	// all the same grows by less.
	maxRatio   = 200
	freeGrowth = 1 << 20
	window     = 8 << 20 // of zstd; RFC 9659 has it
)

// Readers and writers have tables of some hundred KiB, which are kept for the next request.
var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstdReaders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	}}
	gzipWriters = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return w }}
	zlibWriters = sync.Pool{New: func() any { w, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed); return w }}
	zstdWriters = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}}
)

// unpack reads a body of at most limit bytes.
func unpack(c coding, body []byte, limit int64, hold func(n int64) *slipway.Error) ([]byte, *slipway.Error) {
	most := min(limit, max(freeGrowth, maxRatio*int64(len(body))))
	in := bytes.NewReader(body)
	var r io.Reader
	switch c {
	case gzipped:
		z := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(z)
		if err := z.Reset(in); err != nil {
			return nil, unreadable(c, err)
		}
		r = z
	case deflated:
		z, err := zlib.NewReader(in)
		if err != nil {
			return nil, unreadable(c, err)
		}
		r = z
	default:
		z := zstdReaders.Get().(*zstd.Decoder)
		defer zstdReaders.Put(z)
		defer func() { _ = z.Reset(nil) }() // which keeps nothing of the body
		if err := z.Reset(in); err != nil {
			return nil, unreadable(c, err)
		}
		r = z
	}
	out := make([]byte, 0, min(most, max(4<<10, 4*int64(len(body))))+1)
	if err := hold(int64(cap(out))); err != nil {
		return nil, err
	}
	for {
		if len(out) == cap(out) {
			more := cap(out)
			if err := hold(int64(more)); err != nil {
				return nil, err
			}
			out = append(make([]byte, 0, cap(out)+more), out...)
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > most && most == limit:
			return nil, TooLarge(limit)
		case int64(len(out)) > most:
			return nil, &slipway.Error{Code: slipway.CodeTooLarge, Kind: slipway.Invalid, Field: encodingHeader,
				Message: "hides a body that is more than " + strconv.Itoa(maxRatio) + " times as large", Next: "send it uncompressed"}
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, unreadable(c, err)
		}
	}
}

func unreadable(c coding, cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Message: "the body is not whole, or no " + c.String(), Next: "send it again, or uncompressed", Cause: cause}
}

// pack compresses an answer into memory of its own.
func pack(c coding, body []byte) []byte {
	if c == zstandard {
		w := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(w)
		return w.EncodeAll(body, make([]byte, 0, len(body)/2))
	}
	b := bytes.NewBuffer(make([]byte, 0, len(body)/2))
	type writer interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	pool := &gzipWriters
	if c == deflated {
		pool = &zlibWriters
	}
	w := pool.Get().(writer)
	defer pool.Put(w)
	defer w.Reset(io.Discard) // which keeps nothing of the answer
	w.Reset(b)
	_, _ = w.Write(body) // memory does not fail
	_ = w.Close()
	return b.Bytes()
}
