package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/child"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
)

// Loader loads an ONNX model into this process, and gives what frees it.
type Loader func(ctx context.Context, cfg Config, log *slog.Logger) (standalone.Predictor, func(), error)

// platformONNX finds the program that can open the library of ONNX Runtime.
func platformONNX() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return find.Program(exe)
}

// become makes this process platform-onnx, with the same arguments, descriptors and id. It
// returns only if that fails.
func become(args []string) error {
	program, err := platformONNX()
	if err == nil {
		err = syscall.Exec(program, append([]string{program, "runtime"}, args...), os.Environ())
	}
	return noONNX(err)
}

func noONNX(err error) error {
	var e *slipway.Error
	if errors.As(err, &e) {
		err = fmt.Errorf("%s: %s", e.Message, e.Next)
	}
	return &exitError{ExitModel, fmt.Errorf("the model cannot be loaded: %w", err)}
}

// loadONNX loads the model here if this program can, else it starts a replica that can.
func loadONNX(ctx context.Context, cfg Config, log *slog.Logger) (*loaded, error) {
	if cfg.ONNX == nil {
		return startONNX(ctx, cfg)
	}
	p, stop, err := cfg.ONNX(ctx, cfg, log.With("stream", "runtime"))
	if err != nil {
		return nil, noONNX(err)
	}
	return &loaded{predictor: p, stop: stop}, nil
}

// startONNX runs a replica of our own, for a process that serves a model without a
// supervisor.
func startONNX(ctx context.Context, cfg Config) (*loaded, error) {
	program, err := platformONNX()
	if err != nil {
		return nil, noONNX(err)
	}
	dir, err := os.MkdirTemp("", "slipway-onnx-")
	if err != nil {
		return nil, err
	}
	cfg.Socket, cfg.Log = filepath.Join(dir, "socket"), filepath.Join(dir, "log")
	file := filepath.Join(dir, "config")
	text, err := json.Marshal(cfg)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	var c *child.Process
	if err == nil {
		c, err = child.Start(exec.Command(program, "runtime", "--config", file))
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, noONNX(err)
	}
	client, err := awaitReplica(ctx, cfg, c)
	if err != nil {
		c.Stop()
		_ = os.RemoveAll(dir)
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		<-c.Ended
		failed <- whyEnded(cfg, c)
	}()
	return &loaded{predictor: Worker{client}, failed: failed, groups: func() []int { return []int{c.PID} }, stop: func() {
		client.Close()
		c.Stop()
		_ = os.RemoveAll(dir)
	}}, nil
}

// awaitReplica connects to a replica that starts.
func awaitReplica(ctx context.Context, cfg Config, c *child.Process) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.StartTimeout)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		if client, err := Dial(ctx, cfg.Socket); err == nil {
			return client, nil
		}
		select {
		case <-tick.C:
		case <-c.Ended:
			return nil, whyEnded(cfg, c)
		case <-ctx.Done():
			return nil, &exitError{ExitChild, fmt.Errorf("the model is not ready within %v", cfg.StartTimeout)}
		}
	}
}

// whyEnded says why a replica ended: what it logged last, else how.
func whyEnded(cfg Config, c *child.Process) error {
	why := c.State()
	if b, err := os.ReadFile(cfg.Log); err == nil {
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		var record struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal([]byte(lines[len(lines)-1]), &record) == nil && record.Msg != "" {
			why = record.Msg
		} else if last := lines[max(0, len(lines)-3):]; last[0] != "" {
			why += ": " + slipway.OneLine(strings.Join(last, " | "), maxErrorText)
		}
	}
	return &exitError{ExitChild, errors.New(why)}
}
