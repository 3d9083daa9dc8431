package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
	"github.com/slipway-ml/slipway/internal/runtime/python"
)

// stuckWorker is how long after its deadline a worker may still need.
const stuckWorker = 5 * time.Second

// startPython loads the model in its workers.
func startPython(ctx context.Context, cfg Config, log *slog.Logger) (*loaded, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, &exitError{ExitModel, err}
	}
	m, err := mlmodel.Read(root.FS())
	root.Close()
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	cores := max(1, (cfg.MilliCPU+999)/1000)
	pool, err := python.Start(ctx, python.Options{
		Python: cfg.Runtime.Python, Packages: cfg.Packages, Dir: cfg.Dir, Model: m, Env: append(inherited(), cfg.Environment...), Workers: cfg.Runtime.Workers, Threads: cores / cfg.Runtime.Workers,
		MaxRows: cfg.Runtime.MaxRows, Network: cfg.Runtime.Network, StartTimeout: cfg.StartTimeout, Stuck: stuckWorker,
		Connect: func(ctx context.Context, conn net.Conn) (python.Conn, error) { return Connect(ctx, conn) },
		Output: func(stream string) python.Output {
			return logfile.NewLines(log.With("stream", stream))
		},
		Log: log.With("stream", "runtime"),
	})
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
	}
	failed := make(chan error, 1)
	ended, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case err := <-pool.Failed():
			failed <- &exitError{ExitChild, err}
		case <-ended.Done():
		}
	}()
	return &loaded{predictor: pool, failed: failed, groups: pool.Groups, stop: func() {
		stop()
		pool.Stop()
	}}, nil
}
