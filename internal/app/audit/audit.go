// Package audit moves recorded events into the audit log, anchors it elsewhere, and answers
// what is asked about it.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/tilelog"
)

// Deployments are what ran, by the state and not by the events.
type Deployments interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployments(ctx context.Context, endpoint string, before, limit int) ([]rollout.Deployment, error)
}

// Config is what a Service is made of.
type Config struct {
	Dir         string // of everything that is the log's
	KeyFile     string
	Version     string
	Events      *event.Store
	Recorded    <-chan struct{} // has an item when events were recorded
	Deployments Deployments
	Observe     func(ctx context.Context) (route.Observation, error)
	Development func(ctx context.Context) (bool, error)
	Anchors     []Anchor
	Now         func() time.Time
	Log         *slog.Logger
}

// Service is the audit log of an installation.
type Service struct {
	Config
	Gate    *audit.Gate
	anchors []*anchoring

	mu   sync.Mutex                  // of who moves events, and of what needs the log to stand still
	log  atomic.Pointer[tilelog.Log] // nil until it could be opened
	told string                      // the last failure that was logged
}

// New makes a Service; Run lets it work.
func New(c Config) *Service {
	s := &Service{Config: c, Gate: audit.NewGate(c.Now)}
	for _, a := range c.Anchors {
		s.anchors = append(s.anchors, &anchoring{anchor: a})
	}
	return s
}

// How events are moved.
const (
	pace      = 10 * time.Millisecond // between two batches: one event alone costs as much as many
	maxBatch  = 2048                  // when many wait: what a batch costs is mostly waiting for the disk
	tryAgain  = time.Second
	lookAgain = time.Second // although nobody said that there is something new
	stopLimit = 5 * time.Second
)

// Run moves events into the log as they are recorded, and anchors it, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, a := range s.anchors {
		wg.Go(func() { a.run(ctx, s) })
	}
	for ctx.Err() == nil {
		done := make(chan error, 1)
		go func() { done <- s.Move(ctx) }()
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			select {
			case err = <-done:
				s.tell(err)
			case <-time.After(stopLimit): // a disk that hangs does not keep the server from stopping
			}
			return
		}
		s.tell(err)
		wait, news := lookAgain, s.Recorded
		if err != nil {
			wait, news = tryAgain, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case <-news:
			time.Sleep(pace)
		}
	}
}

// tell logs a failure once, and its end.
func (s *Service) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == s.told {
		return
	}
	s.told = text
	if err != nil {
		s.Log.Error("the audit log takes no events", "error", text, "cause", errors.Unwrap(err))
		return
	}
	s.Log.Info("the audit log takes events again")
}

// Move brings what was recorded into the log.
func (s *Service) Move(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.move(ctx)
	if err != nil && ctx.Err() == nil {
		s.Gate.Failed(err)
	}
	return err
}

// Hold keeps the log as it is until release is called, for who copies it. The gate closes
// meanwhile if that takes as long as a disk that is full.
func (s *Service) Hold(ctx context.Context) (release func(), err error) {
	for !s.mu.TryLock() {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pace):
		}
	}
	return s.mu.Unlock, nil
}

func (s *Service) move(ctx context.Context) error {
	l, err := s.open(ctx)
	if err != nil {
		if last, e := s.Events.Last(ctx); e == nil && last > 0 {
			s.Gate.Begin()
		}
		return err
	}
	for ctx.Err() == nil {
		events, err := s.Events.List(ctx, int64(l.Size()), maxBatch, "")
		if err != nil {
			return err
		}
		if len(events) == 0 && l.Checkpoint().Size == l.Size() {
			return nil
		}
		s.Gate.Begin()
		leaves, err := leavesOf(events, l.Size())
		if err == nil {
			err = l.Append(ctx, leaves)
		}
		if slipway.AsError(err).Code == slipway.CodeAuditDamaged {
			s.log.Store(nil) // look at it anew, and make it again if that is right
		}
		if err != nil {
			return err
		}
		s.Gate.Moved()
		if len(events) < maxBatch {
			time.Sleep(pace)
		}
	}
	return nil
}

func recordOf(e event.Event) audit.Record { return audit.Record{Seq: e.Seq, Event: e.Event} }

// leavesOf makes the leaves that follow an index, without a gap.
func leavesOf(events []event.Event, from uint64) ([][]byte, error) {
	leaves := make([][]byte, len(events))
	for i, e := range events {
		if e.Seq != int64(from)+int64(i)+1 {
			return nil, damaged("the database has no event %d", from+uint64(i)+1)
		}
		var err error
		if leaves[i], err = audit.Leaf(recordOf(e)); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

func damaged(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeAuditDamaged, "platform audit verify", "the audit log and the database differ: %s", fmt.Sprintf(format, args...))
}

// opened gives the log, or why there is none yet.
func (s *Service) opened() (*tilelog.Log, error) {
	if l := s.log.Load(); l != nil {
		return l, nil
	}
	if err := s.Gate.Cause(); err != nil {
		return nil, err
	}
	return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again in a second", "the audit log is being opened")
}

func (s *Service) dir() string      { return filepath.Join(s.Dir, "log") }
func (s *Service) coldFile() string { return filepath.Join(s.Dir, "cold") }

// coldDirs are where parts of the log were moved.
func (s *Service) coldDirs() []string {
	b, err := os.ReadFile(s.coldFile())
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}

// open opens the log unless that is done, and holds it against the database.
func (s *Service) open(ctx context.Context) (*tilelog.Log, error) {
	if l := s.log.Load(); l != nil {
		return l, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, &slipway.Error{Code: slipway.CodeAuditFull, Kind: slipway.Exhausted, Message: "its directory cannot be made", Next: "let the server write " + s.Dir, Cause: err}
	}
	key, err := audit.LoadKey(s.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := s.finishRebuild(); err != nil {
		return nil, err
	}
	l, err := tilelog.Open(ctx, s.dir(), key, s.coldDirs())
	if err == nil {
		err = s.compare(ctx, l)
	}
	if slipway.AsError(err).Code == slipway.CodeAuditDamaged {
		l, err = s.rebuild(ctx, key, err)
	}
	if err != nil {
		return nil, err
	}
	s.log.Store(l)
	return l, nil
}

// compare holds the newest events of the log against the database: a database that was
// brought back from a copy has fewer, or others.
func (s *Service) compare(ctx context.Context, l *tilelog.Log) error {
	size := l.Size()
	if size == 0 {
		return nil
	}
	from := l.Checkpoint().Size
	if from == size {
		from = size - 1
	}
	for at := from; at < size; {
		events, err := s.Events.List(ctx, int64(at), int(min(size-at, maxBatch)), "")
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return damaged("the log has %d events, and the database %d", size, at)
		}
		leaves, err := leavesOf(events, at)
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			have, err := l.Leaf(at)
			if slipway.AsError(err).Kind == slipway.NotFound {
				return nil // it was moved away
			}
			if err != nil {
				return err
			}
			if at++; string(have) != string(leaf) {
				return damaged("event %d is another in the database", at)
			}
		}
	}
	return nil
}
