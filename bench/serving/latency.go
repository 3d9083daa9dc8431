package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

const (
	paced      = 2000 // requests a second
	pacedConns = 16
)

// latency measures what the gateway adds to a request at a load that leaves the processors
// idle most of the time, beside what nginx adds: times against the runtime's own HTTP port in
// the same round. On idle virtual processors most of what a hop costs is to wake one, whoever
// wrote the code; so there is a second measurement with everything but the client pinned to
// one processor.
func (b *bench) latency(ctx context.Context) (err error) {
	s, err := b.scene(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	ours, theirs, err := b.added(ctx, s, "free")
	if err != nil {
		return err
	}
	b.Print(b.AtMost("gateway_added_p50_vs_nginx", us(ours.p50), 1.6*us(theirs.p50)), b.AtMost("gateway_added_p99_us", us(ours.p99), 1000))
	if goruntime.NumCPU() < 2 {
		return errors.New("one processor is too few for the pinned measurement")
	}
	for _, pid := range append(s.processes(), s.behind()...) {
		if err := pin(pid, 0); err != nil {
			return err
		}
	}
	if ours, _, err = b.added(ctx, s, "pinned"); err != nil {
		return err
	}
	b.Print(b.AtMost("gateway_added_p50_us_one_cpu", us(ours.p50), 60))
	return nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// quantiles are of one round, or what was added to another's.
type quantiles struct{ p50, p99 time.Duration }

// added is what the gateway and nginx add to the runtime's own port: medians over rounds.
func (b *bench) added(ctx context.Context, s *scene, how string) (ours, theirs quantiles, err error) {
	ways := []struct{ network, addr, token string }{{"unix", s.runtime.addr, "x"}, {"tcp", s.Addr(), s.Token}, {"tcp", s.nginx.addr, "x"}}
	var diffs [3][2][]time.Duration
	for round := range b.rounds + 1 {
		var q [3]quantiles
		for i, w := range ways {
			took, err := openLoop(ctx, w.network, w.addr, rig.Request("bench", w.token, rig.Row()), paced, b.round)
			if err != nil {
				return ours, theirs, err
			}
			q[i] = quantiles{took[len(took)/2], took[len(took)*99/100]}
			if round > 0 {
				diffs[i][0], diffs[i][1] = append(diffs[i][0], q[i].p50-q[0].p50), append(diffs[i][1], q[i].p99-q[0].p99)
			}
		}
		figure.Note("%s, round %d: p50 and p99 direct %v, gateway %v, nginx %v", how, round, q[0], q[1], q[2])
	}
	return quantiles{median(diffs[1][0]), median(diffs[1][1])}, quantiles{median(diffs[2][0]), median(diffs[2][1])}, nil
}

// openLoop sends requests at random times, so many a second whatever becomes of them, and
// gives the times from when each should have gone out to its answer, sorted. It polls by
// itself: a sleep of Go's runtime is late by more than what is measured.
func openLoop(ctx context.Context, network, addr string, req []byte, perSecond float64, length time.Duration) ([]time.Duration, error) {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	fds := make([]unix.PollFd, pacedConns)
	for i := range fds {
		fd, err := dialRaw(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	var took []time.Duration
	due := make([]time.Time, len(fds)) // of the request on a connection; zero: it is free
	var waiting []time.Time            // requests without a connection
	buf := make([]byte, 64<<10)
	start := time.Now()
	for next := start; time.Since(start) < length && ctx.Err() == nil; {
		for ; !time.Now().Before(next); next = next.Add(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second))) {
			waiting = append(waiting, next)
		}
		for i := range fds {
			if len(waiting) > 0 && due[i].IsZero() {
				if _, err := unix.Write(int(fds[i].Fd), req); err != nil {
					return nil, err
				}
				due[i], waiting = waiting[0], waiting[1:]
			}
		}
		timeout := unix.NsecToTimespec(max(0, int64(time.Until(next))))
		if _, err := unix.Ppoll(fds, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		for i := range fds {
			if fds[i].Revents == 0 {
				continue
			}
			n, err := unix.Read(int(fds[i].Fd), buf) // an answer is shorter than a segment
			if err != nil || n < 12 || string(buf[9:12]) != "200" {
				return nil, fmt.Errorf("%s answers %.80q: %w", addr, buf[:max(n, 0)], errors.Join(err, net.ErrClosed))
			}
			took, due[i] = append(took, time.Since(due[i])), time.Time{}
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("%s does not answer", addr)
	}
	slices.Sort(took)
	return took, nil
}

// dialRaw gives a blocking socket.
func dialRaw(ctx context.Context, network, addr string) (int, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(f uintptr) { fd, failed = unix.Dup(int(f)) })
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	return fd, nil
}

// pin keeps all threads of a process on one processor.
func pin(pid, cpu int) error {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(cpu)
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, &set) // a thread that has ended
		}
	}
	return nil
}
