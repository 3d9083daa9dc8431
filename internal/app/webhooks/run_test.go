package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// TestTold: hooks are told, in order and signed, of what their teams have, and of what came
// after they were made.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		s.record(t, "model.created", "fraud")
		s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
		s.hook(t, platform, "", "https://all.example.com/")
		s.record(t, "model.created", "fraud")
		s.record(t, "model.created", "other")
		s.record(t, "account.created", "eve")
		s.record(t, "alias.moved", "fraud@champion")
		time.Sleep(time.Second)
		for url, want := range map[string]string{
			"https://risk.example.com/": "registered_model.created fraud, alias.moved fraud",
			"https://all.example.com/":  "registered_model.created fraud, registered_model.created other, alias.moved fraud",
		} {
			var got []string
			for _, m := range s.out.to(url) {
				e, name := said(t, m)
				got = append(got, e+" "+name)
				if m.secret != "s3cret-s3cret" {
					t.Errorf("it was signed with %q", m.secret)
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%s got %v, want %s", url, got, want)
			}
		}
	})
}

// TestPoliciesDecide: a hook is told of what the policies let its team read, and of no more.
func TestPoliciesDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		text := string(authz.Policies()) + `
@id("fraud-is-for-people")
forbid (principal, action == Action::"model:read", resource)
when { resource.name == "fraud" && principal.kind == "service" };
`
		engine, err := authz.New([]byte(text), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		s.access.engine = engine
		s.run(t)
		s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
		s.hook(t, platform, "", "https://all.example.com/")
		s.record(t, "model.created", "fraud")
		s.record(t, "model.created", "other")
		time.Sleep(time.Second)
		if n, m := len(s.out.to("https://risk.example.com/")), len(s.out.to("https://all.example.com/")); n != 0 || m != 1 {
			t.Errorf("%d and %d were told", n, m)
		}
	})
}

// TestOneDeadReceiver: however many receivers do not answer, the others are told at once, and
// what waits for the dead ones comes to them in order when they are back.
func TestOneDeadReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		dead := true
		var mu sync.Mutex
		s.out.answers(func(m sent) int {
			mu.Lock()
			defer mu.Unlock()
			if dead && strings.HasPrefix(m.url, "https://dead") {
				return 0
			}
			return 200
		})
		for i := range 20 {
			s.hook(t, engineer("risk"), "risk", fmt.Sprintf("https://dead%d.example.com/", i))
		}
		s.hook(t, engineer("risk"), "risk", "https://well.example.com/")
		s.record(t, "model.created", "fraud")
		time.Sleep(time.Minute) // until each dead one is known as that
		const more = 5
		began := time.Now()
		for range more {
			s.record(t, "alias.moved", "fraud@champion")
		}
		time.Sleep(100 * time.Millisecond)
		well := s.out.to("https://well.example.com/")
		if len(well) != 1+more || time.Since(began) > 200*time.Millisecond {
			t.Errorf("the receiver that is well got %d of %d", len(well), 1+more)
		}
		mu.Lock()
		dead = false
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		for i := range 20 {
			var order []string
			seen := map[string]bool{}
			for _, m := range s.out.to(fmt.Sprintf("https://dead%d.example.com/", i)) {
				if !seen[m.id] {
					seen[m.id] = true
					e, _ := said(t, m)
					order = append(order, e)
				}
			}
			if len(order) != 1+more || order[0] != "registered_model.created" {
				t.Errorf("dead%d got %v", i, order)
			}
		}
		if s.out.busiest() != 1 {
			t.Errorf("%d requests at once to one receiver", s.out.busiest())
		}
	})
}

// TestGivenUp: a receiver that fails for a day is disabled, with an event and a finding; what
// waited has failed, and comes when it is enabled and asked for again, with the same ids.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		s.out.answers(func(sent) int { return 503 })
		h := s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
		s.record(t, "model.created", "fraud")
		s.record(t, "alias.moved", "fraud@champion")
		time.Sleep(20 * time.Minute)
		if f := s.Findings(t.Context()); len(f) != 1 || f[0].Verdict != "warn" || !strings.Contains(f[0].Message, "slack of risk is not reached since") {
			t.Errorf("%+v", f)
		}
		time.Sleep(25 * time.Hour)
		h, err := s.One(t.Context(), engineer("risk"), h.ID)
		if err != nil || h.Status != webhook.Disabled || !strings.Contains(h.Why, "status 503") {
			t.Fatalf("%+v, %v", h, err)
		}
		if f := s.Findings(t.Context()); len(f) != 1 || !strings.Contains(f[0].Message, "was disabled") || !strings.Contains(f[0].Next, h.ID) {
			t.Errorf("%+v", f)
		}
		tries := len(s.out.seen())
		s.record(t, "model.created", "fraud") // is not for it
		time.Sleep(time.Hour)
		if len(s.out.seen()) != tries {
			t.Error("a disabled hook was sent to")
		}
		disabled := 0
		events, _ := s.events.List(t.Context(), 0, 1000, h.ID)
		for _, e := range events {
			if e.Action == "webhook.disabled" && e.Actor == "system" && e.Detail["team"] == "risk" {
				disabled++
			}
		}
		failed, err := s.Deliveries(t.Context(), engineer("risk"), h.ID, webhook.Failed, webhook.Place{}, 10)
		if disabled != 1 || err != nil || len(failed) != 2 {
			t.Fatalf("%d events; %+v, %v", disabled, failed, err)
		}
		s.out.answers(nil)
		if _, err := s.Redeliver(t.Context(), engineer("risk"), h.ID, nil); slipway.AsError(err).Kind != slipway.Conflict {
			t.Errorf("again, while it is disabled: %v", err)
		}
		if _, err := s.Change(t.Context(), engineer("risk"), h.ID, webhook.Change{Status: webhook.Active}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Redeliver(t.Context(), engineer("risk"), h.ID, nil); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(time.Second)
		late := s.out.seen()[tries:]
		if len(late) != 2 || late[0].id != failed[1].ID || late[1].id != failed[0].ID {
			t.Errorf("%+v, want %s and %s", late, failed[1].ID, failed[0].ID)
		}
	})
}

// TestPoison: a receiver that fails on one delivery gets the ones behind it all the same.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		s.out.answers(func(m sent) int {
			if e, _ := said(t, m); e == "alias.moved" {
				return 500
			}
			return 200
		})
		s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
		s.record(t, "alias.moved", "fraud@champion")
		s.record(t, "model.created", "fraud")
		time.Sleep(15 * time.Minute)
		if all := s.out.seen(); len(all) != 11 {
			t.Errorf("%d attempts, want ten of the first and one of the second", len(all))
		} else if e, _ := said(t, all[10]); e != "registered_model.created" {
			t.Errorf("the last is %s", e)
		}
	})
}

// TestSecrets: while the key service is away nothing is sent and no receiver is blamed; a
// secret that is destroyed disables the hook.
func TestSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		h := s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
		s.sealer.fail(slipway.Errorf(slipway.Unavailable, slipway.CodeKeyService, "", "it is away"))
		s.record(t, "model.created", "fraud")
		time.Sleep(time.Minute)
		if now, err := s.One(t.Context(), engineer("risk"), h.ID); err != nil || now.Failures != 0 || len(s.out.seen()) != 0 {
			t.Errorf("%+v, %v, %d sent", now.Health, err, len(s.out.seen()))
		}
		s.sealer.fail(nil)
		time.Sleep(time.Minute)
		if len(s.out.seen()) != 1 {
			t.Errorf("%d sent when it is back", len(s.out.seen()))
		}
		s.sealer.fail(slipway.Errorf(slipway.NotFound, slipway.CodeShredded, "", "it is destroyed"))
		s.record(t, "model.created", "fraud")
		time.Sleep(time.Minute)
		if now, err := s.One(t.Context(), engineer("risk"), h.ID); err != nil || now.Status != webhook.Disabled || !strings.Contains(now.Why, "secret") {
			t.Errorf("%+v, %v", now, err)
		}
	})
}

// TestChangedMeanwhile: a receiver that was wrong is not waited for once it is corrected, and
// one that is deleted is left alone.
func TestChangedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, storetest.SQLite(t))
		s.run(t)
		s.out.answers(func(m sent) int {
			if m.url == "https://wrong.example.com/" {
				return 0
			}
			return 200
		})
		h := s.hook(t, engineer("risk"), "risk", "https://wrong.example.com/")
		s.record(t, "model.created", "fraud")
		time.Sleep(time.Hour)
		if _, err := s.Change(t.Context(), engineer("risk"), h.ID, webhook.Change{URL: ptr("https://right.example.com/")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second) // one attempt may have been under way
		if n := len(s.out.to("https://right.example.com/")); n != 1 {
			t.Errorf("%d arrived at the right one", n)
		}
		s.out.answers(func(sent) int { return 503 })
		s.record(t, "model.created", "fraud")
		time.Sleep(time.Second)
		if err := s.Delete(t.Context(), engineer("risk"), h.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		n := len(s.out.seen())
		time.Sleep(time.Hour)
		if len(s.out.seen()) != n {
			t.Error("a hook was sent to after it was deleted")
		}
	})
}

// crashing is a sender that ends the process, as far as its service can tell, at a random
// moment: before a request, or after it has arrived.
type crashing struct {
	*receivers
	crash context.CancelFunc
	left  int
}

func (c *crashing) Send(ctx context.Context, url string, secret []byte, d *webhook.Delivery) webhook.Result {
	if c.left--; c.left == 0 && rand.IntN(2) == 0 {
		c.crash()
		return webhook.Result{Attempt: webhook.Attempt{Time: time.Now(), Error: "the process has ended"}}
	}
	r := c.receivers.Send(ctx, url, secret, d)
	if c.left <= 0 {
		c.crash()
	}
	return r
}

// TestCrashes: services that end at any moment, one after the other, send every event that
// was recorded at least once, each with one id, first in order, and nothing else.
func TestCrashes(t *testing.T) {
	db := storetest.SQLite(t)
	s := newSite(t, db)
	s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
	const events = 120
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		for i := range events {
			now := time.Now()
			ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "ada", Action: "version.registered", Subject: "fraud", Detail: map[string]string{"number": fmt.Sprint(i + 1)}}
			if err := s.events.Append(t.Context(), ev); err != nil {
				t.Error(err)
			}
		}
	}()
	seen := func() map[string]bool {
		out := map[string]bool{}
		for _, m := range s.out.to("https://risk.example.com/") {
			out[m.id] = true
		}
		return out
	}
	runs := 0
	for ; len(seen()) < events && !t.Failed() && runs < 1000; runs++ {
		ctx, crash := context.WithTimeout(t.Context(), time.Second)
		s.again(t, db, &crashing{s.out, crash, 1 + rand.IntN(15)}).Run(ctx)
		crash()
	}
	<-recorded
	if err := s.events.Append(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	first := []string{}
	known := map[string]string{}
	for _, m := range s.out.to("https://risk.example.com/") {
		var number string
		if _, err := fmt.Sscanf(m.body[strings.Index(m.body, `"version":"`)+len(`"version":"`):], "%s", &number); err != nil {
			t.Fatal(err)
		}
		number, _, _ = strings.Cut(number, `"`)
		if id, again := known[number]; again && id != m.id {
			t.Errorf("version %s came as %s and as %s", number, id, m.id)
		} else if !again {
			known[number] = m.id
			first = append(first, number)
		}
	}
	if len(first) != events || runs < 8 {
		t.Fatalf("%d of %d events arrived in %d runs", len(first), events, runs)
	}
	for i, number := range first {
		if number != fmt.Sprint(i+1) {
			t.Fatalf("version %s came as number %d", number, i+1)
		}
	}
}
