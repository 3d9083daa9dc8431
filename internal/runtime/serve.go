package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	goruntime "runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/relay"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
)

const (
	commandWorkers = 64  // requests that a server gets at once, be it ours or not
	pythonRequests = 256 // that wait for a Python worker, or are answered by one
)

// loaded is a model that can answer. Failed gets an error when it no longer can; groups
// lists the process groups that answer for it, and is nil when there are none.
type loaded struct {
	predictor
	failed <-chan error
	groups func() []int
	stop   func()
	pool   *hostedPool // of a pool, which has no predictor
	// through connects to the server that answers; nil when there is none.
	through func(context.Context) (net.Conn, error)
}

// Serve runs one replica until ctx ends, then drains it for at most 10 s and answers nil.
// The socket exists from the moment the model can answer. Any error means that the process
// must end; Main gives its exit code.
func Serve(ctx context.Context, cfg Config, log *slog.Logger) error {
	own := log.With("stream", "runtime")
	start := time.Now()
	m, err := load(ctx, cfg, log)
	if err != nil {
		if ctx.Err() != nil { // told to stop while loading
			return nil
		}
		return err
	}
	defer m.stop()
	ln, err := listen(cfg.Socket)
	if err != nil {
		return fmt.Errorf("the replica's socket: %w", err)
	}
	defer os.Remove(cfg.Socket)
	var direct net.Listener
	if m.through != nil && len(cfg.Runtime.Proxy) > 0 {
		if direct, err = listen(cfg.Socket + route.ThroughExt); err != nil {
			return fmt.Errorf("the replica's second socket: %w", err)
		}
		defer os.Remove(cfg.Socket + route.ThroughExt)
	}
	own.Info("ready", "kind", cfg.Runtime.Kind, "took", time.Since(start).String())

	g, ctx := errgroup.WithContext(ctx)
	allowed := func() int64 { return cfg.MemoryBytes }
	if m.pool != nil {
		allowed = m.pool.memory.Load
	}
	g.Go(func() error { return watchMemory(ctx, allowed, m.groups) })
	g.Go(func() error {
		select {
		case err := <-m.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	if direct != nil {
		g.Go(func() error { return relay.Serve(ctx, direct, m.through, own) })
	}
	h := newHost(m, true, goruntime.GOMAXPROCS(0), own)
	switch cfg.Runtime.Kind {
	case route.RuntimeCommand, route.RuntimeRemote:
		h = newHost(m, false, commandWorkers, own)
	case route.RuntimePython:
		h = newHost(m, false, pythonRequests, own)
	case route.RuntimePool:
		h = newHost(nil, true, poolWorkers, own)
		h.pool = m.pool
	}
	g.Go(func() error {
		h.serve(ctx, ln, func() time.Duration {
			var e *exitError
			if errors.As(context.Cause(ctx), &e) { // nothing to wait for
				return 0
			}
			return drainGrace
		})
		return nil
	})
	return g.Wait()
}

// Load loads a model into this process, or starts what answers for it. Failed gets an error
// when it no longer can; stop ends it.
func Load(ctx context.Context, cfg Config, log *slog.Logger) (m standalone.Predictor, failed <-chan error, stop func(), err error) {
	if err := cfg.check(); err != nil {
		return nil, nil, nil, err
	}
	if cfg.Runtime.Kind == route.RuntimePool {
		return nil, nil, nil, errors.New("a pool is no model")
	}
	l, err := load(ctx, cfg, log)
	if err != nil {
		return nil, nil, nil, err
	}
	return l, l.failed, l.stop, nil
}

func load(ctx context.Context, cfg Config, log *slog.Logger) (*loaded, error) {
	switch cfg.Runtime.Kind {
	case route.RuntimeCommand:
		return startCommand(ctx, cfg, log)
	case route.RuntimePython:
		return startPython(ctx, cfg, log)
	case route.RuntimeRemote:
		return startRemote(ctx, cfg)
	case route.RuntimePool:
		p := startPool(cfg, log)
		return &loaded{pool: p, stop: p.models.Close}, nil
	case route.RuntimeONNX:
		return loadONNX(ctx, cfg, log)
	}
	p, err := loadTree(cfg)
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	return &loaded{predictor: p, stop: func() {}}, nil
}

// listen makes a socket that only its owner may use. It is renamed into place, so that
// nobody finds one that does not listen yet or is open to others; a dead one is replaced.
func listen(path string) (net.Listener, error) {
	young := path + "~"
	if err := os.Remove(young); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: young, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(young, 0o600); err == nil {
		err = os.Rename(young, path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
