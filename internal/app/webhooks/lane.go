package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// lane sends what waits for one hook, one after the other and in order. It lives while
// something waits.
type lane struct {
	poked chan struct{}
	again bool // something was queued since the lane looked last; under the service's lock
}

// start makes a lane of a hook, or tells the one that is there that more has come.
func (s *Service) start(ctx context.Context, hook string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[hook]; l != nil {
		l.again = true
		return
	}
	l := &lane{poked: make(chan struct{}, 1)}
	s.lanes[hook] = l
	s.wg.Go(func() { s.drive(ctx, hook, l) })
}

// poke ends the pause of a lane.
func (s *Service) poke(hook string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[hook]; l != nil {
		select {
		case l.poked <- struct{}{}:
		default:
		}
	}
}

// drive is the life of a lane.
func (s *Service) drive(ctx context.Context, hook string, l *lane) {
	now := false
	for ctx.Err() == nil {
		s.mu.Lock()
		l.again = false
		s.mu.Unlock()
		wait, err := s.sendFirst(ctx, hook, now)
		now = false
		switch {
		case errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}): // nothing waits, or there is no such hook any more
			if s.park(hook, l) {
				return
			}
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("a webhook is not sent what waits for it", "webhook", hook, "error", err.Error())
			sleep(ctx, pause, nil)
		case wait > 0:
			now = sleep(ctx, wait, l.poked)
		}
	}
}

// park ends a lane, unless more has come.
func (s *Service) park(hook string, l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.again {
		return false
	}
	delete(s.lanes, hook)
	return true
}

// sendFirst makes an attempt with what waits longest for a hook, or says how long that has to
// wait unless it shall be sent now. It answers CodeNotFound when nothing waits.
func (s *Service) sendFirst(ctx context.Context, hook string, now bool) (time.Duration, error) {
	d, err := s.Store.First(ctx, hook)
	if err != nil {
		return 0, err
	}
	if wait := d.Next.Sub(s.Now()); wait > 0 && !now {
		return wait, nil
	}
	h, err := s.Store.Hook(ctx, hook)
	if err != nil {
		return 0, err
	}
	secret, err := s.secret(ctx, &h)
	if lost(err) {
		d.State, d.Finished = webhook.Failed, s.Now()
		return 0, s.finish(ctx, &h, d, h.Health, "its secret cannot be opened any more: set another one")
	}
	if err != nil {
		return 0, err // the key service will be back; it is not the receiver's fault
	}
	places := s.well
	if !h.Failing.IsZero() {
		places = s.ill
	}
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	r := s.Sender.Send(ctx, h.URL, secret, &d)
	<-places
	if ctx.Err() != nil {
		return 0, ctx.Err() // broken off by us: whether it has arrived is not known, so it is sent again
	}
	d, health, why := webhook.Decide(d, h.Health, r, s.Random())
	if why == "" && d.State == webhook.Waiting {
		n, err := s.Store.Waiting(ctx, hook)
		if err != nil {
			return 0, err
		}
		if n > webhook.MaxWaiting {
			d.State, d.Finished = webhook.Failed, s.Now()
			why = fmt.Sprintf("more than %d deliveries wait for it: %s", webhook.MaxWaiting, health.Trouble)
		}
	}
	return 0, s.finish(ctx, &h, d, health, why)
}

// lost says whether a secret is gone for good.
func lost(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) || errors.Is(err, &slipway.Error{Code: slipway.CodeSealed})
}

// finish keeps what has come of an attempt, and the event of a hook that is disabled by it.
func (s *Service) finish(ctx context.Context, h *webhook.Hook, d webhook.Delivery, health webhook.Health, why string) error {
	if why == "" {
		return s.Store.Finish(ctx, d, health, "")
	}
	s.Log.Warn("a webhook is disabled", "webhook", h.ID, "team", h.Team, "host", h.Host(), "reason", why)
	return s.Store.Finish(ctx, d, health, why, s.event("system", "webhook.disabled", h, "reason", why))
}
