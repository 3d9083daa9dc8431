package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// How a traced process is killed at a system call that changes something outside of it.
const (
	killBefore = "before" // the call is never made
	killTorn   = "during" // a write is made by half
	killAfter  = "after"  // the call is made, and nothing learns of it
)

// traceMain runs a command and kills it, as kill -9 does, at the nth of its system calls
// that write a file or a socket, or change a directory: `tracer N HOW COMMAND…`. Every
// thread counts; processes that the command starts do not, and live on. With N = 0 nothing
// is killed. The number of calls goes to the file that TRACE_COUNT names, the number of the process to that of TRACE_PID.
func traceMain() {
	runtime.LockOSThread() // the tracer of a process is a thread
	at, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fail(err)
	}
	signal.Ignore(unix.SIGTERM, unix.SIGINT)
	pid, err := syscall.ForkExec(os.Args[3], os.Args[3:], &syscall.ProcAttr{Env: os.Environ(),
		Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		fail(err)
	}
	if file := os.Getenv("TRACE_PID"); file != "" {
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o600); err != nil {
			fail(err)
		}
	}
	t := &tracer{pid: pid, at: at, how: os.Args[2], threads: map[int]*thread{}}
	code := t.run()
	if file := os.Getenv("TRACE_COUNT"); file != "" {
		if err := os.WriteFile(file, []byte(strconv.Itoa(t.count)), 0o600); err != nil {
			fail(err)
		}
	}
	os.Exit(code)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "tracer:", err)
	os.Exit(125)
}

// thread is one traced thread: whether it is inside a call, and is to die when it leaves.
type thread struct{ inside, doomed bool }

type tracer struct {
	pid     int
	at      int
	how     string
	count   int
	threads map[int]*thread
}

// killed is the exit code of a tracer that has killed what it traced.
const killed = 99

func (t *tracer) run() int {
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil || !status.Stopped() {
		fail(fmt.Errorf("the command did not stop at its start: %w", err))
	}
	t.threads[t.pid] = &thread{}
	if err := unix.PtraceSetOptions(t.pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL); err != nil {
		fail(err)
	}
	if err := unix.PtraceSyscall(t.pid, 0); err != nil {
		fail(err)
	}
	for {
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			fail(err)
		case status.Exited() || status.Signaled():
			delete(t.threads, tid)
			if tid == t.pid {
				if status.Exited() {
					return status.ExitStatus()
				}
				return killed
			}
			continue
		case !status.Stopped():
			continue
		}
		deliver := t.stopped(tid, status)
		_ = unix.PtraceSyscall(tid, deliver) // it may be dead
	}
}

// stopped acts on one stop and gives the signal that the thread shall get.
func (t *tracer) stopped(tid int, status unix.WaitStatus) int {
	th := t.threads[tid]
	fresh := th == nil
	if fresh {
		th = &thread{}
		t.threads[tid] = th
	}
	switch sig := status.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		t.call(tid, th)
		return 0
	case sig == unix.SIGTRAP, fresh && sig == unix.SIGSTOP:
		return 0
	default:
		return int(sig)
	}
}

// call is the beginning or the end of a system call.
func (t *tracer) call(tid int, th *thread) {
	th.inside = !th.inside
	if !th.inside {
		if th.doomed {
			t.kill()
		}
		return
	}
	var regs unix.PtraceRegsAmd64
	if unix.PtraceGetRegsAmd64(tid, &regs) != nil || !t.changes(&regs) {
		return
	}
	if t.count++; t.count != t.at {
		return
	}
	switch {
	case t.how == killBefore:
		t.kill()
	case t.how == killTorn && (regs.Orig_rax == unix.SYS_WRITE || regs.Orig_rax == unix.SYS_PWRITE64):
		regs.Rdx /= 2
		if err := unix.PtraceSetRegsAmd64(tid, &regs); err != nil {
			fail(err)
		}
		th.doomed = true
	default:
		th.doomed = true
	}
}

func (t *tracer) kill() { _ = unix.Kill(t.pid, unix.SIGKILL) }

// changes says whether a call changes something outside of the process.
func (t *tracer) changes(r *unix.PtraceRegsAmd64) bool {
	switch r.Orig_rax {
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE,
		unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINK, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
		unix.SYS_UNLINK, unix.SYS_UNLINKAT, unix.SYS_MKDIR, unix.SYS_MKDIRAT, unix.SYS_RMDIR, unix.SYS_FCHMODAT:
		return true
	case unix.SYS_OPENAT:
		return r.R10 != 0 && r.Rdx&unix.O_CREAT != 0
	case unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_WRITEV, unix.SYS_SENDTO, unix.SYS_SENDMSG:
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, r.Rdi))
		return err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "pipe:") &&
			!strings.HasSuffix(to, ".log") && !strings.HasPrefix(to, "/dev/")
	default:
		return false
	}
}
