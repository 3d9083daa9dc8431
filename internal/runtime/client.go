package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// helloWait bounds the exchange of hellos on either side.
const helloWait = 5 * time.Second

var (
	errClosed  = errors.New("the connection was closed")
	errVersion = errors.New("another version of the frame protocol")
)

// Client is one connection to a replica, safe for any number of goroutines. It does not
// connect again: once the connection is lost every call fails at once with CodeNoReplica,
// and whoever owns the client dials a new one.
type Client struct {
	conn net.Conn
	peer int // version of the protocol that is spoken
	out  *outbox
	wake chan struct{} // holds a token when the writer has something to do
	done chan struct{} // closed once the connection is lost
	wg   sync.WaitGroup
	pool sync.Pool // of *call

	mu      sync.Mutex
	pending map[uint64]*call
	last    uint64
	err     error // why the connection was lost
}

// call is one request in flight. Whoever removes it from pending owns it.
type call struct {
	done chan struct{} // gets one token with the answer
	raw  bool          // the answer is no batch
	out  *tensor.Batch
	body []byte // of a raw answer
	err  error
}

// question is what a client asks.
type question struct {
	kind     kind
	revision string // of predict and load
	batch    *tensor.Batch
	body     []byte // of host
}

// Dial connects to a replica's socket and exchanges hellos. It answers Unavailable with
// CodeNoReplica when nobody listens there or the peer speaks no version that is known.
func Dial(ctx context.Context, socket string) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	for speak := version; ; speak-- {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, noReplica(err)
		}
		c, err := connect(ctx, conn, speak)
		if err == nil || !errors.Is(err, errVersion) || speak == oldest {
			return c, err
		}
	}
}

// Connect exchanges hellos with a Python worker on a connection, which it then owns. A worker
// may answer with an error instead, which Connect answers.
func Connect(ctx context.Context, conn net.Conn) (Worker, error) {
	c, err := connect(ctx, conn, withID)
	return Worker{c}, err
}

// Worker is the connection to a Python worker, which has one model.
type Worker struct{ c *Client }

// Predict is Client.Predict.
func (w Worker) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	return w.c.Predict(ctx, "", in)
}

// Ready is Client.Ready.
func (w Worker) Ready(ctx context.Context) error { return w.c.Ready(ctx) }

// Close is Client.Close.
func (w Worker) Close() error { return w.c.Close() }

func connect(ctx context.Context, conn net.Conn, speak int) (*Client, error) {
	fr := newFrameReader(conn)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := greet(conn, fr, speak)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if e := (*slipway.Error)(nil); errors.As(err, &e) {
			return nil, e
		}
		return nil, noReplica(err)
	}
	c := &Client{
		conn: conn, peer: speak, out: newOutbox(conn, false), pending: map[uint64]*call{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	c.pool.New = func() any { return &call{done: make(chan struct{}, 1)} }
	c.wg.Go(func() { c.read(fr) })
	c.wg.Go(c.write)
	return c, nil
}

// greet sends hello and waits for the host's.
func greet(conn net.Conn, fr *frameReader, speak int) error {
	if _, err := conn.Write(appendHello(nil, speak)); err != nil {
		return err
	}
	f, err := fr.next()
	if err != nil {
		return err
	}
	if f.kind == kindError {
		e, err := parseError(f.body)
		if err != nil {
			return err
		}
		return e
	}
	v, err := parseHello(f)
	if err == nil && v < speak {
		err = fmt.Errorf("%w: the replica speaks %d, not %d", errVersion, v, speak)
	}
	return err
}

// Predict sends one batch for a revision and waits for its answer. What the replica answers,
// a refusal too, comes as a *slipway.Error. The answer is late with CodeDeadline when ctx ends
// first; other requests do not notice. A lost connection is Unavailable with CodeNoReplica.
func (c *Client) Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error) {
	out, _, err := c.do(ctx, question{kind: kindPredict, revision: revision, batch: in})
	return out, err
}

// Ready asks whether the replica can answer now: its model is loaded and, if it fronts a
// custom server, that server says that it is ready. Errors are those of Predict.
func (c *Client) Ready(ctx context.Context) error {
	_, _, err := c.do(ctx, question{kind: kindReady})
	return err
}

// Host tells a pool which models it consists of, or with nil nothing, and gives the state of
// each. It returns before they are loaded. Errors are those of Predict.
func (c *Client) Host(ctx context.Context, to *route.Pool) ([]route.HostedStatus, error) {
	if c.peer < withRevision {
		return nil, noReplica(errVersion)
	}
	q := question{kind: kindHost}
	if to != nil {
		var err error
		if q.body, err = json.Marshal(to); err != nil {
			return nil, err
		}
	}
	_, body, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []route.HostedStatus
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, noReplica(err)
	}
	return out, nil
}

// Load has a pool load the model of a revision unless it is loaded. Errors are those of
// Predict.
func (c *Client) Load(ctx context.Context, revision string) error {
	if c.peer < withRevision {
		return noReplica(errVersion)
	}
	_, _, err := c.do(ctx, question{kind: kindLoad, revision: revision})
	return err
}

// Close drops the connection; requests in flight fail with CodeNoReplica. It waits for its
// goroutines and always answers nil.
func (c *Client) Close() error {
	c.lose(errClosed)
	c.wg.Wait()
	return nil
}

func (c *Client) do(ctx context.Context, q question) (*tensor.Batch, []byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, late(err)
	}
	cl := c.pool.Get().(*call)
	cl.raw = q.kind == kindHost
	id, err := c.enter(cl)
	if err == nil {
		err = c.send(ctx, id, q)
	}
	if err != nil {
		if c.take(id) == nil && id != 0 {
			<-cl.done // the reader failed it in the meantime
		}
		c.recycle(cl)
		return nil, nil, err
	}
	select {
	case <-cl.done:
	case <-ctx.Done():
		if c.take(id) != nil {
			c.recycle(cl)
			c.cancel(id)
			return nil, nil, late(ctx.Err())
		}
		<-cl.done
	}
	out, body, err := cl.out, cl.body, cl.err
	c.recycle(cl)
	return out, body, err
}

// unsent is the cause of an error of a request that was never sent.
type unsent struct{ error }

// Unsent tells that the request may be sent elsewhere: nobody has seen it.
func (unsent) Unsent() bool { return true }

// lost is the cause of an error of a request that the replica may have had.
type lost struct{ error }

// Lost tells that the connection ended before the answer came.
func (lost) Lost() bool { return true }

// enter makes a call pending under a new id, which is never 0.
func (c *Client) enter(cl *call) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, noReplica(unsent{c.err})
	}
	c.last++
	c.pending[c.last] = cl
	return c.last, nil
}

// take removes a call, or gives nil when it is no longer pending.
func (c *Client) take(id uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.pending[id]
	delete(c.pending, id)
	return cl
}

func (c *Client) recycle(cl *call) {
	cl.out, cl.body, cl.err = nil, nil, nil
	c.pool.Put(cl)
}

func (c *Client) send(ctx context.Context, id uint64, q question) error {
	if q.batch != nil && size(q.batch) > maxFrame {
		return tooLarge("the request")
	}
	deadline, limited := ctx.Deadline()
	var left time.Duration
	if limited {
		left = time.Until(deadline)
	}
	err := c.out.add(func(dst []byte) ([]byte, error) {
		dst = appendLeft(appendHeader(dst, q.kind, id), left, limited)
		if c.peer >= withID {
			dst = appendName(dst, slipway.RequestOf(ctx))
		}
		if c.peer >= withRevision && (q.kind == kindPredict || q.kind == kindLoad) {
			dst = appendName(dst, q.revision)
		}
		if q.batch == nil {
			return append(dst, q.body...), nil
		}
		return tensor.AppendBatch(dst, q.batch), nil
	})
	switch {
	case errors.Is(err, errTooLong):
		return tooLarge("the request")
	case err != nil:
		return noReplica(unsent{err})
	}
	c.poke()
	return nil
}

// size is a lower bound of the bytes that a batch takes in a frame.
func size(b *tensor.Batch) int {
	n := 0
	for i := range b.Tensors {
		n += len(b.Tensors[i].Data)
		for _, s := range b.Tensors[i].Strings {
			n += len(s)
		}
	}
	return n
}

// cancel tells the host that nobody waits. It is a courtesy, so it may be lost.
func (c *Client) cancel(id uint64) {
	err := c.out.add(func(dst []byte) ([]byte, error) { return appendHeader(dst, kindCancel, id), nil })
	if err == nil {
		c.poke()
	}
}

func (c *Client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write is the only goroutine that may wait for the peer to read, so that no caller has to.
func (c *Client) write() {
	for {
		select {
		case <-c.wake:
			if err := c.out.flush(); err != nil {
				c.lose(err)
				return
			}
		case <-c.done:
			return
		}
	}
}

func (c *Client) read(fr *frameReader) {
	for {
		f, err := fr.next()
		if err == nil {
			err = c.deliver(f)
		}
		if err != nil {
			c.lose(err)
			return
		}
	}
}

// deliver hands an answer to its call. An answer that nobody waits for is dropped; an error
// says that the connection can no longer be trusted.
func (c *Client) deliver(f frame) error {
	if f.kind != kindResult && f.kind != kindError {
		return fmt.Errorf("%w: an answer of kind %d", errProtocol, f.kind)
	}
	cl := c.take(f.id)
	if cl == nil {
		return nil
	}
	var err error
	switch {
	case f.kind == kindError:
		var e *slipway.Error
		if e, err = parseError(f.body); err == nil {
			cl.err = e
		}
	case cl.raw:
		cl.body = bytes.Clone(f.body) // it may be borrowed
	case len(f.body) > 0:
		cl.out, err = tensor.DecodeBatch(f.body)
	}
	if err != nil {
		cl.err = noReplica(lost{err})
	}
	cl.done <- struct{}{}
	return err
}

// lose ends the connection and fails what is in flight.
func (c *Client) lose(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()

	close(c.done)
	c.conn.Close()
	c.out.fail(err)
	for _, cl := range pending {
		cl.err = noReplica(lost{err})
		cl.done <- struct{}{}
	}
}
