package webhooks

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// V1 implements httpapi.Webhooks.
type V1 struct{ *Service }

func (v V1) view(ctx context.Context, h *webhook.Hook) (api.Webhook, error) {
	out := api.Webhook{ID: h.ID, Team: h.Team, Name: h.Name, URL: h.URL, Description: h.Description, Status: string(h.Status), Signed: len(h.Sealed) > 0,
		Created: h.Created, Updated: h.Updated, By: h.By, Because: h.Why, Failing: h.Failing, Failures: h.Failures, Trouble: h.Trouble}
	for _, e := range h.Events {
		out.Events = append(out.Events, string(e))
	}
	if h.Failing.IsZero() {
		return out, nil
	}
	var err error
	out.Waiting, err = v.Store.Waiting(ctx, h.ID)
	return out, err
}

func badCursor() error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the cursor of the last page", "this is no cursor")
}

// Webhooks implements httpapi.Webhooks. The cursor is the last hook's time and id.
func (v V1) Webhooks(ctx context.Context, p slipway.Principal, team, cursor string, limit int) (api.Page[api.Webhook], error) {
	page := api.Page[api.Webhook]{Items: []api.Webhook{}}
	var before *webhook.Hook
	if cursor != "" {
		at, id, ok := strings.Cut(cursor, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return page, badCursor()
		}
		before = &webhook.Hook{ID: id, Created: sqlstore.Time(us)}
	}
	q := webhook.Query{Before: before, Limit: limit + 1}
	if team != "" {
		q.Teams = []string{team}
	}
	found, err := v.List(ctx, p, q)
	if err != nil {
		return page, err
	}
	for i := range found[:min(limit, len(found))] {
		item, err := v.view(ctx, &found[i])
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, item)
	}
	if len(found) > limit {
		last := &found[limit-1]
		page.Next = fmt.Sprintf("%d.%s", sqlstore.Micros(last.Created), last.ID)
	}
	return page, nil
}

// Webhook implements httpapi.Webhooks.
func (v V1) Webhook(ctx context.Context, p slipway.Principal, id string) (api.Webhook, error) {
	h, err := v.One(ctx, p, id)
	if err != nil {
		return api.Webhook{}, err
	}
	return v.view(ctx, &h)
}

func eventsOf(names []string) ([]webhook.Event, error) {
	var out []webhook.Event
	for _, name := range names {
		e, err := webhook.ParseEvent(name)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// CreateWebhook implements httpapi.Webhooks.
func (v V1) CreateWebhook(ctx context.Context, p slipway.Principal, r api.CreateWebhook) (api.Webhook, error) {
	if (r.Team == "") != r.AllTeams {
		return api.Webhook{}, slipway.Errorf(slipway.Invalid, slipway.CodeWebhook, "platform webhooks create NAME --team TEAM", "a webhook is of a team, or told of all teams' events: one of both")
	}
	events, err := eventsOf(r.Events)
	if err != nil {
		return api.Webhook{}, err
	}
	h, err := v.Create(ctx, p, r.Team, webhook.Change{Name: &r.Name, URL: &r.URL, Description: &r.Description, Secret: &r.Secret, Events: events})
	if err != nil {
		return api.Webhook{}, err
	}
	return v.view(ctx, &h)
}

// ChangeWebhook implements httpapi.Webhooks.
func (v V1) ChangeWebhook(ctx context.Context, p slipway.Principal, id string, r api.ChangeWebhook) (api.Webhook, error) {
	events, err := eventsOf(r.Events)
	if err != nil {
		return api.Webhook{}, err
	}
	h, err := v.Change(ctx, p, id, webhook.Change{Name: r.Name, URL: r.URL, Description: r.Description, Secret: r.Secret, Events: events, Status: webhook.Status(r.Status)})
	if err != nil {
		return api.Webhook{}, err
	}
	return v.view(ctx, &h)
}

// DeleteWebhook implements httpapi.Webhooks.
func (v V1) DeleteWebhook(ctx context.Context, p slipway.Principal, id string) error {
	return v.Delete(ctx, p, id)
}

func attemptView(a *webhook.Attempt) api.WebhookAttempt {
	return api.WebhookAttempt{Time: a.Time, Took: float64(a.Took.Microseconds()) / 1000, Status: a.Status, Error: a.Error}
}

// TestWebhook implements httpapi.Webhooks.
func (v V1) TestWebhook(ctx context.Context, p slipway.Principal, id, event string) (api.WebhookTest, error) {
	var e webhook.Event
	if event != "" {
		var err error
		if e, err = webhook.ParseEvent(event); err != nil {
			return api.WebhookTest{}, err
		}
	}
	r, said, err := v.Test(ctx, p, id, e)
	return api.WebhookTest{Arrived: webhook.FateOf(r.Status) == webhook.Arrived, WebhookAttempt: attemptView(&r.Attempt), Said: said}, err
}

// WebhookDeliveries implements httpapi.Webhooks. The cursor is the place of the last one.
func (v V1) WebhookDeliveries(ctx context.Context, p slipway.Principal, id, state, cursor string, limit int) (api.Page[api.WebhookDelivery], error) {
	page := api.Page[api.WebhookDelivery]{Items: []api.WebhookDelivery{}}
	var before webhook.Place
	if cursor != "" {
		if n, err := fmt.Sscanf(cursor, "%d.%d", &before.Seq, &before.Part); n != 2 || err != nil || before.Seq < 1 {
			return page, badCursor()
		}
	}
	found, err := v.Deliveries(ctx, p, id, webhook.State(state), before, limit+1)
	if err != nil {
		return page, err
	}
	for i := range found[:min(limit, len(found))] {
		d := &found[i]
		item := api.WebhookDelivery{ID: d.ID, Event: string(d.Event), Seq: d.Seq, State: string(d.State), Created: d.Created, Next: d.Next, Finished: d.Finished}
		for k := range d.Attempts {
			item.Attempts = append(item.Attempts, attemptView(&d.Attempts[k]))
		}
		page.Items = append(page.Items, item)
	}
	if len(found) > limit {
		page.Next = fmt.Sprintf("%d.%d", found[limit-1].Seq, found[limit-1].Part)
	}
	return page, nil
}

// Redeliver implements httpapi.Webhooks.
func (v V1) Redeliver(ctx context.Context, p slipway.Principal, id string, r api.Redeliver) (api.Redelivered, error) {
	if (len(r.Deliveries) == 0) != r.Failed { // after who may ask: no denied attempt goes unrecorded
		if _, err := v.One(ctx, p, id); err != nil {
			return api.Redelivered{}, err
		}
		return api.Redelivered{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "platform webhooks deliveries "+id, "name deliveries, or ask for all that have failed")
	}
	n, err := v.Service.Redeliver(ctx, p, id, r.Deliveries)
	return api.Redelivered{Deliveries: n}, err
}

// ailing is how long a hook may fail before the doctor says so.
const ailing = 10 * time.Minute

// Findings are what the doctor says of webhooks.
func (s *Service) Findings(ctx context.Context) []api.Finding {
	all, err := s.Store.Hooks(ctx, webhook.Query{})
	if err != nil {
		return []api.Finding{{Check: "webhooks", Verdict: "warn", Message: "they cannot be listed: " + slipway.AsError(err).Message, Next: "try again"}}
	}
	var out []api.Finding
	for i := range all {
		h := &all[i]
		who := h.Name + " of " + h.Team
		if h.Team == "" {
			who = h.Name + " of all teams"
		}
		switch {
		case h.Status == webhook.Disabled && h.Why != "":
			out = append(out, api.Finding{Check: "webhook", Verdict: "warn", Message: who + " was disabled: " + h.Why, Next: "platform webhooks update " + h.ID + " --enable"})
		case h.Status == webhook.Active && !h.Failing.IsZero() && s.Now().Sub(h.Failing) >= ailing:
			out = append(out, api.Finding{Check: "webhook", Verdict: "warn", Message: fmt.Sprintf("%s is not reached since %s: %s", who, h.Failing.Format("2006-01-02 15:04"), h.Trouble), Next: "platform webhooks test " + h.ID})
		}
	}
	if len(out) == 0 {
		out = append(out, api.Finding{Check: "webhooks", Verdict: "pass", Message: fmt.Sprintf("%d of %d are well", len(all), len(all))})
	}
	return out
}
