package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is the pace at which an exit is looked for where the kernel gives no pidfd.
const pollEvery = 100 * time.Millisecond

// proc identifies a process beyond the reuse of its number: pid, and start time in clock
// ticks since boot.
type proc struct {
	pid   int
	start uint64
}

// procStat is what we read of /proc/<pid>/stat, see proc_pid_stat(5).
type procStat struct {
	state   byte   // field 3
	session int    // field 6
	start   uint64 // field 22, clock ticks since boot
	rss     int64  // field 24, pages
}

// parseStat reads a line of /proc/<pid>/stat. The second field is the program's name in
// parentheses; it may hold blanks and parentheses itself, so the last one counts.
func parseStat(b []byte) (procStat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return procStat{}, errors.New("stat: no program name")
	}
	const third = 3
	f := bytes.Fields(b[end+1:])
	if len(f) <= 24-third || len(f[0]) != 1 {
		return procStat{}, errors.New("stat: too few fields")
	}
	session, err1 := strconv.Atoi(string(f[6-third]))
	start, err2 := strconv.ParseUint(string(f[22-third]), 10, 64)
	rss, err3 := strconv.ParseInt(string(f[24-third]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return procStat{}, fmt.Errorf("stat: %w", err)
	}
	return procStat{state: f[0][0], session: session, start: start, rss: rss}, nil
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(b)
}

// alive says whether the process still runs. A zombie does not: where nobody reaps
// orphans it would stay one forever.
func (p proc) alive() bool {
	st, err := readStat(p.pid)
	return err == nil && st.start == p.start && st.state != 'Z' && st.state != 'X'
}

// wait returns when the process has ended or ctx has. The process need not be our child.
func (p proc) wait(ctx context.Context) {
	fd, err := unix.PidfdOpen(p.pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		p.pollExit(ctx)
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	if !p.alive() { // ended before, and the number may be another's by now
		return
	}
	raw, err := f.SyscallConn()
	if err != nil {
		p.pollExit(ctx)
		return
	}
	// The runtime's poller parks us until the descriptor is readable, which a pidfd is
	// once its process has ended; no thread waits.
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0
	})
	if err != nil && ctx.Err() == nil {
		p.pollExit(ctx)
	}
}

func (p proc) pollExit(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for p.alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// terminate asks the process to end.
func (p proc) terminate() {
	if p.alive() {
		_ = unix.Kill(p.pid, unix.SIGTERM)
	}
}

// kill ends the process and its group.
func (p proc) kill() {
	if p.alive() {
		killGroup(p.pid)
	}
}

// killGroup ends a process and the group that it leads, if it leads one. Errors say only
// that nobody is left.
func killGroup(pid int) {
	_ = unix.Kill(-pid, unix.SIGKILL)
	_ = unix.Kill(pid, unix.SIGKILL)
}

// reap takes the exit status of an ended process if it is our child, and tells how it
// ended. Whatever it left behind in its group is killed first, while the number is still
// surely its own.
func (p proc) reap() (how string, code int) {
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid != p.pid:
			return "ended; it was started by an earlier gateway, so its exit status is unknown", 0
		case status.Signaled():
			return fmt.Sprintf("killed by signal %d (%s)", status.Signal(), status.Signal()), 0
		default:
			return fmt.Sprintf("exited with code %d", status.ExitStatus()), status.ExitStatus()
		}
	}
}

// eachProcess calls f with the number of every process.
func eachProcess(f func(pid int)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			f(pid)
		}
	}
	return nil
}

// findConfigured gives every live process that was started with "--config FILE" and a FILE
// in dir, and that file's name. The file's path tells our replicas from all other
// processes, those included whose record was never finished.
func findConfigured(dir string) (map[proc]string, error) {
	found := map[proc]string{}
	err := eachProcess(func(pid int) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || pid == 1 { // a signal to "group 1" would reach everybody
			return
		}
		args := bytes.Split(b, []byte{0})
		for i, a := range args[:len(args)-1] {
			file := string(args[i+1])
			if string(a) != configFlag || filepath.Dir(file) != dir {
				continue
			}
			if st, err := readStat(pid); err == nil {
				if p := (proc{pid, st.start}); p.alive() {
					found[p] = file
				}
			}
		}
	})
	return found, err
}

// sampler reads the resident memory of all sessions at once, at most once a period.
type sampler struct {
	mu sync.Mutex
	at time.Time
	by map[int]int64
}

// of is the resident size in bytes of a session: a replica and what it started.
func (s *sampler) of(session int, now time.Time, period time.Duration) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil || now.Sub(s.at) >= period {
		s.at, s.by = now, map[int]int64{}
		page := int64(os.Getpagesize())
		_ = eachProcess(func(pid int) { // no sizes are better than no status
			if st, err := readStat(pid); err == nil {
				s.by[st.session] += st.rss * page
			}
		})
	}
	return s.by[session]
}
