// Package child runs a process that must not outlive this one, nor leave anything behind.
package child

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	goruntime "runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	grace     = 5 * time.Second // between SIGTERM and SIGKILL
	pipeGrace = time.Second     // for output that comes after the end
)

// Process is a running command that leads its own process group. The kernel kills it when
// this process dies.
type Process struct {
	PID   int
	Ended chan struct{} // closed once it and its group are gone
	state string        // how it ended; valid then
}

// Start starts a command. Pdeathsig is bound to the thread that starts the process, so
// that thread is kept, waiting, for as long as the process lives.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	cmd.WaitDelay = pipeGrace
	c := &Process{Ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		goruntime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		if err == nil {
			c.PID = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		awaitExit(c.PID)
		c.signal(unix.SIGKILL) // what it left behind, while the number is still surely its own
		_ = cmd.Wait()         // the state says all
		c.state = cmd.ProcessState.String()
		close(c.Ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// StartAlone starts a command in namespaces of its own: it sees no process but those that
// it starts, which die with it, wherever they went; and, unless network, nothing but a
// loopback device that is down. It answers false when the machine does not permit that: the
// command then runs as Start runs it.
func StartAlone(cmd *exec.Cmd, network bool) (c *Process, alone bool, err error) {
	again := *cmd
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if !network {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	}
	if id := os.Geteuid(); id != 0 { // a namespace of users makes us its root
		gid := os.Getegid()
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	c, err = Start(cmd)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS) {
		c, err = Start(&again)
		return c, false, err
	}
	return c, err == nil, err
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

// signal sends a signal to the group; that nobody is left is no matter.
func (c *Process) signal(s unix.Signal) { _ = unix.Kill(-c.PID, s) }

// State says how the process ended: "exit status 1", "signal: killed". It may be asked once
// Ended is closed.
func (c *Process) State() string { return c.state }

// Kill ends the process and its group at once, and waits for that.
func (c *Process) Kill() {
	c.signal(unix.SIGKILL)
	<-c.Ended
}

// Stop asks the process to end, then makes it.
func (c *Process) Stop() {
	c.signal(unix.SIGTERM)
	select {
	case <-c.Ended:
	case <-time.After(grace):
		c.Kill()
	}
}
