package python

import (
	"context"
	_ "embed" // the worker's source
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/child"
)

//go:embed worker.py
var source []byte

// worker is one Python process with the model loaded.
type worker struct {
	number int
	proc   *child.Process
	conn   Conn
	out    []Output
}

// start starts a process and waits until it has loaded the model.
func (p *Pool) start(ctx context.Context, number int) (*worker, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.StartTimeout)
	defer cancel()
	near, far, err := pair()
	if err != nil {
		return nil, err
	}
	w := &worker{number: number}
	alone, err := p.spawn(w, far)
	far.Close() // the worker's alone, so that its death ends the connection
	if err != nil {
		near.Close()
		return nil, fmt.Errorf("python cannot be started: %w", err)
	}
	if !alone {
		p.warn.Do(func() {
			p.o.Log.Warn("this machine permits no namespaces: the model has the network and sees other processes")
		})
	}
	// The peer says hello once the model is loaded. If it dies before, the connection ends.
	conn, err := p.o.Connect(ctx, near)
	if err != nil {
		return nil, w.startFailure(ctx, err, p.o.StartTimeout)
	}
	w.conn = conn
	return w, nil
}

// startFailure ends a process that did not come up, and says why it did not.
func (w *worker) startFailure(ctx context.Context, err error, limit time.Duration) error {
	late := ctx.Err() != nil
	var e *slipway.Error
	if errors.As(err, &e) && e.Code == slipway.CodeModelFailed {
		w.kill()
		return errors.New(e.Message)
	}
	if !late {
		select { // it closed the socket, so it is about to end
		case <-w.proc.Ended:
		case <-time.After(time.Second):
		}
	}
	w.kill()
	if late {
		return fmt.Errorf("not loaded within %v", limit)
	}
	return fmt.Errorf("the Python process ended while it loaded the model: %s", w.proc.State())
}

// spawn starts the interpreter, apart from the user's own modules, other processes and,
// unless the model may have it, the network. It answers whether that was permitted.
func (p *Pool) spawn(w *worker, socket *os.File) (bool, error) {
	model := p.model
	model.Offline, model.Packages = !p.o.Network, p.o.Packages
	text, err := model.json()
	if err != nil {
		return false, err
	}
	script, err := memory("worker", source)
	if err != nil {
		return false, err
	}
	defer script.Close()
	config, err := memory("model", text)
	if err != nil {
		return false, err
	}
	defer config.Close()
	cmd := exec.Command(p.o.Python, "-I", "-u", "/proc/self/fd/4")
	cmd.Dir = p.o.Dir
	cmd.Env = p.env()
	cmd.ExtraFiles = []*os.File{socket, script, config} // 3, 4, 5
	w.out = []Output{p.o.Output("stdout"), p.o.Output("stderr")}
	cmd.Stdout, cmd.Stderr = w.out[0], w.out[1]
	alone := false
	w.proc, alone, err = child.StartAlone(cmd, p.o.Network)
	return alone, err
}

// env is what the model's process sees. Numeric libraries start a thread for each processor unless they are told otherwise.
func (p *Pool) env() []string {
	env := []string{"MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true", "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "PYTHONFAULTHANDLER=1",
		"SLIPWAY_MODEL_DIR=" + p.o.Dir}
	threads := strconv.Itoa(max(1, p.o.Threads))
	for _, key := range []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"} {
		env = append(env, key+"="+threads)
	}
	return append(env, p.o.Env...)
}

// kill ends the process and waits until nothing of it is left.
func (w *worker) kill() {
	w.proc.Kill()
	if w.conn != nil {
		_ = w.conn.Close() // always nil
	}
	for _, out := range w.out {
		out.Flush()
	}
}

// pair makes a connected pair of Unix sockets: ours, and a file for the child.
func pair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	near, far := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "worker")
	defer near.Close() // FileConn has a descriptor of its own
	conn, err := net.FileConn(near)
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return conn, far, nil
}

// memory makes a file that only this process and its child can see.
func memory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err = f.Write(content); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
