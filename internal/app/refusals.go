package app

import (
	"context"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// collectPace is how often the gateway is asked whom it has refused.
const collectPace = 5 * time.Second

// collectRefusals takes whom the gateway has refused into the record, until ctx ends.
func (a *App) collectRefusals(ctx context.Context) {
	tick := time.NewTicker(collectPace)
	defer tick.Stop()
	for {
		if err := a.collect(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Debug("the gateway's refusals were not recorded yet", "error", err.Error())
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

// collect records what the gateway has, once: it forgets what it is told to be recorded.
func (a *App) collect(ctx context.Context) error {
	after, err := a.events.LastFrom(ctx, refusals(gatewayName))
	if err != nil {
		return err
	}
	r, err := a.admin.Refusals(ctx, after)
	if err != nil || len(r.List) == 0 {
		return err
	}
	var events []slipway.Event
	for _, refused := range r.List {
		events = append(events, refusedEvent(r.Gateway, refused))
	}
	return a.events.AppendFrom(ctx, refusals(r.Gateway), r.List[len(r.List)-1].Seq, events...)
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
