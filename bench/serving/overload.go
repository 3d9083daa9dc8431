package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

const (
	overloadTimes   = 3
	overloadPeak    = 10 * time.Second // of the measurement of what can be done
	overloadPeers   = 32               // connections of it
	overloadConns   = 1024             // of the open load; more than may be in flight
	overloadRows    = 200              // of a request
	overloadUseless = 5 * time.Second  // what is answered later is of no use: the endpoint's deadline
	refusalBar      = 50.0             // ms
)

// overload sends three times what an endpoint can do, in an open loop: requests go out at
// random times whatever becomes of those before, and times count from when a request should
// have gone out. Nothing about limits is declared.
//
// The load and what it measures share the processors. So requests are made beforehand, go
// over raw connections, and carry many rows in few bytes: what they cost is the model's work, of
// which the sender does nothing. The model has one core, so that where there are two the rest
// is not taken from it. What the sender takes itself is printed, at peak and in overload; where
// it takes more in overload, that is less for the platform, and the figure is the worse for it.
func (b *bench) overload(ctx context.Context) (err error) {
	s, err := rig.Up(ctx, b.exe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	dir, err := s.Project(b.repo, rig.Project{Rollout: rig.Immediate, Note: "1"})
	if err == nil {
		err = oneCore(dir)
	}
	if err != nil {
		return err
	}
	if d, _, err := s.Deploy(ctx, dir); err != nil || d.Status != "succeeded" {
		return fmt.Errorf("%s: %s: %w", d.Status, d.Message, err)
	}
	if err := b.overloaded(ctx, s, "tree", "x"); err != nil {
		return err
	}
	m, err := b.model(ctx, "sklearn", deployOnce) // of one worker
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return b.overloaded(ctx, m.Site, "python", "input")
}

// oneCore gives the replica of a project one core.
func oneCore(dir string) error {
	path := filepath.Join(dir, "platform.yaml")
	yaml, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Replace(yaml, []byte("cpu: 2000m"), []byte("cpu: 1000m"), 1), 0o600)
}

// overloaded measures one endpoint.
func (b *bench) overloaded(ctx context.Context, s *rig.Site, what, input string) error {
	addr := s.Addr()
	req := manyRows(addr, s.Token, input, overloadRows)
	closed := func(length time.Duration) result { return openLoad(ctx, addr, req, 0, length) }
	closed(2 * time.Second) // warms up
	peak := closed(overloadPeak)
	idle, err := figure.Memory(s.Exe, s.Home)
	if err != nil || peak.good == 0 {
		return fmt.Errorf("%s: %+v: %w", what, peak, err)
	}
	figure.Note("%s at peak: %s", what, peak)

	stop := make(chan struct{})
	most := make(chan float64)
	go func() { most <- watchMemory(s, stop) }()
	over := openLoad(ctx, addr, req, overloadTimes*peak.perSecond(), b.overloads)
	close(stop)
	memory := <-most
	e, err := s.C.Endpoint(ctx, "bench")
	if err != nil {
		return err
	}
	figure.Note("%s at %d times: %s; memory %.0f MiB, %.0f at peak; %+v", what, overloadTimes, over, memory, idle, *e.Traffic)
	b.Print(b.Beside("overload_"+what+"_goodput_vs_peak", over.perSecond(), peak.perSecond(), .9),
		b.AtMost("overload_"+what+"_refusal_p99_ms", ms(quantile(over.refused, .99)), refusalBar),
		b.AtMost("overload_"+what+"_failures", float64(over.bad), 0),
		b.AtMost("overload_"+what+"_pss_mib", memory, 2*idle))
	return nil
}

// watchMemory gives the most memory that the platform took until stop.
func watchMemory(s *rig.Site, stop <-chan struct{}) (most float64) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		if now, err := figure.Memory(s.Exe, s.Home); err == nil {
			most = max(most, now)
		}
		select {
		case <-tick.C:
		case <-stop:
			return most
		}
	}
}

// manyRows is one request of so many rows of 30 numbers.
func manyRows(addr, token, input string, n int) []byte {
	values := make([]string, 30*n)
	for i := range values {
		values[i] = strconv.Itoa((i*7 + i/30) % 10)
	}
	body := fmt.Sprintf(`{"inputs":[{"name":"%s","shape":[%d,30],"datatype":"FP64","data":[%s]}]}`, input, n, strings.Join(values, ","))
	return rig.Request(addr, token, body)
}

// result is what became of a load.
type result struct {
	length    time.Duration
	good, bad int
	answers   []time.Duration // from when they should have been sent
	refused   []time.Duration
	late      int     // were sent later than a millisecond after that
	cpu       float64 // cores that the sender took
	first     string  // of the bad ones
	notAtAll  int     // no connection was free: the sender's own limit
}

func (r *result) perSecond() float64 { return float64(r.good) / r.length.Seconds() }

func (r result) String() string {
	return fmt.Sprintf("%.0f/s answered, p50 %.1f p99 %.1f ms; %.0f/s refused, p50 %.1f p99 %.1f max %.1f ms; %d failed %s; the sender took %.2f cores, sent %d late and %d not at all",
		r.perSecond(), ms(quantile(r.answers, .5)), ms(quantile(r.answers, .99)), float64(len(r.refused))/r.length.Seconds(), ms(quantile(r.refused, .5)), ms(quantile(r.refused, .99)),
		ms(quantile(r.refused, 1)), r.bad, r.first, r.cpu, r.late, r.notAtAll)
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// openLoad sends at random times, so many a second; 0 is a closed loop of a few connections,
// each asking as soon as it has its answer.
func openLoad(ctx context.Context, addr string, req []byte, perSecond float64, length time.Duration) result {
	conns := overloadConns
	if perSecond == 0 {
		conns = overloadPeers
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	due := make(chan time.Time) // of the next request; nobody waits on it in an open loop
	parts := make([]result, conns)
	var wg sync.WaitGroup
	before, began := cpuTime(), time.Now()
	for i := range conns {
		wg.Go(func() { parts[i].ask(addr, req, due) })
	}
	out := result{length: length}
	for next := time.Now(); ctx.Err() == nil; {
		if perSecond == 0 {
			select {
			case due <- time.Time{}:
			case <-ctx.Done():
			}
			continue
		}
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		} else if wait < -time.Millisecond {
			out.late++
		}
		select {
		case due <- next:
		default:
			out.notAtAll++
		}
		next = next.Add(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second)))
	}
	close(due)
	wg.Wait()
	out.cpu = (cpuTime() - before).Seconds() / time.Since(began).Seconds()
	for _, p := range parts {
		out.good, out.bad = out.good+p.good, out.bad+p.bad
		out.answers, out.refused = append(out.answers, p.answers...), append(out.refused, p.refused...)
		if out.first == "" {
			out.first = p.first
		}
	}
	return out
}

// ask answers for one connection.
func (r *result) ask(addr string, req []byte, due <-chan time.Time) {
	var c net.Conn
	var in *bufio.Reader
	for at := range due {
		if at.IsZero() {
			at = time.Now()
		}
		var err error
		if c == nil {
			if c, err = new(net.Dialer).DialContext(context.Background(), "tcp", addr); err == nil {
				in = bufio.NewReader(c)
			}
		}
		status := 0
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(2 * overloadUseless))
			status, err = rig.Exchange(c, in, req)
		}
		took := time.Since(at)
		switch {
		case err == nil && status == 200 && took <= overloadUseless:
			r.good++
			r.answers = append(r.answers, took)
		case err == nil && (status == 503 || status == 429):
			r.refused = append(r.refused, took)
		default:
			r.bad++
			r.first = fmt.Sprintf("(status %d after %v, %v)", status, took, err)
		}
		if err != nil && c != nil {
			c.Close()
			c = nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// cpuTime is what this process has taken.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
