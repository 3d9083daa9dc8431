package webhooks

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// outbox is how far the record of events was read. One goroutine uses it, but for changed.
type outbox struct {
	changed chan struct{} // has an item after somebody has changed a hook
	stale   bool          // the hooks have to be read again
	hooks   []webhook.Hook
	at      int64 // the last event that was looked at
	saved   int64 // the same, durably
}

func (o *outbox) wake() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

const (
	batch = 500 // events that are read at once
	// lag is how many events that concern nobody are read again after a crash, at most.
	lag     = 1000
	idle    = 30 * time.Second      // between two looks, though nobody has said that there is something
	pause   = 5 * time.Second       // after an error
	breathe = 20 * time.Millisecond // after events that concern nobody: the next come together
)

// Run reads the record and sends until ctx ends.
func (s *Service) Run(ctx context.Context) {
	defer s.wg.Wait()
	s.resume(ctx)
	for ctx.Err() == nil {
		more, found, err := s.step(ctx)
		wait := idle
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("events are not sent to webhooks", "error", err.Error())
			wait = pause
		case more:
			continue
		case !found && len(s.outbox.hooks) > 0:
			sleep(ctx, breathe, nil)
		}
		select {
		case <-ctx.Done():
		case <-s.outbox.changed:
			s.outbox.stale = true
		case <-s.Committed:
		case <-time.After(wait):
		}
	}
}

// sleep waits, and says whether it was poked before the time was over.
func sleep(ctx context.Context, d time.Duration, poked <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-poked:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// resume finds how far the record was read.
func (s *Service) resume(ctx context.Context) {
	for ctx.Err() == nil {
		at, err := s.Store.Cursor(ctx)
		if err == nil {
			s.outbox.at, s.outbox.saved, s.outbox.stale = at, at, true
			return
		}
		s.Log.Warn("webhooks are not sent what waits for them", "error", err.Error())
		sleep(ctx, pause, nil)
	}
}

// step queues what the next events mean. While there is no hook nothing is read: the first one
// is told of what comes after it.
func (s *Service) step(ctx context.Context) (more, found bool, err error) {
	o := &s.outbox
	if o.stale {
		if err := s.load(ctx); err != nil {
			return false, false, err
		}
	}
	if len(o.hooks) == 0 {
		return false, false, nil
	}
	events, err := s.Events.List(ctx, o.at, batch, "")
	if err != nil || len(events) == 0 {
		return false, false, err
	}
	more = len(events) == batch
	// A change of hooks counts from its place in the record on.
	if i := slices.IndexFunc(events, func(e event.Event) bool { return strings.HasPrefix(e.Action, "webhook.") }); i >= 0 {
		more = more || i+1 < len(events)
		events, o.stale = events[:i+1], true
	}
	to := events[len(events)-1].Seq
	queued, err := s.deliveries(ctx, events)
	if err == nil && (len(queued) > 0 || to-o.saved >= lag || o.stale) {
		if err = s.Store.Queue(ctx, o.saved, to, queued); err == nil {
			o.saved = to
		}
	}
	if err != nil {
		return false, false, err
	}
	o.at = to
	for _, d := range queued {
		s.start(ctx, d.Hook)
	}
	return more, len(queued) > 0, nil
}

// load reads the active hooks, skips what is older than all of them, and sees to it that what
// waits is sent: from before a crash, or again.
func (s *Service) load(ctx context.Context) error {
	o := &s.outbox
	hooks, err := s.Store.Hooks(ctx, webhook.Query{Active: true})
	if err != nil {
		return err
	}
	busy, err := s.Store.Busy(ctx)
	if err != nil {
		return err
	}
	o.hooks, o.stale = hooks, false
	if len(hooks) > 0 {
		oldest := slices.MinFunc(hooks, func(a, b webhook.Hook) int { return cmp.Compare(a.Since, b.Since) })
		o.at = max(o.at, oldest.Since)
	}
	for _, hook := range busy {
		s.start(ctx, hook)
	}
	return nil
}

// deliveries is what events mean for the hooks.
func (s *Service) deliveries(ctx context.Context, events []event.Event) (out []webhook.Delivery, err error) {
	for i := range events {
		e := &events[i]
		if !s.outbox.wants(e.Action) {
			continue
		}
		notices, err := webhook.Translate(ctx, &e.Event, s.Facts)
		if err != nil {
			return nil, err
		}
		for part, n := range notices {
			var body []byte
			for k := range s.outbox.hooks {
				h := &s.outbox.hooks[k]
				if !h.Wants(n.Event, e.Seq) || !s.sees(h, n.About) {
					continue
				}
				if body == nil {
					if body, err = webhook.Body(n.Event, n.About.Team, e.Time, n.Data); err != nil {
						return nil, err
					}
				}
				now := s.Now()
				out = append(out, webhook.Delivery{Hook: h.ID, Seq: e.Seq, Part: part, ID: newDelivery(now), Event: n.Event, Body: body, State: webhook.Waiting, Next: now, Created: now})
			}
		}
	}
	return out, nil
}

// wants says whether any hook may be told of an action. Nothing is looked up for others.
func (o *outbox) wants(action string) bool {
	return slices.ContainsFunc(webhook.Means(action), func(e webhook.Event) bool {
		return slices.ContainsFunc(o.hooks, func(h webhook.Hook) bool { return slices.Contains(h.Events, e) })
	})
}

// sees says whether a hook is told of a resource: one of its own team, which the policies let
// an engineer of the team read; or any, which they let a platform engineer read.
func (s *Service) sees(h *webhook.Hook, r webhook.Resource) bool {
	role := slipway.Role{Name: slipway.RolePlatformEngineer}
	if h.Team != "" {
		if h.Team != r.Team {
			return false
		}
		role = slipway.Role{Name: slipway.RoleEngineer, Team: h.Team}
	}
	p := slipway.Principal{ID: "webhook " + h.ID, Kind: slipway.Service, Roles: []slipway.Role{role}}
	action, of := authz.ModelRead, authz.Resource{Kind: authz.KindModel, Name: r.Name, Team: r.Team, Classification: r.Classification}
	if r.Kind == webhook.OfEndpoint {
		_, env, _ := slipway.ParseEndpoint(r.Name) // a stored key is valid
		action, of = authz.EndpointRead, authz.Resource{Kind: authz.KindEndpoint, Name: r.Name, Team: r.Team, Tier: r.Tier, Environment: env, Classification: r.Classification}
	}
	return s.Access.Allows(p, action, of)
}
