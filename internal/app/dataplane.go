package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/gateway/handover"
	"github.com/slipway-ml/slipway/internal/gateway/secrets"
	"github.com/slipway-ml/slipway/internal/process"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
	"github.com/slipway-ml/slipway/internal/tlsfile"
)

// GatewayOptions are what a gateway process is started with; everything else comes in the
// route table.
type GatewayOptions struct {
	Config   config.Config
	ListenFD int  // an inherited listening socket, 0 for none
	Take     bool // take over from the gateway that serves this home
	Version  string
	Exe      string
}

// gatewayName names the gateway of this machine in records.
const gatewayName = "local"

const cgroups = "/sys/fs/cgroup"

// RunGateway is the gateway process. It serves until it is told to stop or a new gateway
// has taken over; its replicas outlive it unless it is told to stop them too.
func RunGateway(ctx context.Context, o GatewayOptions) error {
	c := o.Config
	runDir, err := c.RunDir()
	if err != nil {
		return homeError(err)
	}
	out, err := logfile.Open(filepath.Join(c.Logs(), "gateway.log"), logfile.Stdio)
	if err != nil {
		return homeError(err)
	}
	defer out.Close()
	log := slog.New(slog.NewJSONHandler(out, nil)).With("process", "gateway", "pid", os.Getpid())
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := serveGateway(ctx, o, runDir, log); err != nil && !errors.Is(err, gateway.ErrHandedOver) {
		log.Error("the gateway ended", "error", err.Error(), "cause", errors.Unwrap(err))
		return err
	}
	log.Info("the gateway ended")
	return nil
}

func serveGateway(ctx context.Context, o GatewayOptions, runDir string, log *slog.Logger) error {
	c := o.Config
	front := gateway.Front{AdminPath: socketPath(runDir, adminSocket), HandoverPath: socketPath(runDir, handoverSocket)}
	var err error
	if c.TLSCert != "" {
		pair, err := tlsfile.Open(c.TLSCert, c.TLSKey, time.Now, log)
		if err != nil {
			return err
		}
		front.TLS = pair.Config()
		go pair.Watch(ctx)
	}
	if front.Socket, front.Heir, err = publicSocket(ctx, o, front.HandoverPath); err != nil {
		return err
	}
	reach, err := c.Reach()
	if err != nil {
		return err
	}
	held := secrets.New()
	sup, err := process.New(ctx, process.Options{Dir: c.Gateway(), RunDir: runDir, Command: runtimeCommand(o.Exe, reach),
		Env: replicaEnv(os.Environ()), Secrets: held.Env, Dial: dialReplica, Log: log, Now: time.Now, Rand: rand.IntN, Cgroups: cgroups})
	if err != nil {
		return err
	}
	defer sup.Release()
	front.ReleaseReplicas, front.StopReplicas = sup.Release, sup.StopAll
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g, err := gateway.Open(gateway.Config{Name: gatewayName, Dir: c.Gateway(), ServerSocket: socketPath(runDir, ServerSocket),
		Replicas: sup, Secrets: held, Metrics: metrics, Log: log, Now: time.Now, Rand: random})
	if err != nil {
		return err
	}
	if err := disk.Replace(buildFile(c), []byte(build(o.Version, c)), true); err != nil {
		return homeError(err)
	}
	log.Info("serving", "address", front.Socket.Addr().String(), "version", o.Version)
	err = g.Serve(ctx, front)
	return errors.Join(err, g.Close())
}

// publicSocket is the address that clients know: an old gateway's, the one that the server
// holds, or a new one.
func publicSocket(ctx context.Context, o GatewayOptions, handoverPath string) (net.Listener, *handover.Heir, error) {
	if o.Take {
		heir, err := handover.Take(ctx, handoverPath)
		if err != nil {
			return nil, nil, fmt.Errorf("take over from the old gateway: %w", err)
		}
		return heir.Socket, heir, nil
	}
	if o.ListenFD > 0 {
		f := os.NewFile(uintptr(o.ListenFD), "listener")
		defer f.Close()
		ln, err := net.FileListener(f)
		return ln, nil, err
	}
	ln, err := net.Listen("tcp", o.Config.Listen)
	if err != nil {
		return nil, nil, listenError(o.Config.Listen, err)
	}
	return ln, nil, nil
}

func listenError(address string, err error) error {
	e := slipway.Errorf(slipway.Conflict, slipway.CodeListen, "choose another: platform up --listen 127.0.0.1:0 takes a free port", "cannot listen on %s", address)
	if errors.Is(err, unix.EADDRINUSE) {
		e.Message = address + " is taken by another program"
	}
	e.Cause = err
	return e
}

// runtimeCommand runs a replica, which may connect as far as that.
func runtimeCommand(exe string, reach config.Reach) []string {
	return []string{exe, "runtime", "--reach", reach.String()}
}

func dialReplica(ctx context.Context, socket string) (process.Conn, error) {
	return runtime.Dial(ctx, socket)
}

// replicaEnv is the environment of a model: the user's, without what is for the platform.
func replicaEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		if !slices.ContainsFunc([]string{"SLIPWAY_", "PG", "AWS_", "VAULT_"}, func(p string) bool { return strings.HasPrefix(kv, p) }) {
			out = append(out, kv)
		}
	}
	return out
}

// build tells apart two builds of one version, and settings that a gateway is started with:
// one of another build is replaced.
func build(version string, c config.Config) string {
	id := version
	if c.AllowExternal != "" {
		version += " " + c.AllowExternal
		id = version
	}
	if st, err := os.Stat("/proc/self/exe"); err == nil {
		id = fmt.Sprintf("%s %d %d", version, st.Size(), st.ModTime().UnixNano())
	}
	return id
}

func buildFile(c config.Config) string { return filepath.Join(c.Gateway(), "build") }
