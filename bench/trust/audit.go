package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
)

const (
	writers   = 256
	flood     = 10 * time.Second
	paced     = 5000 // events a second at which the delay is measured
	million   = 1_000_000
	questions = 200
)

// audit measures how fast events become durable in the database and in the log, and how
// long questions take among a million.
func (b *bench) audit(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return err
	}
	return errors.Join(auditPart(ctx, dir, b.Out), os.RemoveAll(dir))
}

func auditPart(ctx context.Context, dir string, out figure.Out) error {
	sync, err := syncTime(filepath.Join(dir, "sync"))
	if err != nil {
		return err
	}
	out.Print(out.AtMost("fsync_p50_ms", ms(sync), ms(sync)))
	b, err := newBench(ctx, dir)
	if err != nil {
		return err
	}
	defer b.db.Close()
	stop := b.start(ctx)
	before := busy()
	rate, err := b.flood(ctx)
	if err != nil {
		return err
	}
	each := (busy() - before) / time.Duration(b.service.Signed())
	out.Print(out.AtMost("audit_cpu_us_an_event", float64(each.Microseconds()), 400))
	out.Print(out.Beside("audit_events_vs_5000", rate, 5000, 1))
	delay, err := b.paced(ctx)
	if err != nil {
		return err
	}
	out.Print(out.AtMost("audit_commit_to_log_p99_ms", ms(delay), 100))
	if err := b.fill(ctx); err != nil {
		return err
	}
	stop()
	return b.questions(ctx, out)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// syncTime is the median time of making a few bytes durable.
func syncTime(path string) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var took []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := f.WriteString("an event"); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return quantile(took, 0.5), nil
}

type auditBench struct {
	db      *sqlstore.DB
	events  *event.Store
	service *audit.Service
}

// Endpoints implements audit.Deployments: nothing runs.
func (*auditBench) Endpoints(context.Context) ([]rollout.Endpoint, error) { return nil, nil }

// Deployments implements audit.Deployments.
func (*auditBench) Deployments(context.Context, string, int, int) ([]rollout.Deployment, error) {
	return nil, nil
}

func newBench(ctx context.Context, dir string) (*auditBench, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "state.db"), Now: time.Now, Log: log})
	if err != nil {
		return nil, err
	}
	b := &auditBench{db: db, events: event.New(db)}
	b.service = audit.New(audit.Config{Dir: filepath.Join(dir, "audit"), KeyFile: filepath.Join(dir, "audit.key"), Version: "bench", Events: b.events, Recorded: db.Recorded(), Deployments: b,
		Observe:     func(context.Context) (route.Observation, error) { return route.Observation{}, nil },
		Development: func(context.Context) (bool, error) { return false, nil }, Now: time.Now, Log: log})
	db.Gate(b.service.Gate.Admit)
	return b, nil
}

func (b *auditBench) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { b.service.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// invented is an event of an installation of some size.
func invented(n int) slipway.Event {
	now := time.Now()
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: fmt.Sprintf("engineer-%d", n%40), Action: "deployment.stage", Subject: fmt.Sprintf("dep_%06d", n/20),
		Detail: map[string]string{"stage": "validate", "verdict": "pass", "endpoint": "fraud"}}
}

func (b *auditBench) append(ctx context.Context, n int) error {
	return b.events.Append(ctx, invented(n))
}

// await waits until all that was recorded is signed.
func (b *auditBench) await(ctx context.Context, events int64) error {
	for int64(b.service.Signed()) < events {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// busy is how much time of processors this process has had.
func busy() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// flood lets many write at once, each waiting for its commit, and then for the log.
func (b *auditBench) flood(ctx context.Context) (rate float64, err error) {
	began := time.Now()
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for n := w; time.Since(began) < flood; n += writers {
				if err := b.append(ctx, n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
	}
	last, err := b.events.Last(ctx)
	if err == nil {
		err = b.await(ctx, last)
	}
	return float64(last) / time.Since(began).Seconds(), err
}

// paced records events at a steady rate, and measures of some how long after their commit
// they are signed.
func (b *auditBench) paced(ctx context.Context) (time.Duration, error) {
	var took []time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	const each = 50 // events of a writer between two that are measured
	tick := time.NewTicker(time.Second / (paced / each))
	defer tick.Stop()
	failed := make(chan error, 1)
	for began := time.Now(); time.Since(began) < flood; <-tick.C {
		for i := range each {
			wg.Go(func() {
				if err := b.append(ctx, i); err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
				if i > 0 {
					return
				}
				committed := time.Now()
				last, err := b.events.Last(ctx)
				if err == nil {
					err = b.await(ctx, last)
				}
				if err == nil {
					mu.Lock()
					took = append(took, time.Since(committed))
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return quantile(took, 0.99), nil
	}
}

// fill records events until there are a million, many in one transaction.
func (b *auditBench) fill(ctx context.Context) error {
	have, err := b.events.Last(ctx)
	for err == nil && have < million {
		some := make([]slipway.Event, min(2000, million-have))
		for i := range some {
			some[i] = invented(int(have) + i)
		}
		err = b.db.Write(ctx, some, func(*sqlstore.Tx) error { return nil })
		have += int64(len(some))
		if have%50000 == 0 && err == nil {
			err = b.await(ctx, have-20000) // so that the log keeps up
		}
	}
	if err != nil {
		return err
	}
	return b.await(ctx, million)
}

func (b *auditBench) questions(ctx context.Context, out figure.Out) error {
	for _, q := range []struct {
		metric string
		peer   float64
		ask    func(i int) error
	}{
		{"audit_search_by_actor_p99_ms", 200, func(i int) error {
			_, err := b.service.Search(ctx, api.AuditQuery{Actor: fmt.Sprintf("engineer-%d", i%40), Before: int64(million - i*4000), Limit: 100})
			return err
		}},
		{"audit_search_by_object_p99_ms", 200, func(i int) error {
			_, err := b.service.Search(ctx, api.AuditQuery{Subject: fmt.Sprintf("dep_%06d", i*240), Limit: 100})
			return err
		}},
		{"audit_proof_p99_ms", 10, func(i int) error {
			p, err := b.service.Prove(ctx, fmt.Sprint(1+i*4999))
			if err != nil {
				return err
			}
			return audit.VerifyProof(p, p.Key)
		}},
	} {
		var took []time.Duration
		for i := range questions {
			began := time.Now()
			if err := q.ask(i); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
		out.Print(out.AtMost(q.metric, ms(quantile(took, 0.99)), q.peer))
	}
	began := time.Now()
	found, err := b.service.Verify(ctx, func(uint64, uint64) {})
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Verdict == "fail" {
			return fmt.Errorf("the log does not verify: %s", f.Message)
		}
	}
	out.Print(out.AtMost("audit_verify_million_s", time.Since(began).Seconds(), 60))
	return nil
}
