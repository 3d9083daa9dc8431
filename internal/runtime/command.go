package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/child"
	"github.com/slipway-ml/slipway/internal/runtime/listening"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
	"github.com/slipway-ml/slipway/internal/runtime/remote"
)

// probeEvery is the pace at which a starting custom server is asked whether it is ready.
const probeEvery = 50 * time.Millisecond

// startCommand starts a custom server and waits until it is ready. It runs in the model's
// directory, without a shell, with an environment that holds nothing of ours but PATH, HOME
// and LANG. It must serve, on the socket or on the port of 127.0.0.1 that its arguments
// name,
//
//	GET  /v2/health/ready          200 when it can answer, or at the path that is declared
//	POST /v2/models/{model}/infer  the Open Inference Protocol, version 2, as JSON
//
// In its arguments {socket} is the path of the Unix socket, {port} the number of the port
// and {model} the model's name; SLIPWAY_SOCKET, SLIPWAY_PORT, SLIPWAY_MODEL,
// SLIPWAY_MODEL_DIR, SLIPWAY_REVISION and SLIPWAY_REPLICA say the same and more.
func startCommand(ctx context.Context, cfg Config, log *slog.Logger) (*loaded, error) {
	at, err := placeFor(cfg)
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("a place for the custom server to listen: %w", err)}
	}
	argv := at.argv(cfg)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = cfg.Dir
	cmd.Env = at.env(cfg)
	out := logfile.NewLines(log.With("stream", "stdout"))
	errs := logfile.NewLines(log.With("stream", "stderr"))
	cmd.Stdout, cmd.Stderr = out, errs
	c, err := child.Start(cmd)
	if err != nil {
		return nil, &exitError{ExitModel, fmt.Errorf("the custom server cannot be started: %w", err)}
	}
	failed := make(chan error, 1)
	go func() {
		<-c.Ended
		out.Flush()
		errs.Flush()
		failed <- &exitError{ExitChild, fmt.Errorf("the custom server ended: %s; its last lines are above", c.State())}
	}()
	server := newServer(cfg, remote.Options{Base: "http://custom-server", What: "the custom server", Conns: commandWorkers, Dial: at.dial}, cfg.Model)
	m := &loaded{predictor: server, failed: failed, through: func(ctx context.Context) (net.Conn, error) { return at.dial(ctx, "", "") }, groups: func() []int { return []int{c.PID} }, stop: func() {
		c.Stop()
		server.Close()
		_ = os.Remove(at.socket) // absent for a port
	}}
	err = awaitReady(ctx, cfg.StartTimeout, server, failed)
	if err == nil {
		err = at.private()
	}
	if err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

// server answers predictions over HTTP.
type server interface {
	predictor
	Close()
}

// newServer asks a server in the protocol that it speaks.
func newServer(cfg Config, o remote.Options, model string) server {
	o.Health = cfg.Runtime.Health
	if cfg.Runtime.Protocol == route.ProtocolHTTP {
		return remote.NewHTTP(o)
	}
	return remote.NewOpenInference(o, model)
}

// awaitReady asks a server until it is ready, has ended, or the time is over.
func awaitReady(ctx context.Context, limit time.Duration, server predictor, failed <-chan error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	last := errors.New("it was never asked")
	for {
		select {
		case <-tick.C:
			if err := server.Ready(limited); err == nil {
				return nil
			} else if errors.Is(err, &slipway.Error{Code: slipway.CodeForbiddenTo}) { // it will be tomorrow, too
				return &exitError{ExitChild, err}
			} else if limited.Err() == nil {
				last = err
			}
		case err := <-failed:
			return err
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &exitError{ExitChild, fmt.Errorf("not ready within %v: %w", limit, last)}
		}
	}
}

// place is where a custom server listens. It is asked on the socket if it knows it.
type place struct {
	socket   string
	port     string
	bySocket bool
}

// placeFor chooses a socket beside ours and, if the arguments want one, a port that is free
// now. Another process may take the port before the server does; it then fails to start
// and is started again with another one.
func placeFor(cfg Config) (place, error) {
	all := strings.Join(cfg.Runtime.Command, " ")
	p := place{socket: cfg.Socket + ".m", bySocket: strings.Contains(all, "{socket}")}
	if err := os.Remove(p.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return place{}, err
	}
	if strings.Contains(all, "{port}") {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return place{}, err
		}
		p.port = strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
		ln.Close()
	}
	return p, nil
}

// private refuses a server that others on the network can ask, past all that guards it.
func (p place) private() error {
	if p.port == "" {
		return nil
	}
	n, err := strconv.ParseUint(p.port, 10, 16)
	if err != nil {
		return err
	}
	at, exposed, err := listening.Exposed(uint16(n))
	if exposed {
		err = &exitError{ExitChild, fmt.Errorf("the custom server listens on %s, where everybody on the network can ask it: let it listen on 127.0.0.1, or on {socket}", at)}
	}
	return err
}

func (p place) argv(cfg Config) []string {
	r := strings.NewReplacer("{socket}", p.socket, "{port}", p.port, "{model}", cfg.Model)
	argv := make([]string, len(cfg.Runtime.Command))
	for i, a := range cfg.Runtime.Command {
		argv[i] = r.Replace(a)
	}
	return argv
}

func (p place) env(cfg Config) []string {
	env := []string{
		"SLIPWAY_SOCKET=" + p.socket, "SLIPWAY_PORT=" + p.port,
		"SLIPWAY_MODEL=" + cfg.Model, "SLIPWAY_MODEL_DIR=" + filepath.Clean(cfg.Dir),
		"SLIPWAY_REVISION=" + cfg.Revision, "SLIPWAY_REPLICA=" + cfg.Replica,
	}
	return append(append(env, inherited()...), cfg.Environment...)
}

// inherited is what the processes of a model get of our environment.
func inherited() (env []string) {
	for _, key := range []string{"PATH", "HOME", "LANG", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}

func (p place) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.bySocket {
		return new(net.Dialer).DialContext(ctx, "unix", p.socket)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+p.port)
}
