package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const sqlite, postgresql = "sqlite", "postgres"

// server is one side: where it answers and with what it is asked.
type server struct {
	url, token string
	experiment string // that the runs are in
	cmd        *exec.Cmd
	home       string // of ours
	stopped    bool
}

// ours starts a platform of its own.
func (b *bench) ours(database string) (*server, error) {
	exe, err := filepath.Abs(b.exe)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(b.dir, "home-")
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--json", "--home", home, "--listen", "127.0.0.1:0"}
	if database == postgresql {
		address, err := b.database("ours" + filepath.Base(home))
		if err != nil {
			return nil, err
		}
		args = append(args, "--database", address)
	}
	cmd := exec.Command(exe, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var ready struct{ URL string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &ready) != nil {
		_ = cmd.Wait()
		return nil, fmt.Errorf("the platform did not start: %s", stderr.String())
	}
	token, err := os.ReadFile(filepath.Join(home, "owner.token"))
	return &server{url: ready.URL, token: strings.TrimSpace(string(token)), cmd: cmd, home: home}, err
}

// peer starts `mlflow server` as its users do, with the workers that it has by default.
func (b *bench) peer(ctx context.Context, database string, runs, models int) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "mlflow-")
	if err != nil {
		return nil, err
	}
	uri := "sqlite:///" + filepath.Join(dir, "mlflow.db")
	if database == postgresql {
		address, err := b.database("peer" + filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		uri = strings.Replace(address, "postgres://", "postgresql+psycopg2://", 1)
	}
	env := append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "PATH="+filepath.Dir(b.python)+":"+os.Getenv("PATH"))
	seed := exec.CommandContext(ctx, b.python, "bench/registry/seed.py", uri, strconv.Itoa(runs), strconv.Itoa(models))
	seed.Env = env
	var stderr bytes.Buffer
	seed.Stderr = &stderr
	experiment, err := seed.Output()
	if err != nil {
		return nil, fmt.Errorf("seed.py: %w: %s", err, stderr.String())
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(b.python, "-m", "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination", filepath.Join(dir, "artifacts"), "--host", "127.0.0.1", "--port", port,
		"--uvicorn-opts", "--timeout-worker-healthcheck 120") // else a busy machine ends its workers while they start
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{url: "http://127.0.0.1:" + port, experiment: strings.TrimSpace(string(experiment)), cmd: cmd}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if s.ask(ctx, post("experiments/search", map[string]int{"max_results": 1}), nil) == nil {
			return s, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.stop()
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("mlflow server did not start: %s", text)
		}
	}
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func (s *server) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	if s.home == "" {
		_ = unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL) // its workers are in its group
	} else {
		_ = s.cmd.Process.Signal(unix.SIGINT)
	}
	_ = s.cmd.Wait()
}

// postgres is a PostgreSQL server on a Unix socket, as it is installed: it waits for its disk.
type postgres struct {
	dir  string
	cmd  *exec.Cmd
	attr *syscall.SysProcAttr
}

// database makes an empty database and gives its URL.
func (b *bench) database(name string) (string, error) {
	if b.pg == nil {
		pg, err := startPostgres(b.dir)
		if err != nil {
			return "", err
		}
		b.pg = pg
	}
	name = strings.Map(func(r rune) rune {
		if r == '-' {
			return '_'
		}
		return r
	}, name)
	out, err := b.pg.program("psql", "-h", b.pg.dir, "-U", "slipway", "postgres", "-c", "CREATE DATABASE "+name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return "postgres:///" + name + "?host=" + b.pg.dir + "&user=slipway", nil
}

func startPostgres(dir string) (*postgres, error) {
	p := &postgres{dir: filepath.Join(dir, "pg"), attr: new(syscall.SysProcAttr)}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			return nil, err
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(p.dir, int(uid), int(gid)), os.Chmod(dir, 0o711)); err != nil { //nolint:gosec // the directory above is passed through
			return nil, err
		}
		p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(p.dir, "data")
	if out, err := p.program("initdb", "-D", data, "-A", "trust", "-U", "slipway", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	p.cmd = p.program("postgres", "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "max_connections=300", "-c", "log_min_messages=panic")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if p.program("psql", "-h", p.dir, "-U", "slipway", "postgres", "-c", "SELECT 1").Run() == nil {
			return p, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.stop()
	return nil, errors.New("PostgreSQL did not start")
}

func (p *postgres) program(name string, args ...string) *exec.Cmd {
	if _, err := exec.LookPath(name); err != nil {
		if paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(paths) > 0 {
			slices.Sort(paths)
			name = paths[len(paths)-1]
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.attr
	return cmd
}

func (p *postgres) stop() {
	_ = p.cmd.Process.Signal(unix.SIGINT)
	_ = p.cmd.Wait()
}

// removeAll also removes what directories without the right to write hold.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) //nolint:gosec // about to be removed
		}
		return nil
	})
	return os.RemoveAll(dir)
}
