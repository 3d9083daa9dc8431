package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/tilelog"
)

// Anchor keeps checkpoints where those who run the platform cannot change them. Its calls
// end with their context.
type Anchor interface {
	// Name says where it is, without secrets.
	Name() string
	// Put keeps a checkpoint. Prove gives the proof that it grew from a smaller tree. One
	// that is there already is no error.
	Put(ctx context.Context, c audit.Checkpoint, key string, prove func(from uint64) ([][]byte, error)) error
	// Last gives the newest checkpoint of a log that is there; without one its Checkpoint is
	// empty.
	Last(ctx context.Context, log string) (audit.Anchored, error)
}

// How an anchor is used.
const (
	anchorPause = time.Minute // at most between an event and its anchoring, when all is well
	anchorFirst = 2 * time.Second
	anchorLimit = 30 * time.Second // of one attempt
	anchorLong  = 10 * time.Minute // between attempts that fail
	anchorLook  = 15 * time.Minute // at one that has the newest checkpoint
)

// anchoring is the state of one anchor.
type anchoring struct {
	anchor Anchor

	mu      sync.Mutex
	size    uint64
	seen    time.Time
	problem string
}

// run brings each new checkpoint to the anchor, and looks whether those that were brought
// are still there.
func (a *anchoring) run(ctx context.Context, s *Service) {
	wait, failed := anchorFirst, anchorFirst
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		l, err := s.opened()
		if err != nil {
			continue
		}
		a.mu.Lock()
		current := a.problem == "" && a.size == l.Checkpoint().Size && s.Now().Sub(looked) < anchorLook
		a.mu.Unlock()
		if current {
			continue
		}
		if err := a.once(ctx, s, l); err != nil && ctx.Err() == nil {
			s.Log.Warn("the audit log is not anchored", "anchor", a.anchor.Name(), "error", err.Error())
			wait = failed
			failed = min(2*failed, anchorLong)
			continue
		}
		looked = s.Now()
		wait, failed = anchorPause, anchorFirst
	}
}

// once looks at what is there, and brings the newest checkpoint.
func (a *anchoring) once(ctx context.Context, s *Service, l *tilelog.Log) (err error) {
	ctx, cancel := context.WithTimeout(ctx, anchorLimit)
	defer cancel()
	point := l.Checkpoint()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if err != nil {
			a.problem = slipway.AsError(err).Message
			return
		}
		a.size, a.seen, a.problem = point.Size, s.Now(), ""
	}()
	there, err := a.anchor.Last(ctx, l.Key().Name())
	if err == nil {
		err = a.agrees(ctx, l, there, point)
	}
	if err == nil {
		prove := func(from uint64) ([][]byte, error) { return l.Consistency(ctx, from, point.Size) }
		err = a.anchor.Put(ctx, point, l.Key().Public(), prove)
	}
	return err
}

// agrees says whether the log grew from what an anchor has, and whether that is what was
// brought there.
func (a *anchoring) agrees(ctx context.Context, l *tilelog.Log, there audit.Anchored, point audit.Checkpoint) error {
	a.mu.Lock()
	brought := a.size
	a.mu.Unlock()
	if there.Checkpoint == "" {
		if brought > 0 {
			return diverges(a.anchor, "the checkpoints that were there are gone")
		}
		return nil
	}
	public, err := audit.ParsePublic(l.Key().Public())
	if err != nil {
		return err
	}
	c, err := public.Checkpoint([]byte(there.Checkpoint))
	if err != nil {
		return diverges(a.anchor, "%v", err)
	}
	if c.Size < brought {
		return diverges(a.anchor, "it has %d events, and was brought %d", c.Size, brought)
	}
	if c.Size > point.Size {
		return diverges(a.anchor, "it knows %d events, and the log has %d", c.Size, point.Size)
	}
	proof, err := l.Consistency(ctx, c.Size, point.Size)
	if err == nil {
		err = audit.Consistent(c, point, proof)
	}
	if err != nil {
		return diverges(a.anchor, "the log is not the one of %d events that is there: %v", c.Size, err)
	}
	return nil
}

func diverges(a Anchor, format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeAuditAnchor, "platform audit verify, and ask who runs "+a.Name(), "%s differs: %s", a.Name(), fmt.Sprintf(format, args...))
}

func (a *anchoring) view() api.AuditAnchor {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := api.AuditAnchor{Anchor: a.anchor.Name(), Size: a.size, Seen: a.seen, Problem: a.problem}
	if a.seen.IsZero() && a.problem == "" {
		out.Problem = "no checkpoint was brought there yet"
	}
	return out
}

// anchored asks all anchors what they have, with the proof that a checkpoint grew from it.
func (s *Service) anchored(ctx context.Context, l *tilelog.Log, point audit.Checkpoint) []audit.Anchored {
	var out []audit.Anchored
	for _, a := range s.anchors {
		ask, cancel := context.WithTimeout(ctx, anchorLimit)
		there, err := a.anchor.Last(ask, l.Key().Name())
		cancel()
		there.Anchor, there.Seen = a.anchor.Name(), s.Now().UTC()
		if err == nil && there.Checkpoint == "" {
			there.Problem = "it has no checkpoint of this log"
		}
		if err == nil && there.Checkpoint != "" {
			if err = a.agrees(ctx, l, there, point); err == nil {
				there.Proof, err = s.proofFrom(ctx, l, there, point)
			}
		}
		if err != nil {
			there.Problem = slipway.AsError(err).Message
		}
		out = append(out, there)
	}
	return out
}

func (s *Service) proofFrom(ctx context.Context, l *tilelog.Log, there audit.Anchored, point audit.Checkpoint) ([][]byte, error) {
	public, err := audit.ParsePublic(l.Key().Public())
	if err != nil {
		return nil, err
	}
	c, err := public.Checkpoint([]byte(there.Checkpoint))
	if err != nil {
		return nil, err
	}
	return l.Consistency(ctx, c.Size, point.Size)
}
