package runtime

import (
	"errors"
	"io"
	"sync"
)

// Bounds of an outbox.
const (
	flushAt    = 64 << 10     // frames are not held back beyond this many bytes
	highWater  = 2 * maxFrame // where a peer that does not read is noticed
	keepBuffer = 256 << 10    // larger buffers are given back
)

var (
	errTooLong = errors.New("the frame is too long")
	errFull    = errors.New("the peer does not read")
)

// outbox joins the frames of many goroutines into few writes: while one of them writes, the
// others only append.
type outbox struct {
	w     io.Writer
	block bool // wait at the high-water mark instead of failing

	mu      sync.Mutex
	room    sync.Cond
	buf     []byte
	spare   []byte
	writing bool
	err     error // of the first failed write, or of close
}

func newOutbox(w io.Writer, block bool) *outbox {
	o := &outbox{w: w, block: block}
	o.room.L = &o.mu
	return o
}

// add appends the one frame that build appends. A frame that is too long, or whose build
// fails, is not added.
func (o *outbox) add(build func(dst []byte) ([]byte, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && len(o.buf) >= highWater {
		if !o.block {
			return errFull
		}
		o.room.Wait()
	}
	if o.err != nil {
		return o.err
	}
	start := len(o.buf)
	b, err := build(o.buf)
	if err == nil && !endFrame(b, start) {
		err = errTooLong
	}
	if err != nil {
		return err
	}
	o.buf = b
	return nil
}

// flush writes what waits, unless somebody is writing already, who will then write it too.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing {
		return o.err
	}
	o.writing = true
	for len(o.buf) > 0 && o.err == nil {
		b := o.buf
		o.buf, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		_, err := o.w.Write(b)
		o.mu.Lock()
		if o.err == nil {
			o.err = err
		}
		if cap(b) <= keepBuffer {
			o.spare = b
		}
		o.room.Broadcast()
	}
	o.writing = false
	return o.err
}

// fail makes every later call answer err and wakes those that wait.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.buf = nil
	o.room.Broadcast()
}
