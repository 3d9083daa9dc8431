package ort

import (
	"context"
	"fmt"
	goruntime "runtime"
	"unsafe"
)

// Session is a loaded model, safe for concurrent use.
type Session struct {
	Inputs, Outputs []string // names, in the order of the graph
	lib             *Library
	session         unsafe.Pointer
	in, out         []*byte // those names for C
}

// Load loads a model file, which is run by at most threads threads at once. Files of weights
// are found beside it.
func (l *Library) Load(file string, threads int) (*Session, error) {
	var options unsafe.Pointer
	if err := l.do(fnCreateSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return nil, err
	}
	defer func() { l.release(fnReleaseSessionOptions, options) }()
	// A thread that spins while it waits for work takes the processor of other models.
	key, value, path := cString("session.intra_op.allow_spinning"), cString("0"), cString(file)
	for _, set := range []func() error{
		func() error { return l.do(fnSetIntraOpNumThreads, uintptr(options), uintptr(max(1, threads))) },
		func() error { return l.do(fnSetInterOpNumThreads, uintptr(options), 1) },
		func() error { return l.do(fnSetSessionGraphOptimizationLevel, uintptr(options), optimizeAll) },
		func() error {
			return l.do(fnAddSessionConfigEntry, uintptr(options), uintptr(unsafe.Pointer(&key[0])), uintptr(unsafe.Pointer(&value[0])))
		},
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	s := &Session{lib: l}
	err := quietly(func() error {
		return l.do(fnCreateSession, uintptr(l.env), uintptr(unsafe.Pointer(&path[0])), uintptr(options), uintptr(unsafe.Pointer(&s.session)))
	})
	goruntime.KeepAlive(path)
	if err != nil {
		return nil, err
	}
	s.Inputs, s.in, err = s.list(fnSessionGetInputCount, fnSessionGetInputName)
	if err == nil {
		s.Outputs, s.out, err = s.list(fnSessionGetOutputCount, fnSessionGetOutputName)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// list reads names of the session.
func (s *Session) list(count, name int) (names []string, forC []*byte, err error) {
	var n uint64
	if err := s.lib.do(count, uintptr(s.session), uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, nil, err
	}
	for i := range n {
		var p unsafe.Pointer
		if err := s.lib.do(name, uintptr(s.session), uintptr(i), uintptr(s.lib.heap), uintptr(unsafe.Pointer(&p))); err != nil {
			return nil, nil, err
		}
		b := cString(text(p))
		if err := s.lib.do(fnAllocatorFree, uintptr(s.lib.heap), uintptr(p)); err != nil {
			return nil, nil, err
		}
		names, forC = append(names, string(b[:len(b)-1])), append(forC, &b[0])
	}
	return names, forC, nil
}

// Close frees the model. No Run may be under way.
func (s *Session) Close() {
	s.lib.release(fnReleaseSession, s.session)
	s.session = nil
}

// Run runs the model for one value of each input, in the order of Inputs, and answers one for
// each output. When ctx ends it ends between two operators, with the error of ctx. The error of the
// library may quote the input.
func (s *Session) Run(ctx context.Context, in []Value) ([]Value, error) {
	if len(in) != len(s.in) {
		return nil, fmt.Errorf("%d values for %d inputs", len(in), len(s.in))
	}
	l := s.lib
	values := make([]unsafe.Pointer, len(in)+len(s.out))
	given, answers := values[:len(in)], values[len(in):]
	defer func() {
		for _, v := range values {
			l.release(fnReleaseValue, v)
		}
	}()
	var pin goruntime.Pinner
	defer pin.Unpin()
	for i := range in {
		if err := l.give(&in[i], &given[i], &pin); err != nil {
			return nil, fmt.Errorf("input %s: %w", s.Inputs[i], err)
		}
	}
	options, done, err := l.until(ctx)
	if err != nil {
		return nil, err
	}
	err = l.do(fnRun, uintptr(s.session), uintptr(options), uintptr(unsafe.Pointer(unsafe.SliceData(s.in))), uintptr(unsafe.Pointer(unsafe.SliceData(given))), uintptr(len(in)),
		uintptr(unsafe.Pointer(unsafe.SliceData(s.out))), uintptr(len(s.out)), uintptr(unsafe.Pointer(unsafe.SliceData(answers))))
	done()
	goruntime.KeepAlive(s)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	out := make([]Value, len(answers))
	for i, v := range answers {
		if out[i], err = l.take(v); err != nil {
			return nil, fmt.Errorf("output %s: %w", s.Outputs[i], err)
		}
	}
	return out, nil
}

// until makes options of a run that ends with ctx. A run whose context cannot end has none.
func (l *Library) until(ctx context.Context) (options unsafe.Pointer, done func(), err error) {
	if ctx.Done() == nil {
		return nil, func() {}, nil
	}
	if err := l.do(fnCreateRunOptions, uintptr(unsafe.Pointer(&options))); err != nil {
		return nil, nil, err
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = l.do(fnRunOptionsSetTerminate, uintptr(options)) // it can only fail for want of memory
		close(over)
	})
	return options, func() {
		if !stop() {
			<-over
		}
		l.release(fnReleaseRunOptions, options)
	}, nil
}
