package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/express"
	"github.com/slipway-ml/slipway/internal/gateway/handover"
)

// Limits of the public address. A client that has been idle for long closes first, so that
// no request crosses our close on its way.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second // of a whole request; of each piece of an upload
	writeTimeout  = time.Minute
	idleTimeout   = 5 * time.Minute
	maxHeader     = 32 << 10
	drainTimeout  = 10 * time.Second
	readyTimeout  = 30 * time.Second // for a new process that takes over

	minConnections, mostConnections = 256, 64 << 10
)

// Front is where a gateway listens.
type Front struct {
	// Socket is the public address: a listening TCP socket, inherited or an heir's.
	Socket net.Listener
	// Heir is the hand-over under way, if this process takes over from an old one. The
	// order is Take, then the supervisor of the replicas, then Open, then Serve.
	Heir *handover.Heir
	TLS  *tls.Config // with certificates; nil: plain HTTP
	// AdminPath and HandoverPath are Unix sockets in a directory of this user alone.
	AdminPath, HandoverPath string
	// ReleaseReplicas ends the supervision of replicas and leaves them running, so that a
	// new process can take them over; predictions through Replicas must go on.
	ReleaseReplicas func()
	// StopReplicas ends the replicas.
	StopReplicas func(context.Context) error
}

// ErrHandedOver says that a new process serves now, so that this one should end.
var ErrHandedOver = errors.New("handed over")

// Serve serves, judges and keeps until ctx ends or the server says stop (nil), a new
// process has taken over (ErrHandedOver) or a socket fails. On its return everything that
// was accepted is answered or was given ten seconds; the replicas run on unless it was told
// otherwise.
func (g *Gateway) Serve(ctx context.Context, f Front) error {
	if f.Heir != nil { // the old process serves until this one can
		wait, cancel := context.WithTimeout(ctx, readyTimeout/3)
		g.awaitReplicas(wait)
		cancel()
	}
	admin, err := listenUnix(f.AdminPath)
	if err != nil {
		return ioError("listen on the admin socket", err)
	}
	control, err := handover.Listen(f.HandoverPath)
	if err != nil {
		admin.Close()
		return ioError("listen on the hand-over socket", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { g.Run(run) })

	l := handover.New(f.Socket, idleTimeout, maxConnections())
	public := express.New(g.newServer(g, l.ConnState), predicts, time.Now)
	private := g.newServer(g.admin(), nil)
	private.WriteTimeout = 0 // a stop takes its time
	failed := make(chan error, 2)
	wg.Go(func() { report(failed, serveOn(public, l, f.TLS)) })
	wg.Go(func() { report(failed, private.Serve(admin)) })
	passed := make(chan struct{})
	giver := g.giver(f, l)
	wg.Go(func() {
		if n, err := giver.Serve(run, control); err == nil {
			g.c.Log.Info("handed over", "connections", n)
			close(passed)
		}
	})
	if f.Heir != nil {
		wg.Go(func() {
			n, err := f.Heir.Adopt(run, l)
			g.c.Log.Info("took over", "connections", n, "error", err)
		})
	}
	var end stopRequest
	select {
	case <-ctx.Done():
	case end = <-g.stop:
	case <-passed:
		err = ErrHandedOver
	case err = <-failed:
		err = &slipway.Error{Code: slipway.CodeListen, Kind: slipway.Internal, Message: "the gateway cannot serve on",
			Next: "see the log", Cause: err}
	}
	g.drain(public, f, end.replicas)
	if end.done != nil {
		close(end.done)
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	_ = private.Shutdown(last) // what is left is cut below
	private.Close()
	return err
}

// giver hands over to a new process. If that one fails after all, this one goes on, but
// does not supervise the replicas again: the next hand-over, or start, does.
func (g *Gateway) giver(f Front, l *handover.Listener) *handover.Giver {
	return &handover.Giver{Listener: l, Ready: readyTimeout, Drain: drainTimeout,
		Freeze: func(ctx context.Context) error {
			if err := g.Freeze(ctx); err != nil {
				return err
			}
			f.ReleaseReplicas()
			g.leaving.Store(true)
			return nil
		},
		Left: func() { g.left.Store(true) },
		Thaw: func() {
			g.leaving.Store(false)
			g.Thaw()
			g.c.Log.Error("a hand-over failed; this gateway serves on, but starts no replicas until the next one")
		}}
}

// drain ends the public address: every answer is now the last of its connection.
func (g *Gateway) drain(public *express.Server, f Front, replicas bool) {
	g.ending.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := public.Shutdown(ctx); err != nil {
		public.Close()
	}
	if !replicas {
		return
	}
	if err := f.StopReplicas(ctx); err != nil {
		g.c.Log.Error("replicas were not all stopped", "error", err)
	}
}

func (g *Gateway) newServer(h http.Handler, state func(net.Conn, http.ConnState)) *http.Server {
	return &http.Server{Handler: h, Protocols: protocols(), ConnState: state, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(g.c.Log.Handler(), slog.LevelDebug)}
}

// protocols are those of clients; HTTP/2 comes without TLS too, which is how gRPC is spoken
// where there is none (RFC 9113, 3.3).
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// serveOn serves until the listener is closed.
func serveOn(s *express.Server, l *handover.Listener, c *tls.Config) error {
	var err error
	if c != nil {
		s.TLSConfig = c
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	return err
}

// maxConnections is how many clients may be connected at once: most of the descriptors that
// this process may have, since replicas and files need some.
func maxConnections() int {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil {
		return minConnections
	}
	return int(min(max(files.Cur/4*3, minConnections), mostConnections))
}

// predicts tells whether a POST to a path asks for a prediction.
func predicts(path string) bool {
	return strings.HasPrefix(path, "/v2/models/") && strings.HasSuffix(path, "/infer") ||
		strings.HasPrefix(path, "/endpoints/") && strings.HasSuffix(path, "/invocations") && !strings.Contains(path, "/proxy/")
}

// report passes on how a server failed; that its listener was closed is no failure.
func report(failed chan<- error, err error) {
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		failed <- err
	}
}

// listenUnix makes a socket for this user alone, in place of an old process's.
func listenUnix(path string) (net.Listener, error) {
	draft := path + ".new"
	_ = os.Remove(draft)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: draft, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(draft, 0o600), os.Rename(draft, path)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
