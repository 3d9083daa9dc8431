package access

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// collectPace is how often the gateway is asked whom it has refused.
const collectPace = 5 * time.Second

// Refusals takes whom a gateway has refused into the record.
type Refusals struct {
	Name    string // of the gateway
	Gateway Gateway
	Record  Sources
	Log     *slog.Logger
}

// Gateway knows whom it has refused.
type Gateway interface {
	// Refusals gives those above a number, in order, and forgets those up to it.
	Refusals(ctx context.Context, after uint64) (route.Refusals, error)
}

// Sources records events of others that number them, each once.
type Sources interface {
	LastFrom(ctx context.Context, source string) (uint64, error)
	AppendFrom(ctx context.Context, source string, upTo uint64, events ...slipway.Event) error
}

// Run collects until ctx ends.
func (c *Refusals) Run(ctx context.Context) {
	tick := time.NewTicker(collectPace)
	defer tick.Stop()
	for {
		if err := c.Collect(ctx); err != nil && ctx.Err() == nil {
			c.Log.Debug("the gateway's refusals were not recorded yet", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refusals is the source of a gateway's refusals among the events.
func refusals(gateway string) string { return "refusals of " + gateway }

// Collect records what the gateway has, once: it forgets what it is told to be recorded.
func (c *Refusals) Collect(ctx context.Context) error {
	after, err := c.Record.LastFrom(ctx, refusals(c.Name))
	if err != nil {
		return err
	}
	r, err := c.Gateway.Refusals(ctx, after)
	if err != nil || len(r.List) == 0 {
		return err
	}
	var events []slipway.Event
	for _, refused := range r.List {
		events = append(events, refusedEvent(r.Gateway, refused))
	}
	return c.Record.AppendFrom(ctx, refusals(c.Name), r.List[len(r.List)-1].Seq, events...)
}

func refusedEvent(gateway string, r route.Refusal) slipway.Event {
	ev := slipway.Event{ID: slipway.NewID("evt", r.Time), Time: r.Time, Actor: "unknown", Action: "access." + r.What, Subject: "the gateway",
		Detail: map[string]string{"action": "endpoint:predict", "gateway": gateway}}
	if r.Principal != "" {
		ev.Actor = r.Principal
	}
	if r.Endpoint != "" {
		ev.Subject = "endpoint " + r.Endpoint
	}
	for k, v := range map[string]string{"token": r.Token, "source": r.Source} {
		if v != "" {
			ev.Detail[k] = v
		}
	}
	if r.Again > 0 {
		ev.Detail["again"], ev.Detail["since"] = strconv.Itoa(r.Again), r.Since.UTC().Format(time.RFC3339)
	}
	if r.Lost > 0 {
		ev.Detail["lost"] = strconv.Itoa(r.Lost)
	}
	return ev
}
