// Command platform-onnx is a replica of an ONNX model: the runtime of the platform, in a
// program that can open the library of ONNX Runtime. The platform starts it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/onnx"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/ort"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
)

// version is set by the build.
var version = "dev"

// stacks is room for what is written to in part alone: stacks of threads, and what Go keeps for itself.
const stacks = 512 << 20

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) > 1 && args[0] == "runtime":
		return runtime.Main(args[1:], os.Stderr, load)
	case len(args) == 1 && args[0] == "version":
		return about()
	default:
		fmt.Fprintln(os.Stderr, "platform-onnx is started by platform, for models of ONNX; by hand only: platform-onnx version")
		return 2
	}
}

// open opens the library that this program finds.
func open() (*ort.Library, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file, err := find.Library(exe, os.Getenv)
	if err != nil {
		return nil, err
	}
	return ort.Open(file)
}

func load(_ context.Context, cfg runtime.Config, log *slog.Logger) (standalone.Predictor, func(), error) {
	if cfg.MemoryBytes > 0 {
		// A graph may ask for any amount at once, while it is loaded too: that fails, and is told.
		size := uint64(cfg.MemoryBytes + stacks)
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: size, Max: size}); err != nil {
			return nil, nil, err
		}
	}
	l, err := open()
	if err != nil {
		return nil, nil, err
	}
	threads := goruntime.GOMAXPROCS(0) // which the replica's limit has set
	m, err := onnx.Open(l, cfg.Dir, threads)
	if err != nil {
		return nil, nil, err
	}
	log.Info("loaded by ONNX Runtime", "version", l.Version, "threads", threads)
	return m, m.Close, nil
}

// about prints what this program is, and whether it can work: for platform doctor.
func about() int {
	out := struct {
		Version string `json:"version"`
		Library string `json:"onnxruntime,omitempty"` // its version
		Problem string `json:"problem,omitempty"`
	}{Version: version}
	if l, err := open(); err != nil {
		out.Problem = err.Error()
	} else {
		out.Library = l.Version
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}
