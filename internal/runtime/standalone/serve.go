package standalone

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/express"
)

// Limits of connections. A client that has been idle for long closes first, so that no
// request crosses our close on its way.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second // of a whole request
	writeTimeout  = 30 * time.Second // beyond the deadline
	idleTimeout   = 5 * time.Minute
	maxHeader     = 32 << 10
	drainTimeout  = 10 * time.Second
)

// Listen opens the address, host:port, that Run is to serve. It answers Invalid for one
// that cannot be listened on.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &slipway.Error{Code: slipway.CodeListen, Kind: slipway.Invalid, Message: "cannot listen on " + address,
			Next: "choose another address", Cause: err}
	}
	return l, nil
}

// Run serves until ctx ends. Then it says that it is not ready, takes requests for Linger,
// takes no more, and returns nil when all are answered or 10 s are over. It answers an
// error when the listener fails.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := express.New(&http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: readTimeout + s.limits.Deadline + writeTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}, predicts, time.Now)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	broken := func(err error) error {
		return &slipway.Error{Code: slipway.CodeListen, Kind: slipway.Internal, Message: "the server cannot serve on", Next: "see the log", Cause: err}
	}
	select {
	case err := <-failed:
		return broken(err)
	case <-ctx.Done():
		s.stopping.Store(true)
	}
	select {
	case err := <-failed:
		return broken(err)
	case <-time.After(s.limits.Linger):
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return broken(err)
	}
	return nil
}

// predicts tells whether a POST to a path asks for a prediction.
func predicts(path string) bool {
	return path == "/invocations" || strings.HasSuffix(path, "/infer")
}
