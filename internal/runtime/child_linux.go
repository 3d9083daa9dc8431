package runtime

import (
	"os/exec"
	goruntime "runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	childGrace = 5 * time.Second // between SIGTERM and SIGKILL
	pipeGrace  = time.Second     // for output that comes after the end
)

// child is a process that leads its own group and does not outlive this one.
type child struct {
	pid   int
	ended chan struct{} // closed once it and its group are gone
	state string        // how it ended; valid then
}

// startChild starts a command. The kernel kills it when the thread that started it ends,
// so that thread is kept, waiting, for as long as the child lives.
func startChild(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = pipeGrace
	c := &child{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		goruntime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		awaitExit(c.pid)
		c.signal(unix.SIGKILL) // what it left behind, while the number is still surely its own
		_ = cmd.Wait()         // the state says all
		c.state = cmd.ProcessState.String()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// awaitExit waits for a child to end and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// signal sends a signal to the child's group; that nobody is left is no matter.
func (c *child) signal(s unix.Signal) { _ = unix.Kill(-c.pid, s) }

// stop asks the child to end, then makes it.
func (c *child) stop() {
	c.signal(unix.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(childGrace):
		c.signal(unix.SIGKILL)
		<-c.ended
	}
}
