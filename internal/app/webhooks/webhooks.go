// Package webhooks lets people make webhooks, and sends what their teams are told of.
package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Store keeps hooks and what they are sent.
type Store interface {
	webhook.Hooks
	webhook.Changes
	webhook.Outbox
	webhook.Log
}

// Events is the record of events.
type Events interface {
	List(ctx context.Context, after int64, limit int, subject string) ([]event.Event, error)
	Append(ctx context.Context, events ...slipway.Event) error
}

// Access decides who may do what.
type Access interface {
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
	// Enter answers Denied unless there may be something that the principal can do the action with.
	Enter(ctx context.Context, p slipway.Principal, a authz.Action, name string) error
}

// Sealer keeps secrets of teams.
type Sealer interface {
	Seal(ctx context.Context, s keys.Space, l keys.Label, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, s keys.Space, l keys.Label, sealed []byte) ([]byte, error)
}

// Sender posts a delivery.
type Sender interface {
	Send(ctx context.Context, url string, secret []byte, d *webhook.Delivery) webhook.Result
	// Try also gives the beginning of what the receiver has said.
	Try(ctx context.Context, url string, secret []byte, d *webhook.Delivery) (webhook.Result, string)
}

// Config is what a Service is made of.
type Config struct {
	Store     Store
	Events    Events
	Committed <-chan struct{} // has an item after events were committed
	Facts     webhook.Facts
	Access    Access
	Sealer    Sealer
	Sender    Sender
	Reach     webhook.Reach
	Now       func() time.Time
	Random    func() float64 // uniform in [0, 1)
	Log       *slog.Logger
}

// Service is the use cases, and the outbox. It is safe for concurrent use.
type Service struct {
	Config
	outbox outbox

	well, ill chan struct{} // places for those that send at once

	mu    sync.Mutex
	lanes map[string]*lane
	wg    sync.WaitGroup
}

// Requests at once: receivers that fail have places of their own, so that however many there
// are, and however long they take, the others are sent to.
const (
	wellAtOnce = 12
	illAtOnce  = 4
)

// New makes a Service.
func New(c Config) *Service {
	s := &Service{Config: c, lanes: map[string]*lane{}, well: make(chan struct{}, wellAtOnce), ill: make(chan struct{}, illAtOnce)}
	s.outbox = outbox{changed: make(chan struct{}, 1), stale: true}
	return s
}

// spaceOf is where the secrets of a team are sealed.
func spaceOf(team string) keys.Space {
	if team == "" {
		return keys.Platform
	}
	return keys.Team(team)
}

// KindSecret is the kind of sealed secrets of webhooks.
const KindSecret = "webhook-secret"

func labelOf(hook string) keys.Label { return keys.Label{Object: hook, Kind: KindSecret, Version: 1} }

func (s *Service) seal(ctx context.Context, h *webhook.Hook, secret string) (err error) {
	h.Sealed = nil
	if secret != "" {
		h.Sealed, err = s.Sealer.Seal(ctx, spaceOf(h.Team), labelOf(h.ID), []byte(secret))
	}
	return err
}

// secret opens a hook's secret, nil without one.
func (s *Service) secret(ctx context.Context, h *webhook.Hook) ([]byte, error) {
	if len(h.Sealed) == 0 {
		return nil, nil
	}
	return s.Sealer.Open(ctx, spaceOf(h.Team), labelOf(h.ID), h.Sealed)
}

// Reseal implements keys.Resealer. A team has few hooks: all are moved at once.
func (s *Service) Reseal(ctx context.Context, space keys.Space, below int) (left int, err error) {
	team := space.Owner()
	if space != spaceOf(team) {
		return 0, nil
	}
	all, err := s.Store.Hooks(ctx, webhook.Query{Teams: []string{team}})
	if err != nil {
		return 0, err
	}
	for i := range all {
		h := &all[i]
		was := h.Sealed
		if version, ok := keys.VersionOf(was); !ok || version >= below {
			continue
		}
		secret, err := s.secret(ctx, h)
		if err == nil {
			err = s.seal(ctx, h, string(secret))
		}
		if err == nil {
			err = s.Store.Reseal(ctx, h.ID, was, h.Sealed)
		}
		if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			left++ // others set it: the next call sees
			continue
		}
		if err != nil {
			return left + 1, err
		}
	}
	return left, nil
}

func (s *Service) event(actor, action string, h *webhook.Hook, more ...string) slipway.Event {
	now := s.Now()
	detail := map[string]string{"team": h.Team, "host": h.Host()}
	for i := 0; i+1 < len(more); i += 2 {
		detail[more[i]] = more[i+1]
	}
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: h.ID, Detail: detail}
}

// Create makes a hook of a team, or, with none, of the whole installation.
func (s *Service) Create(ctx context.Context, p slipway.Principal, team string, c webhook.Change) (webhook.Hook, error) {
	if team != "" {
		if _, err := slipway.ParseName(team); err != nil {
			return webhook.Hook{}, err
		}
	}
	if err := s.Access.Check(ctx, p, authz.WebhookManage, authz.WebhooksOf(team)); err != nil {
		return webhook.Hook{}, err
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	h := webhook.Hook{ID: slipway.NewID("whk", now), Team: team, Status: webhook.Active, Created: now, By: p.ID, Revision: 1}
	if c.URL == nil {
		c.URL = new(string)
	}
	h, err := c.Apply(h, s.Reach, now)
	if err == nil && c.Secret != nil {
		err = s.seal(ctx, &h, *c.Secret)
	}
	if err == nil {
		err = s.Store.AddHook(ctx, h, webhook.MaxHooks, s.event(p.ID, "webhook.created", &h, "events", eventsText(h.Events), "signed", strconv.FormatBool(len(h.Sealed) > 0)))
	}
	s.outbox.wake()
	return h, err
}

func eventsText(all []webhook.Event) string {
	var out []string
	for _, e := range all {
		out = append(out, string(e))
	}
	return strings.Join(out, " ")
}

// One gives a hook that the principal may see. What he may not is not there.
func (s *Service) One(ctx context.Context, p slipway.Principal, id string) (webhook.Hook, error) {
	return s.find(ctx, p, id, authz.WebhookRead)
}

// find gives a hook with which the principal may do an action.
func (s *Service) find(ctx context.Context, p slipway.Principal, id string, a authz.Action) (webhook.Hook, error) {
	h, err := s.Store.Hook(ctx, id)
	if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return webhook.Hook{}, err
	}
	of := authz.WebhooksOf(h.Team)
	if err == nil && s.Access.Allows(p, authz.WebhookRead, of) {
		return h, s.Access.Check(ctx, p, a, of)
	}
	if err == nil { // the attempt is recorded; the answer is that of one that is not there
		if denied := s.Access.Check(ctx, p, a, of); denied != nil && !errors.Is(denied, &slipway.Error{Code: slipway.CodeDenied}) {
			return webhook.Hook{}, denied
		}
	}
	if err := s.Access.Enter(ctx, p, a, ""); err != nil {
		return webhook.Hook{}, err
	}
	return webhook.Hook{}, webhook.Missing(id)
}

// List gives hooks that the principal may see: of the teams that the query names, nil for all.
func (s *Service) List(ctx context.Context, p slipway.Principal, q webhook.Query) (_ []webhook.Hook, err error) {
	all := q.Teams
	if all == nil {
		if all, err = s.Store.Teams(ctx); err != nil {
			return nil, err
		}
	}
	q.Teams = []string{}
	for _, team := range all {
		if s.Access.Allows(p, authz.WebhookRead, authz.WebhooksOf(team)) {
			q.Teams = append(q.Teams, team)
		}
	}
	return s.Store.Hooks(ctx, q)
}

// Change changes a hook.
func (s *Service) Change(ctx context.Context, p slipway.Principal, id string, c webhook.Change) (webhook.Hook, error) {
	h, err := s.find(ctx, p, id, authz.WebhookManage)
	if err != nil {
		return webhook.Hook{}, err
	}
	was := h
	if h, err = c.Apply(h, s.Reach, s.Now().UTC().Truncate(time.Microsecond)); err != nil {
		return webhook.Hook{}, err
	}
	if c.Secret != nil {
		if err := s.seal(ctx, &h, *c.Secret); err != nil {
			return webhook.Hook{}, err
		}
	}
	detail := []string{"events", eventsText(h.Events), "signed", strconv.FormatBool(len(h.Sealed) > 0)}
	if was.Host() != h.Host() {
		detail = append(detail, "from_host", was.Host())
	}
	if was.Status != h.Status {
		detail = append(detail, "status", string(h.Status))
	}
	if err := s.Store.ChangeHook(ctx, h, s.event(p.ID, "webhook.updated", &h, detail...)); err != nil {
		return webhook.Hook{}, err
	}
	h.Revision++
	s.outbox.wake()
	s.poke(h.ID) // what waits for a receiver that was wrong need not wait longer
	return h, nil
}

// Delete removes a hook, what waits for it and its log.
func (s *Service) Delete(ctx context.Context, p slipway.Principal, id string) error {
	h, err := s.find(ctx, p, id, authz.WebhookManage)
	if err == nil {
		err = s.Store.DeleteHook(ctx, h.ID, s.event(p.ID, "webhook.deleted", &h))
	}
	if err == nil {
		s.outbox.wake()
		s.poke(h.ID)
	}
	return err
}

// Test sends an example of an event, or of the hook's first with "", at once and once. It is
// not queued, and not in the log.
func (s *Service) Test(ctx context.Context, p slipway.Principal, id string, e webhook.Event) (r webhook.Result, said string, err error) {
	h, err := s.find(ctx, p, id, authz.WebhookManage)
	if err != nil {
		return r, "", err
	}
	if e == "" {
		e = h.Events[0]
	}
	now := s.Now()
	d := webhook.Delivery{Hook: h.ID, ID: newDelivery(now), Event: e}
	if d.Body, err = webhook.Body(e, h.Team, now, e.Example()); err != nil {
		return r, "", err
	}
	secret, err := s.secret(ctx, &h)
	if err != nil {
		return r, "", err
	}
	select {
	case s.ill <- struct{}{}:
	case <-ctx.Done():
		return r, "", ctx.Err()
	}
	defer func() { <-s.ill }()
	r, said = s.Sender.Try(ctx, h.URL, secret, &d)
	return r, said, s.Events.Append(ctx, s.event(p.ID, "webhook.tested", &h, "event", string(e), "status", strconv.Itoa(r.Status)))
}

// newDelivery is the id of a delivery: a UUID, as MLflow's are.
func newDelivery(now time.Time) string {
	_, id, _ := strings.Cut(slipway.NewID("dlv", now), "_")
	return id
}

// Deliveries gives the newest deliveries of a hook before a place.
func (s *Service) Deliveries(ctx context.Context, p slipway.Principal, id string, state webhook.State, before webhook.Place, limit int) ([]webhook.Delivery, error) {
	h, err := s.One(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return s.Store.Deliveries(ctx, h.ID, state, before, limit)
}

// Redeliver sends deliveries again, or with no id all that have failed, and says how many.
func (s *Service) Redeliver(ctx context.Context, p slipway.Principal, id string, ids []string) (int, error) {
	h, err := s.find(ctx, p, id, authz.WebhookManage)
	if err != nil {
		return 0, err
	}
	if h.Status != webhook.Active {
		return 0, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform webhooks update "+h.ID+" --enable", "the webhook is disabled")
	}
	what := "all that failed"
	if len(ids) > 0 {
		what = strings.Join(ids, " ")
	}
	n, err := s.Store.Redeliver(ctx, h.ID, ids, s.Now(), s.event(p.ID, "webhook.redelivered", &h, "deliveries", what))
	if n > 0 {
		s.outbox.wake()
		s.poke(h.ID)
	}
	return n, err
}
