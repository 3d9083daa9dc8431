package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/webhooks"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	webhookstore "github.com/slipway-ml/slipway/internal/sqlstore/webhook"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// access decides by the policies of the program, and counts what it refuses.
type access struct {
	engine *authz.Engine
	mu     sync.Mutex
	denied int
}

func (a *access) Allows(p slipway.Principal, action authz.Action, r authz.Resource) bool {
	return a.engine.Decide(authz.Request{Principal: p, Action: action, Resource: r}).Allow
}

func (a *access) Check(_ context.Context, p slipway.Principal, action authz.Action, r authz.Resource) error {
	err := a.engine.Check(authz.Request{Principal: p, Action: action, Resource: r})
	if err != nil {
		a.mu.Lock()
		a.denied++
		a.mu.Unlock()
		return err
	}
	return nil
}

func (a *access) Enter(ctx context.Context, p slipway.Principal, action authz.Action, _ string) error {
	if a.engine.Conceivable(p, action) {
		return nil
	}
	return a.Check(ctx, p, action, authz.Resource{Kind: authz.Actions[action].Kind})
}

// sealer seals by writing before a value what it is bound to.
type sealer struct {
	mu  sync.Mutex
	err error
}

func (s *sealer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sealer) Seal(_ context.Context, space keys.Space, l keys.Label, plain []byte) ([]byte, error) {
	return []byte(string(space) + "|" + l.Object + "|" + string(plain)), nil
}

func (s *sealer) Open(_ context.Context, space keys.Space, l keys.Label, sealed []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := string(space) + "|" + l.Object + "|"
	if s.err == nil && string(sealed[:len(head)]) != head {
		return nil, errors.New("it is sealed for another")
	}
	return sealed[len(head):], s.err
}

// facts has models "fraud" of the team risk and "other" of growth.
type facts struct{}

func (facts) Model(_ context.Context, name string) (webhook.Model, error) {
	return webhook.Model{Team: map[string]string{"fraud": "risk", "other": "growth"}[name]}, nil
}
func (facts) Version(context.Context, string, string) (webhook.Version, error) {
	return webhook.Version{Source: "s3://bucket/x"}, nil
}
func (facts) Alias(context.Context, string, string, time.Time) (string, error) { return "", nil }
func (facts) Endpoint(context.Context, string) (webhook.Resource, error) {
	return webhook.Resource{}, nil
}
func (facts) Deployment(context.Context, string) (webhook.Deployment, error) {
	return webhook.Deployment{}, nil
}

// sent is one attempt as receivers have seen it.
type sent struct {
	url, id, secret string
	body            string
	at              time.Time
}

// receivers answer what the test wants, and remember.
type receivers struct {
	mu     sync.Mutex
	answer func(sent) int // nil: 200
	took   time.Duration
	all    []sent
	most   int // at once, to one URL
	now    map[string]int
}

func (r *receivers) Send(ctx context.Context, url string, secret []byte, d *webhook.Delivery) webhook.Result {
	result, _ := r.Try(ctx, url, secret, d)
	return result
}

func (r *receivers) Try(ctx context.Context, url string, secret []byte, d *webhook.Delivery) (webhook.Result, string) {
	s := sent{url, d.ID, string(secret), string(d.Body), time.Now()}
	r.mu.Lock()
	if r.now == nil {
		r.now = map[string]int{}
	}
	r.now[url]++
	r.most = max(r.most, r.now[url])
	r.all = append(r.all, s)
	answer, took := r.answer, r.took
	r.mu.Unlock()
	status := 200
	if answer != nil {
		status = answer(s)
	}
	if status == 0 {
		took = 10 * time.Second // the limit
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[url]--
	out := webhook.Result{Attempt: webhook.Attempt{Time: s.at, Took: took, Status: status}}
	if status == 0 {
		out.Error = "no answer within 10s"
	}
	return out, "ok"
}

// answers says what receivers answer from now on.
func (r *receivers) answers(f func(sent) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// seen are all attempts, in the order in which they came.
func (r *receivers) seen() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// busiest is how many attempts there were at once to one URL.
func (r *receivers) busiest() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// to gives what a URL got, in the order in which it came.
func (r *receivers) to(url string) []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.all), func(s sent) bool { return s.url != url })
}

// site is an installation with a service of webhooks.
type site struct {
	*webhooks.Service
	access *access
	sealer *sealer
	out    *receivers
	events *event.Store
}

func newSite(t *testing.T, db *sqlstore.DB) *site {
	t.Helper()
	engine, err := authz.New(authz.Policies(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{access: &access{engine: engine}, sealer: &sealer{}, out: &receivers{}, events: event.New(db)}
	s.Service = s.again(t, db, s.out)
	return s
}

// again makes another service of the same state.
func (s *site) again(t *testing.T, db *sqlstore.DB, out webhooks.Sender) *webhooks.Service {
	t.Helper()
	return webhooks.New(webhooks.Config{Store: webhookstore.New(db), Events: s.events, Committed: db.Recorded(), Facts: facts{}, Access: s.access, Sealer: s.sealer, Sender: out,
		Reach: config.Receivers{}, Now: time.Now, Random: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
}

// run lets the service work until the test ends.
func (s *site) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
}

func engineer(team string) slipway.Principal {
	return slipway.Principal{ID: "ada", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: team}}}
}

var platform = slipway.Principal{ID: "pat", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{{Name: slipway.RolePlatformEngineer}}}

func ptr(s string) *string { return &s }

// hook makes one of a team that is told of models and aliases.
func (s *site) hook(t *testing.T, p slipway.Principal, team, url string) webhook.Hook {
	t.Helper()
	h, err := s.Create(t.Context(), p, team, webhook.Change{Name: ptr("slack"), URL: &url, Secret: ptr("s3cret-s3cret"), Events: []webhook.Event{webhook.ModelCreated, webhook.VersionCreated, webhook.AliasMoved}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// record records that something happened to a model.
func (s *site) record(t *testing.T, action, subject string) {
	t.Helper()
	now := time.Now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "ada", Action: action, Subject: subject, Detail: map[string]string{"to": "1", "number": "1"}}
	if err := s.events.Append(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

func said(t *testing.T, s sent) (event, name string) {
	t.Helper()
	var m struct {
		Entity, Action string
		Data           struct{ Name string }
	}
	if err := json.Unmarshal([]byte(s.body), &m); err != nil {
		t.Fatal(err)
	}
	return m.Entity + "." + m.Action, m.Data.Name
}
