package rollout

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// Controller drives every rollout of an installation: it observes the gateway, reconciles
// its vetoes, advances the states and publishes the table. One controller runs at a time.
type Controller struct {
	store   Store
	ledger  Ledger
	gateway Gateway
	grants  Grants
	check   LiveCheck
	now     func() time.Time
	log     *slog.Logger

	poke chan struct{}

	mu      sync.Mutex // guards a pass of the loop against commands
	last    route.Table
	applied bool // last is what the gateway has
	fresh   time.Time
	checks  map[string]*liveCheck
	saved   map[string]time.Time // when a deployment's state was last written

	watchMu sync.Mutex
	changed chan struct{}
}

// Config is what a Controller is made of.
type Config struct {
	Store   Store
	Ledger  Ledger
	Gateway Gateway
	Grants  Grants
	Check   LiveCheck
	Now     func() time.Time
	Log     *slog.Logger
}

// New makes a controller; Run starts it.
func New(c Config) *Controller {
	return &Controller{store: c.Store, ledger: c.Ledger, gateway: c.Gateway, grants: c.Grants, check: c.Check,
		now: c.Now, log: c.Log, poke: make(chan struct{}, 1),
		checks: map[string]*liveCheck{}, saved: map[string]time.Time{}, changed: make(chan struct{})}
}

// Pace of the loop: while something moves, and while nothing does.
const (
	busyTick = 50 * time.Millisecond
	idleTick = time.Second
	saveTick = time.Second // how often the elapsed time of a hold is written down
)

// Run drives rollouts until ctx ends. A failing pass is logged and tried again: what is
// decided lies in the store and at the gateway, never in memory alone.
func (c *Controller) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var lastErr string
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.poke:
		case <-timer.C:
		}
		wait := idleTick
		busy, err := c.pass(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil && err.Error() != lastErr { // once, not at every pass of an outage
				c.log.LogAttrs(ctx, slog.LevelWarn, "rollout pass failed", slog.String("error", err.Error()), slog.Any("cause", errors.Unwrap(err)))
			}
			lastErr, wait = err.Error(), 4*busyTick
		case busy:
			lastErr, wait = "", busyTick
		default:
			lastErr = ""
		}
		timer.Reset(wait)
	}
}

// Poke asks for a pass now, after a change of the grants or of a deployment.
func (c *Controller) Poke() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Changed gives a channel that is closed at the next change of any deployment or endpoint.
func (c *Controller) Changed() <-chan struct{} {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	return c.changed
}

// Announce wakes those that wait for Changed.
func (c *Controller) Announce() {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Reconcile takes up what the gateway has done by itself, such as a rollback of a moment
// ago.
func (c *Controller) Reconcile(ctx context.Context) error {
	_, err := c.pass(ctx)
	return err
}

// pass is one turn of the loop; busy tells whether anything is under way.
func (c *Controller) pass(ctx context.Context) (busy bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	obs, err := c.gateway.Observe(ctx)
	if err != nil {
		return false, err
	}
	if err := c.reconcile(ctx, obs); err != nil {
		return false, err
	}
	endpoints, err := c.store.Endpoints(ctx)
	if err != nil {
		return false, err
	}
	for i := range endpoints {
		b, err := c.advance(ctx, &endpoints[i], obs)
		if err != nil {
			return busy, err
		}
		busy = busy || b
	}
	if err := c.publish(ctx, endpoints, obs); err != nil {
		return busy, err
	}
	c.freshen(ctx)
	return busy, nil
}

// freshTick is how often the gateway hears that its grants are still those of now.
const freshTick = time.Second

// freshen tells the gateway, which refuses some calls when it has not heard from here for
// long. That it did not hear is no reason to hold a rollout up.
func (c *Controller) freshen(ctx context.Context) {
	now := c.now()
	if !c.applied || now.Sub(c.fresh) < freshTick {
		return
	}
	if err := c.gateway.Fresh(ctx); err != nil {
		c.log.LogAttrs(ctx, slog.LevelDebug, "the gateway was not told that its grants are fresh", slog.String("error", err.Error()))
		return
	}
	c.fresh = now
}

// publish builds the table from the endpoints and hands it over if it differs from what
// the gateway has. A veto that crosses it on the way is reconciled in the next pass.
func (c *Controller) publish(ctx context.Context, endpoints []Endpoint, obs route.Observation) error {
	grants, err := c.grants(ctx)
	if err != nil {
		return err
	}
	t := route.Table{Grants: grants}
	for i := range endpoints {
		t.Endpoints = append(t.Endpoints, endpoints[i].wire())
	}
	t.Seq = c.last.Seq
	if c.applied && obs.Seq == c.last.Seq && reflect.DeepEqual(t, c.last) {
		return nil
	}
	t.Seq = max(obs.Seq, c.last.Seq) + 1
	c.applied = false
	err = c.gateway.Apply(ctx, t)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeVetoed}) {
		c.Poke()
		return nil
	}
	if err != nil {
		return err
	}
	c.last, c.applied = t, true
	c.Poke() // an acknowledgement lets a promotion commit
	return nil
}

// acknowledged tells whether the gateway has a table that promotes this rollout.
func (c *Controller) acknowledged(key string, r *route.Rollout) bool {
	if !c.applied || r == nil {
		return false
	}
	e := c.last.Endpoint(key)
	return e != nil && e.Rollout != nil && e.Rollout.Promoted && e.Rollout.Key() == r.Key()
}

func (c *Controller) event(action, subject, actor string, detail ...string) slipway.Event {
	now := c.now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: subject, Detail: map[string]string{}}
	for i := 0; i+1 < len(detail); i += 2 {
		ev.Detail[detail[i]] = detail[i+1]
	}
	return ev
}

// commit writes a change and tells the watchers.
func (c *Controller) commit(ctx context.Context, ch Change, events ...slipway.Event) error {
	if err := c.store.Commit(ctx, ch, events...); err != nil {
		return err
	}
	c.Announce()
	return nil
}
