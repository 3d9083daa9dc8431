package standalone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Headers of requests and answers, as the gateway has them.
const (
	requestIDHeader = "X-Request-Id"
	versionHeader   = "Slipway-Model-Version"
	deadlineHeader  = "Slipway-Deadline-Ms"
)

// maxCause bounds what is logged of an error, in bytes.
const maxCause = 500

// predict answers one prediction request.
func (s *Server) predict(w http.ResponseWriter, r *http.Request, p answer.Protocol) {
	x, failed := p.Open(r.Header.Get)
	if failed != nil {
		p.Fail(w, failed)
		return
	}
	body, held, failed := s.read(w, r)
	if failed == nil {
		failed = x.Decode(body, s.limits.MaxBody, s.hold)
	}
	defer s.buffered.Add(-held - x.Held())
	if failed != nil {
		if failed.Code == slipway.CodeTooLarge { // the rest of it is not read
			w.Header().Set("Connection", "close")
		}
		p.Fail(w, failed)
		return
	}
	in, failed := x.Bind(&s.model.Schema)
	if failed != nil {
		p.Fail(w, failed)
		return
	}
	request := w.Header().Get(requestIDHeader)
	ctx, cancel := context.WithTimeout(slipway.WithRequest(r.Context(), request), s.deadline(r.Header))
	defer cancel()
	reply, err := isolate(ctx, s.slots, func(ctx context.Context) (answer.Reply, error) { return s.answer(ctx, &x, in) })
	if r.Context().Err() != nil {
		return // nobody listens
	}
	w.Header().Set(versionHeader, s.model.Version)
	if err != nil {
		p.Fail(w, s.public(ctx, request, err))
		return
	}
	reply.Write(w)
}

// answer runs the model and writes what it gives.
func (s *Server) answer(ctx context.Context, x *answer.Exchange, in *tensor.Batch) (answer.Reply, error) {
	out, err := s.model.Predictor.Predict(ctx, in)
	if err != nil {
		return answer.Reply{}, err
	}
	if err := whole(out, in.Rows()); err != nil {
		return answer.Reply{}, err
	}
	reply, failed := x.Reply(nil, s.model.Name, s.model.Version, out)
	if failed != nil {
		return answer.Reply{}, failed
	}
	return reply, nil
}

// whole holds an answer to the number of rows that were asked for, and its tensors to their
// shapes.
func whole(out *tensor.Batch, rows int) error {
	if got := out.Rows(); got != rows {
		return fmt.Errorf("the model answered %d rows with %d", rows, got)
	}
	for i := range out.Tensors {
		t := &out.Tensors[i]
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		if len(t.Shape) == 0 || t.Shape[0] != rows || t.Len() != n {
			return fmt.Errorf("tensor %d of the model's answer is not as large as its shape says", i)
		}
	}
	return nil
}

// deadline is the time that a request has: the caller's wish if it is shorter than ours.
func (s *Server) deadline(h http.Header) time.Duration {
	ms, err := strconv.ParseUint(h.Get(deadlineHeader), 10, 31)
	if d := time.Duration(ms) * time.Millisecond; err == nil && d < s.limits.Deadline {
		return max(d, time.Millisecond)
	}
	return s.limits.Deadline
}

// hold takes memory for bodies, to be given back whatever the answer is.
func (s *Server) hold(n int64) *slipway.Error {
	if s.buffered.Add(n) > max(maxBuffered, s.limits.MaxBody) {
		return overloaded()
	}
	return nil
}

// read gives the body of a request. held is how much of the memory for bodies it takes, to
// be given back.
func (s *Server) read(w http.ResponseWriter, r *http.Request) (body []byte, held int64, failed *slipway.Error) {
	limit := s.limits.MaxBody
	if r.ContentLength > limit {
		return nil, 0, answer.TooLarge(limit)
	}
	held = limit
	if r.ContentLength >= 0 {
		held = r.ContentLength
	}
	if err := s.hold(held); err != nil {
		return nil, held, err
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, held, answer.TooLarge(limit)
	case err != nil:
		return nil, held, &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid,
			Message: "the body of the request did not come whole and in time", Next: "send it again", Cause: err}
	}
	return b.Bytes(), held, nil
}

// panicked is a panic of the model. The value may quote its input, so only those of the
// language itself are kept.
type panicked struct{ what, stack string }

func (p *panicked) Error() string { return "panic: " + p.what }

// isolate runs f on a goroutine of its own if a slot is free, so that neither its panic nor
// its refusal to end reaches further: the caller waits until ctx ends, and the slot is
// taken until f does.
func isolate[T any](ctx context.Context, slots chan struct{}, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		out T
		err error
	}
	var none T
	select {
	case slots <- struct{}{}:
	default:
		return none, overloaded()
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				what := "a value that is not shown"
				if err, ok := v.(runtime.Error); ok {
					what = err.Error()
				}
				r = result{err: &panicked{what, string(debug.Stack())}}
			}
			<-slots
			done <- r
		}()
		r.out, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// public makes of an error one that a caller may see, and logs the rest.
func (s *Server) public(ctx context.Context, request string, err error) *slipway.Error {
	var e *slipway.Error
	if !errors.As(err, &e) {
		if ctx.Err() != nil {
			return late(err)
		}
		e = modelFailed(err)
	}
	if e.Kind != slipway.Internal || !s.logRate.Allow() {
		return e
	}
	args := []any{"request", request, "cause", ""}
	if e.Cause != nil {
		args[3] = slipway.OneLine(e.Cause.Error(), maxCause)
	}
	if p := (*panicked)(nil); errors.As(err, &p) {
		args = append(args, "stack", p.stack)
	}
	s.log.Error(e.What(), args...)
	return e
}
