package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The kinds of message.
const (
	kindTake      = 'T'
	kindDuplicate = 'D'
	kindListener  = 'L'
	kindReady     = 'R'
	kindConn      = 'C'
	kindEnd       = 'E'
)

const maxContent = 64

var errProtocol = errors.New("unexpected message on the hand-over socket")

// Listen makes the socket of the protocol for this user alone. A socket of a process that
// is no more, or that has handed over, is replaced in one step; nothing unlinks the new
// one but its successor.
func Listen(path string) (*net.UnixListener, error) {
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(draft)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: draft, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(draft, 0o600), os.Rename(draft, path)); err != nil {
		l.Close()
		os.Remove(draft)
		return nil, err
	}
	return l, nil
}

func dial(path string) (*net.UnixConn, error) {
	return net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
}

// sameUser refuses a peer that runs as somebody else: it would get the clients'
// connections.
func sameUser(peer *net.UnixConn) error {
	raw, err := peer.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("the peer runs as user %d", cred.Uid)
	}
	return nil
}

// send writes one message, with a duplicate of a file descriptor if there is one.
func send(peer *net.UnixConn, kind byte, content []byte, file syscall.Conn) error {
	message := append([]byte{kind}, content...)
	if file == nil {
		_, err := peer.Write(message)
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		_, _, failed = peer.WriteMsgUnix(message, unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return err
	}
	return failed
}

// receive reads one message; file is nil if none came with it.
func receive(peer *net.UnixConn) (kind byte, content []byte, file *os.File, err error) {
	message, rights := make([]byte, 1+maxContent), make([]byte, unix.CmsgSpace(4))
	n, nr, _, _, err := peer.ReadMsgUnix(message, rights)
	if err != nil {
		return 0, nil, nil, err
	}
	if file, err = descriptor(rights[:nr]); err != nil {
		return 0, nil, nil, err
	}
	if n == 0 {
		if file != nil {
			file.Close()
		}
		return 0, nil, nil, net.ErrClosed
	}
	return message[0], message[1:n], file, nil
}

func descriptor(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errProtocol
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errProtocol
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "handed over"), nil
}

// heir is the process that gets the connections.
type heir struct {
	mu    sync.Mutex
	peer  *net.UnixConn
	given int
}

// give passes a connection on; the caller closes its own end.
func (h *heir) give(c net.Conn, unread []byte) error {
	file, ok := c.(syscall.Conn)
	if !ok || len(unread) > maxContent {
		return errors.New("the connection cannot be passed on")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := send(h.peer, kindConn, unread, file); err != nil {
		return err
	}
	h.given++
	return nil
}

func (h *heir) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}
