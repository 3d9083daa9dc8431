package handover

import (
	"context"
	"net"
	"os"
	"time"
)

// hello bounds the wait for a peer's first message, and for any write to it.
const hello = 5 * time.Second

// Giver answers on the hand-over socket of the process that serves now.
type Giver struct {
	Listener *Listener
	// Freeze makes the state final and durable, for the new process to read: from here on
	// nothing of it changes. Thaw undoes that when the new process gave up.
	Freeze func(ctx context.Context) error
	Thaw   func()
	// Left is called when the new process accepts, and this one does not any more.
	Left func()
	// Ready bounds the time from Freeze until the new process serves, Drain the time for
	// the requests in flight after that.
	Ready, Drain time.Duration
}

// Serve answers until a new process has taken over, and says how many connections it
// got. The listener is closed by then; connections on which a request still runs are left
// to the caller. When ctx ends first, or the socket fails, that is the error.
func (g *Giver) Serve(ctx context.Context, socket *net.UnixListener) (passedOn int, err error) {
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	for {
		peer, err := socket.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return 0, err
		}
		done, n := g.answer(ctx, peer)
		peer.Close()
		if done {
			return n, nil
		}
	}
}

// answer talks to one peer; done says that it has taken over.
func (g *Giver) answer(ctx context.Context, peer *net.UnixConn) (done bool, n int) {
	_ = peer.SetDeadline(time.Now().Add(hello))
	if sameUser(peer) != nil {
		return false, 0
	}
	kind, _, file, err := receive(peer)
	if file != nil {
		file.Close()
	}
	switch {
	case err != nil:
	case kind == kindDuplicate:
		_ = g.sendListener(peer) // the peer sees that none came
	case kind == kindTake:
		return g.handOver(ctx, peer)
	}
	return false, 0
}

func (g *Giver) sendListener(peer *net.UnixConn) error {
	f, err := g.Listener.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return send(peer, kindListener, nil, f)
}

func (g *Giver) handOver(ctx context.Context, peer *net.UnixConn) (done bool, n int) {
	ctx, cancel := context.WithTimeout(ctx, g.Ready)
	defer cancel()
	_ = peer.SetDeadline(time.Now().Add(g.Ready))
	defer context.AfterFunc(ctx, func() { _ = peer.SetReadDeadline(past()) })()
	if err := g.Freeze(ctx); err != nil {
		g.Thaw()
		return false, 0
	}
	if err := g.sendListener(peer); err != nil {
		g.Thaw()
		return false, 0
	}
	kind, _, file, err := receive(peer)
	if file != nil {
		file.Close()
	}
	if err != nil || kind != kindReady {
		g.Thaw()
		return false, 0
	}
	return true, g.pass(peer)
}

// pass gives the connections away until none is left or the time for draining is over.
func (g *Giver) pass(peer *net.UnixConn) int {
	_ = peer.SetDeadline(time.Now().Add(g.Drain + hello))
	h := &heir{peer: peer}
	limit := time.NewTimer(g.Drain)
	defer limit.Stop()
	gone := g.Listener.passTo(h)
	g.Left()
	select {
	case <-gone:
	case <-limit.C:
	}
	_ = send(peer, kindEnd, nil, nil) // the end of the connection says the same
	return h.count()
}

// Duplicate asks the process behind the socket for its listening socket. Whoever keeps it
// open keeps clients waiting instead of refused while nobody accepts.
func Duplicate(path string) (*os.File, error) {
	peer, err := dial(path)
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	_ = peer.SetDeadline(time.Now().Add(hello))
	if err := send(peer, kindDuplicate, nil, nil); err != nil {
		return nil, err
	}
	return receiveListener(peer)
}
