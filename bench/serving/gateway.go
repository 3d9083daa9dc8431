package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
)

// scene is a platform that serves the tree model of the tests, and beside it what proxies
// stand before: the same runtime's HTTP port on a Unix socket.
type scene struct {
	*rig.Site
	runtime *process // socket: addr
	nginx   *process
	closers []func() error
}

func (b *bench) scene(ctx context.Context) (_ *scene, err error) {
	s := &scene{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.Site, err = rig.Up(ctx, b.exe); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.Site.Close)
	dir, err := s.Project(b.repo, rig.Project{Rollout: rig.Immediate, Note: "1"})
	if err != nil {
		return nil, err
	}
	if d, _, err := s.Deploy(ctx, dir); err != nil || d.Status != "succeeded" {
		return nil, fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	socket := filepath.Join(s.Dir, "http.sock")
	if s.runtime, err = self(ctx, "runtime", socket, filepath.Join(dir, "model")); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.runtime.stop)
	if s.nginx, err = startNginx(ctx, s.Dir, socket); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.nginx.stop)
	return s, nil
}

func (s *scene) close() (err error) {
	for i := range s.closers {
		err = errors.Join(err, s.closers[len(s.closers)-1-i]())
	}
	return err
}

// processes are those of the platform: gateway, runtime, and the server that has little to do.
func (s *scene) processes() []int {
	pids, err := figure.Processes(s.Exe, s.Home)
	if err != nil {
		return nil
	}
	return pids
}

// behind are nginx's workers and the runtime behind.
func (s *scene) behind() []int { return append(children(s.nginx.pid()), s.runtime.pid()) }

// gateway compares single-row predictions through the gateway with nginx before the same
// runtime, and with a bare reverse proxy before a backend that does nothing.
func (b *bench) gateway(ctx context.Context) (err error) {
	s, err := b.scene(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	backend, err := self(ctx, "backend", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.stop()) }()
	proxy, err := self(ctx, "proxy", backend.addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.stop()) }()
	best, _, err := b.best(ctx,
		side{"gateway", s.Addr(), rig.Request(s.Addr(), s.Token, rig.Row()), s.processes},
		side{"nginx", s.nginx.addr, rig.Request(s.nginx.addr, "x", rig.Row()), s.behind},
		side{"reverse proxy", proxy.addr, rig.Request(proxy.addr, "x", rig.Row()), nil})
	if err != nil {
		return err
	}
	b.Print(b.Beside("gateway_vs_nginx", best[0].rate, best[1].rate, .9), b.Beside("gateway_vs_netproxy", best[0].rate, best[2].rate, 2.5),
		b.AtMost("gateway_cpu_us_per_request", best[0].cpu, 30))
	figure.Note("nginx and the runtime behind it: %.1f µs a request", best[1].cpu)
	return nil
}

// process is one that the bench has started.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop() error {
	if p.cmd.ProcessState != nil { // it has ended
		return nil
	}
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	done := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer done.Stop()
	_ = p.cmd.Wait() // killed
	return nil
}

// children are the processes that one has started.
func children(pid int) (out []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for _, f := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// self starts a process of this program and reads its address.
func self(ctx context.Context, role, addr string, args ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, exe, append([]string{"-role", role, "-addr", addr}, args...)...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(out, &p.addr); err != nil {
		return nil, errors.Join(fmt.Errorf("the %s did not start: %w", role, err), p.stop())
	}
	return p, nil
}

// peer is what such a process does: it serves a model as an image does, answers at once, or
// is a bare reverse proxy.
func (b *bench) peer(ctx context.Context, role, addr string) error {
	if role == "runtime" {
		return serveModel(ctx, addr, os.Args[len(os.Args)-1])
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(b.W, ln.Addr())
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"model_name":"bench","outputs":[{"name":"predict","shape":[1],"datatype":"FP32","data":[0.5]}]}`)
	})
	if role == "proxy" {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
		p.Transport = &http.Transport{MaxIdleConnsPerHost: 128}
		h = p
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveModel serves a model of trees at a Unix socket.
func serveModel(ctx context.Context, socket, dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	m, p, err := mlmodel.OpenTree(os.DirFS(dir))
	if err != nil {
		return err
	}
	schema, err := m.Schema(p)
	if err != nil {
		return err
	}
	loaded, _, stop, err := runtime.Load(ctx, runtime.Config{Socket: socket + ".frames", Dir: dir, Model: "bench", Revision: "1", Replica: "bench", Log: os.DevNull,
		Runtime: route.Runtime{Kind: route.RuntimeTree}}, log)
	if err != nil {
		return err
	}
	defer stop()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, socket)
	return standalone.New(standalone.Model{Name: "bench", Version: "1", Platform: "slipway_tree", Schema: schema, Predictor: loaded}, standalone.Limits{}, "bench", "b", log).Run(ctx, ln)
}

// startNginx starts nginx before a Unix socket, with kept connections on both sides.
func startNginx(ctx context.Context, dir, socket string) (*process, error) {
	exe, err := exec.LookPath("nginx")
	if err != nil {
		if exe, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return nil, errors.New("nginx is not installed: make bench-serving installs it on Debian, as root")
		}
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	addr, user := "127.0.0.1:"+ports[0], ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // whose the socket is
	}
	config := user + `daemon off; worker_processes auto; pid nginx.pid; error_log nginx.log;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000;
	client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
	upstream model { server unix:` + socket + `; keepalive 128; keepalive_requests 1000000000; }
	server { listen ` + addr + `; location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
`
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var said bytes.Buffer
	p := &process{cmd: exec.CommandContext(ctx, exe, "-p", dir, "-e", "nginx.log", "-c", path), addr: addr}
	p.cmd.Stderr = &said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return p, c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("nginx did not start: %s", &said), p.stop())
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // all at once, so that they differ
		ports = append(ports, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
