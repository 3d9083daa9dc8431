package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// lastWrites bounds the writing to a peer when the host stops.
const lastWrites = time.Second

// session is one connection of a host.
type session struct {
	h    *host
	conn net.Conn
	out  *outbox
	peer int // version of the protocol that is spoken

	mu      sync.Mutex
	cancels map[uint64]context.CancelFunc // of the requests that workers have
}

func newSession(h *host, conn net.Conn) *session {
	return &session{h: h, conn: conn, out: newOutbox(conn, true), cancels: map[uint64]context.CancelFunc{}}
}

// run answers frames until the connection ends. Answers that workers still owe are lost.
func (s *session) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		s.conn.Close()
		s.out.fail(net.ErrClosed)
	}()
	fr := newFrameReader(s.conn)
	if err := s.greet(fr); err != nil {
		return quiet(err)
	}
	for {
		f, err := fr.next()
		if err == nil {
			err = s.take(ctx, f)
		}
		if err != nil {
			return quiet(errors.Join(err, s.out.flush()))
		}
		if !fr.more() {
			if err := s.out.flush(); err != nil {
				return quiet(err)
			}
		}
	}
}

// quiet drops the errors of a connection that merely ended.
func quiet(err error) error {
	if errors.Is(err, errProtocol) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

func (s *session) greet(fr *frameReader) error {
	if err := s.conn.SetDeadline(time.Now().Add(helloWait)); err != nil {
		return err
	}
	f, err := fr.next()
	if err != nil {
		return err
	}
	v, err := parseHello(f)
	if err != nil {
		return err
	}
	answer := version
	if v >= oldest {
		answer = min(v, version) // a client of version 1 wants to hear nothing else
	}
	if _, err := s.conn.Write(appendHello(nil, answer)); err != nil {
		return err
	}
	if s.peer = v; v < oldest || v > version {
		return fmt.Errorf("%w: the client speaks version %d, this replica %d", errProtocol, v, version)
	}
	if err := s.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if s.h.draining.Load() { // looked at last, or hangUp's deadline could be lost
		return net.ErrClosed
	}
	return nil
}

// hangUp ends the session: its reader stops at once, and what is answered already may be
// written for a moment longer.
func (s *session) hangUp() {
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	_ = s.conn.SetWriteDeadline(time.Now().Add(lastWrites))
}

// take acts on one frame; an error is a broken protocol.
func (s *session) take(ctx context.Context, f frame) error {
	switch f.kind {
	case kindPredict, kindReady, kindHost, kindLoad:
		left, body, err := parseLeft(f.body)
		if err != nil {
			return err
		}
		if f.body = body; s.peer >= withID {
			var id string
			if id, f.body, err = parseName(body); err != nil {
				return err
			}
			if id != "" {
				ctx = slipway.WithRequest(ctx, id)
			}
		}
		revision := ""
		if s.peer >= withRevision && (f.kind == kindPredict || f.kind == kindLoad) {
			if revision, f.body, err = parseName(f.body); err != nil {
				return err
			}
		}
		s.request(ctx, f, left, revision)
		return nil
	case kindCancel:
		s.finish(f.id)
		return nil
	default:
		return fmt.Errorf("%w: a request of kind %d", errProtocol, f.kind)
	}
}

// request answers at once what costs little and leaves the rest to the workers.
func (s *session) request(ctx context.Context, f frame, left time.Duration, revision string) {
	n := len(f.body)
	if err := s.h.admit(n); err != nil {
		s.fail(f.id, err)
		return
	}
	m, err := s.h.find(f.kind, revision)
	if err != nil {
		s.h.release(n)
		s.fail(f.id, slipway.AsError(err))
		return
	}
	if f.kind == kindPredict && m.quick && m.pace.Cheap(n) {
		start := time.Now()
		out, err := s.h.predict(ctx, m, f.body)
		m.pace.Observe(n, time.Since(start))
		s.reply(f.id, out, err)
		s.h.release(n)
		return
	}
	if f.kind == kindHost || f.kind == kindReady && s.h.pool != nil { // which wait for no model, nor for requests that do
		s.h.run(&job{s: s, id: f.id, kind: f.kind, body: f.body, ctx: ctx})
		s.h.release(n)
		return
	}
	j := &job{s: s, id: f.id, kind: f.kind, asked: m, body: f.body}
	if f.borrowed {
		j.body = append(make([]byte, 0, n), f.body...)
	}
	j.ctx = s.begin(ctx, f.id, left)
	if m.seat != nil && !m.quick {
		s.h.wait(j)
	} else {
		s.enqueue(j)
	}
}

// enqueue leaves a request to the workers.
func (s *session) enqueue(j *job) {
	select {
	case s.h.jobs <- j:
	default:
		s.refuse(j)
	}
}

// refuse answers a request that nobody has time for; whoever calls it flushes.
func (s *session) refuse(j *job) {
	s.finish(j.id)
	s.h.release(len(j.body))
	s.fail(j.id, overloaded())
}

// begin makes the context of a request, which finish ends.
func (s *session) begin(ctx context.Context, id uint64, left time.Duration) context.Context {
	var cancel context.CancelFunc
	if left > 0 {
		ctx, cancel = context.WithTimeout(ctx, left)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[id] = cancel
	return ctx
}

func (s *session) finish(id uint64) {
	s.mu.Lock()
	cancel := s.cancels[id]
	delete(s.cancels, id)
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// replyBody appends an answer that is no batch; whoever calls it flushes.
func (s *session) replyBody(id uint64, body []byte, err error) {
	if err != nil {
		s.fail(id, slipway.AsError(err))
		return
	}
	_ = s.out.add(func(dst []byte) ([]byte, error) { return append(appendHeader(dst, kindResult, id), body...), nil })
}

// reply appends an answer; whoever calls it flushes. A nil batch answers ready and load.
func (s *session) reply(id uint64, out *tensor.Batch, err error) {
	if err != nil {
		s.fail(id, slipway.AsError(err))
		return
	}
	if out != nil && size(out) > maxFrame {
		s.fail(id, modelFailed("the model's answer is larger than a frame", nil))
		return
	}
	err = s.out.add(func(dst []byte) ([]byte, error) {
		dst = appendHeader(dst, kindResult, id)
		if out == nil {
			return dst, nil
		}
		return tensor.AppendBatch(dst, out), nil
	})
	if errors.Is(err, errTooLong) {
		s.fail(id, modelFailed("the model's answer is larger than a frame", nil))
	}
}

// fail appends an error. That the connection is lost is for the reader to notice.
func (s *session) fail(id uint64, e *slipway.Error) {
	_ = s.out.add(func(dst []byte) ([]byte, error) { return appendError(dst, id, e), nil })
}
