package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Variables by which an image tells the program in it what to serve, beside those of
// package oci.
const (
	EnvModel   = "SLIPWAY_MODEL"
	EnvVersion = "SLIPWAY_VERSION"
	EnvKind    = "SLIPWAY_RUNTIME"
	envDir     = "SLIPWAY_MODEL_DIR"
	envSpec    = "SLIPWAY_SPEC"
	envListen  = "SLIPWAY_LISTEN"
	envLinger  = "SLIPWAY_LINGER" // seconds
)

// ServeImage is the subcommand "runtime serve", the entry point of an image: it serves the
// model that the environment names over HTTP, at :8080 unless SLIPWAY_LISTEN says otherwise,
// until SIGTERM, and gives the exit code. It logs to out. Getenv is os.Getenv.
func ServeImage(release string, getenv func(string) string, out io.Writer) int {
	log := slog.New(slog.NewJSONHandler(out, nil))
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	err := serveImage(ctx, release, getenv, log)
	if err == nil {
		return ExitOK
	}
	log.Error(err.Error())
	return codeOf(err, ExitFailed)
}

func serveImage(ctx context.Context, release string, getenv func(string) string, log *slog.Logger) error {
	cfg, declared, err := imageConfig(getenv)
	if err != nil {
		return &exitError{ExitConfig, err}
	}
	limit(cfg)
	schema, err := schemaOf(cfg)
	if err != nil {
		return &exitError{ExitModel, err}
	}
	if wrong := schema.Declare(declared); len(wrong) > 0 {
		return &exitError{ExitModel, wrong[0]}
	}
	m, err := load(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer m.stop()
	address := getenv(envListen)
	if address == "" {
		address = ":8080"
	}
	ln, err := standalone.Listen(address)
	if err != nil {
		return err
	}
	linger, _ := strconv.Atoi(getenv(envLinger)) // 0 if it says nothing
	server := standalone.New(standalone.Model{Name: cfg.Model, Version: getenv(EnvVersion), Platform: "slipway_" + cfg.Runtime.Kind, Schema: schema, Predictor: m},
		standalone.Limits{Linger: time.Duration(linger) * time.Second}, release, strconv.FormatUint(uint64(rand.Uint32()), 36), log)
	log.Info("ready", "model", cfg.Model, "kind", cfg.Runtime.Kind, "address", ln.Addr().String())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-m.failed:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err := server.Run(ctx, ln); err != nil {
		return err
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// imageConfig makes a replica's configuration of the environment, and tells what is declared
// of its inputs.
func imageConfig(getenv func(string) string) (Config, tensor.Declared, error) {
	text, err := os.ReadFile(getenv(envSpec))
	if err != nil {
		return Config{}, tensor.Declared{}, fmt.Errorf("%s names no readable file: %w", envSpec, err)
	}
	s, err := spec.ReadRecord(text)
	if err != nil {
		return Config{}, tensor.Declared{}, err
	}
	socket := filepath.Join(os.TempDir(), "slipway-"+strconv.Itoa(os.Getpid())+".sock")
	c := Config{Socket: socket, Dir: getenv(envDir), Model: getenv(EnvModel), Revision: getenv(EnvVersion), Replica: "image", Log: os.DevNull,
		MilliCPU: s.Resources.MilliCPU, StartTimeout: defaultStartTimeout,
		Runtime: route.Runtime{Kind: getenv(EnvKind), Command: s.Model.Command, Workers: s.Model.Workers, MaxRows: s.Model.Batching.MaxRows, Network: true}}
	if c.Runtime.Kind == route.RuntimePython {
		if c.Runtime.Python, err = exec.LookPath("python3"); err != nil {
			return Config{}, tensor.Declared{}, errors.New("the image has no python3: build it on a base that has")
		}
		c.Packages = getenv("PYTHONPATH")
	}
	return c, s.Inputs, c.check()
}

// schemaOf reads what the model takes and gives.
func schemaOf(cfg Config) (tensor.Schema, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return tensor.Schema{}, err
	}
	defer root.Close()
	if cfg.Runtime.Kind == route.RuntimeONNX {
		m, err := mlmodel.OpenONNX(root.FS())
		if err != nil {
			return tensor.Schema{}, err
		}
		return m.Schema(nil)
	}
	if cfg.Runtime.Kind != route.RuntimeTree {
		m, err := mlmodel.Read(root.FS())
		if err != nil {
			return tensor.Schema{}, err
		}
		return m.Schema(nil)
	}
	m, p, err := mlmodel.OpenTree(root.FS())
	if err != nil {
		return tensor.Schema{}, err
	}
	return m.Schema(p)
}
