package runtime

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Main is the subcommand "runtime --config FILE": it runs one replica until SIGTERM and
// gives the exit code. Before the log file is open mistakes go to stderr. Onnx is nil in a program that
// cannot open the library of ONNX Runtime: it becomes the one that can.
func Main(args []string, stderr io.Writer, onnx Loader) int {
	flags := flag.NewFlagSet("runtime", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "the replica's configuration `file`")
	open := flags.String("reach", "", "`networks` of servers elsewhere that are open although they are closed")
	if err := flags.Parse(args); err != nil {
		return ExitConfig
	}
	cfg, err := ReadConfig(*file)
	if err == nil {
		cfg.Reach, err = config.ParseReach(*open)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return codeOf(err, ExitConfig)
	}
	if cfg.Secrets {
		if cfg.Environment, err = readSecrets(os.NewFile(secretsFD, "secrets")); err != nil {
			fmt.Fprintln(stderr, err)
			return ExitConfig
		}
	}
	out, err := logfile.Open(cfg.Log, logfile.Stdio)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return codeOf(err, ExitConfig)
	}
	defer out.Close()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	limit(cfg)
	log := slog.New(slog.NewJSONHandler(logfile.Mask(out, cfg.Environment), nil)).With("replica", cfg.Replica)
	if cfg.Runtime.Kind != route.RuntimePool { // there each line says which one it is about
		log = log.With("revision", cfg.Revision)
	}
	own := log.With("stream", "runtime")
	cfg.ONNX = onnx
	if cfg.Runtime.Kind == route.RuntimeONNX && onnx == nil {
		err = become(args)
	} else {
		err = Serve(ctx, cfg, log)
	}
	if err == nil {
		own.Info("stopped")
		return ExitOK
	}
	code := codeOf(err, ExitFailed)
	own.Error(err.Error(), "exit_code", code)
	return code
}

// codeOf is the exit code for an error, or other if it does not say one.
func codeOf(err error, other int) int {
	if disk.Full(err) {
		return ExitDisk
	}
	if e := (*exitError)(nil); errors.As(err, &e) {
		return e.code
	}
	return other
}

// limit tells the Go runtime of the replica's limits. The collector works harder from 90 %
// of the memory on; the memory of other processes is not ours to collect.
func limit(cfg Config) {
	memory := cfg.MemoryBytes
	if cfg.Runtime.Kind != route.RuntimeTree && cfg.Runtime.Kind != route.RuntimePool {
		memory = 0
	}
	limitProcess(memory, cfg.MilliCPU)
}
