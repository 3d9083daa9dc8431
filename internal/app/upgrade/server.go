package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
)

// server is a running server, as the kernel describes it (proc(5)).
type server struct {
	pid  int
	args []string // without the program
	env  []string
	dir  string
}

func describe(pid int) (server, error) {
	s := server{pid: pid}
	args, err := list(pid, "cmdline")
	if err == nil && len(args) > 1 {
		s.args = args[1:]
		s.env, err = list(pid, "environ")
	}
	if err == nil {
		s.dir, err = os.Readlink(proc(pid, "cwd"))
	}
	if err != nil || len(s.args) == 0 {
		return s, slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "run upgrade as the user that runs the server",
			"process %d, which is the server, cannot be looked at", pid)
	}
	return s, nil
}

func proc(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

func list(pid int, name string) ([]string, error) {
	b, err := os.ReadFile(proc(pid, name))
	var out []string
	for part := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		out = append(out, string(part))
	}
	return out, err
}

// unit is the systemd unit that keeps the server running, empty without one: such a server
// would be started again as soon as it is stopped.
func (s server) unit() string {
	for _, v := range s.env {
		if strings.HasPrefix(v, "INVOCATION_ID=") {
			b, _ := os.ReadFile(proc(s.pid, "cgroup"))
			for part := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return r == '/' || r == '\n' }) {
				if strings.HasSuffix(part, ".service") && !strings.HasPrefix(part, "user@") {
					return part
				}
			}
		}
	}
	return ""
}

// keep copies the program of a server into the home, so that there is a way back although
// its file may have been replaced already.
func (s server) keep(c config.Config, version string) (string, error) {
	dir := filepath.Join(c.Backups(), version)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "platform")
	if err := copyProgram(proc(s.pid, "exe"), file); err != nil {
		return "", err
	}
	return file, s.keepONNX(dir)
}

// keepONNX keeps what serves ONNX models, if it is there: the program by a copy, the library,
// which is large, by its name.
func (s server) keepONNX(dir string) error {
	exe, err := os.Readlink(proc(s.pid, "exe"))
	if err != nil {
		return err
	}
	program, err := find.Program(exe)
	if err != nil || filepath.Dir(program) == dir {
		return nil //nolint:nilerr // a machine may do without
	}
	library, missing := find.Library(program, func(string) string { return "" })
	if missing == nil { // else the environment of the server names it
		name := filepath.Join(dir, find.LibraryName)
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(library, name); err != nil {
			return err
		}
	}
	return copyProgram(program, filepath.Join(dir, find.Name))
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	young := to + ".new"
	out, err := os.OpenFile(young, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(young))
	}
	return os.Rename(young, to)
}

// stop ends a server alone: gateway and models serve on.
func (s server) stop(ctx context.Context, limit time.Duration) error {
	handle, err := os.FindProcess(s.pid)
	if err == nil {
		err = handle.Signal(unix.SIGTERM)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if errors.Is(handle.Signal(syscall.Signal(0)), os.ErrProcessDone) || zombie(s.pid) {
			return nil
		}
		select {
		case <-ctx.Done():
			return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again", "the server, process %d, does not stop", s.pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// zombie says whether a process has ended, and only its parent does not know yet.
func zombie(pid int) bool {
	b, err := os.ReadFile(proc(pid, "stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	return ok && strings.HasPrefix(rest, "Z")
}

// start runs a program as this server was run, in a session of its own. It ends when the
// program does, through the channel.
func (s server) start(c config.Config, program string) (pid int, ended <-chan struct{}, err error) {
	out, err := os.OpenFile(filepath.Join(c.Logs(), "up.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, s.args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env, s.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	over := make(chan struct{})
	go func() { _ = cmd.Wait(); close(over) }()
	return cmd.Process.Pid, over, nil
}
