package handover

import (
	"context"
	"net"
	"os"
	"time"
)

// Heir is the new process's side of a hand-over.
type Heir struct {
	// Socket is the listening socket, a duplicate of the old process's.
	Socket net.Listener

	peer *net.UnixConn
}

// Take asks the process behind the socket to hand over. When it returns, the old process
// has frozen its state, and serves until Adopt; it takes its state back if this process
// ends or calls Close first.
func Take(ctx context.Context, path string) (*Heir, error) {
	peer, err := dial(path)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = peer.SetDeadline(past()) })()
	file, err := func() (*os.File, error) {
		if err := send(peer, kindTake, nil, nil); err != nil {
			return nil, err
		}
		return receiveListener(peer)
	}()
	if err != nil {
		peer.Close()
		return nil, err
	}
	defer file.Close()
	socket, err := net.FileListener(file)
	if err != nil {
		peer.Close()
		return nil, err
	}
	return &Heir{Socket: socket, peer: peer}, nil
}

func receiveListener(peer *net.UnixConn) (*os.File, error) {
	kind, _, file, err := receive(peer)
	if err != nil {
		return nil, err
	}
	if kind != kindListener || file == nil {
		if file != nil {
			file.Close()
		}
		return nil, errProtocol
	}
	return file, nil
}

// Close gives the hand-over up: the old process goes on.
func (h *Heir) Close() error {
	h.Socket.Close()
	return h.peer.Close()
}

// Adopt tells the old process that this one serves now, from a Listener around Socket, and
// takes its connections until it has no more or ctx ends. It says how many it got.
func (h *Heir) Adopt(ctx context.Context, l *Listener) (n int, err error) {
	defer h.peer.Close()
	_ = h.peer.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { _ = h.peer.SetDeadline(past()) })()
	if err := send(h.peer, kindReady, nil, nil); err != nil {
		return 0, err
	}
	for {
		kind, unread, file, err := receive(h.peer)
		switch {
		case err != nil:
			return n, err
		case kind == kindEnd:
			return n, nil
		case kind != kindConn || file == nil:
			return n, errProtocol
		}
		raw, err := net.FileConn(file)
		file.Close()
		if err != nil {
			continue // it ended on its way
		}
		n++
		l.adopt(raw, unread)
	}
}
