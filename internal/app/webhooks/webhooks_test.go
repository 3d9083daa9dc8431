package webhooks_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/webhooks"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/internal/webhook"
)

func has(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestWhoMay: hooks of another team are not there, whatever one does with them, and that is
// recorded; who leads a team without being its engineer sees them, and changes nothing.
func TestWhoMay(t *testing.T) {
	ctx := t.Context()
	s := newSite(t, storetest.SQLite(t))
	v1 := webhooks.V1{Service: s.Service}
	h := s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
	all := s.hook(t, platform, "", "https://all.example.com/")
	gil, nobody := engineer("growth"), slipway.Principal{ID: "nobody", Kind: slipway.Person}
	lead := slipway.Principal{ID: "lea", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleTeamLead, Team: "risk"}}}
	for _, c := range []struct {
		who         slipway.Principal
		id          string
		read, write string // codes; empty: he may
	}{
		{engineer("risk"), h.ID, "", ""}, {platform, h.ID, "", ""}, {lead, h.ID, "", slipway.CodeDenied},
		{gil, h.ID, slipway.CodeNotFound, slipway.CodeNotFound}, {gil, all.ID, slipway.CodeNotFound, slipway.CodeNotFound}, {gil, "whk_none", slipway.CodeNotFound, slipway.CodeNotFound},
		{nobody, h.ID, slipway.CodeDenied, slipway.CodeDenied}, {nobody, "whk_none", slipway.CodeDenied, slipway.CodeDenied}, {engineer("risk"), all.ID, slipway.CodeNotFound, slipway.CodeNotFound},
	} {
		before := s.access.denied
		for what, got := range map[string]struct {
			err  error
			want string
		}{
			"show":       {second(v1.Webhook(ctx, c.who, c.id)), c.read},
			"deliveries": {second(v1.WebhookDeliveries(ctx, c.who, c.id, "", "", 10)), c.read},
			"change":     {second(v1.ChangeWebhook(ctx, c.who, c.id, api.ChangeWebhook{Description: ptr("x")})), c.write},
			"test":       {second(v1.TestWebhook(ctx, c.who, c.id, "")), c.write},
			"redeliver":  {second(v1.Redeliver(ctx, c.who, c.id, api.Redeliver{Failed: true})), c.write},
		} {
			if got.want == "" && got.err != nil || got.want != "" && !errors.Is(got.err, &slipway.Error{Code: got.want}) {
				t.Errorf("%s, %s of %s: %v, want %q", c.who.ID, what, c.id, got.err, got.want)
			}
		}
		if refused := c.write != "" && c.id != "whk_none"; refused && s.access.denied == before {
			t.Errorf("what %s tried with %s is not recorded", c.who.ID, c.id)
		}
	}
	has(t, "gil deletes", s.Delete(ctx, gil, h.ID), slipway.CodeNotFound)
	_, err := s.Create(ctx, gil, "risk", webhook.Change{Name: ptr("spy"), URL: ptr("https://spy.example.com/"), Events: []webhook.Event{webhook.ModelCreated}})
	has(t, "gil makes one of risk", err, slipway.CodeDenied)
	_, err = v1.CreateWebhook(ctx, engineer("risk"), api.CreateWebhook{AllTeams: true, Name: "spy", URL: "https://spy.example.com/", Events: []string{"alias.moved"}})
	has(t, "an engineer makes one of all teams", err, slipway.CodeDenied)
	for who, want := range map[string]int{"risk": 1, "growth": 0} {
		if page, err := v1.Webhooks(ctx, engineer(who), "", "", 10); err != nil || len(page.Items) != want {
			t.Errorf("%s sees %+v, %v", who, page, err)
		}
	}
	if page, err := v1.Webhooks(ctx, gil, "risk", "", 10); err != nil || len(page.Items) != 0 {
		t.Errorf("gil asks for risk's: %+v, %v", page, err)
	}
	if page, err := v1.Webhooks(ctx, platform, "", "", 1); err != nil || len(page.Items) != 1 || page.Items[0].ID != all.ID {
		t.Errorf("%+v, %v", page, err)
	} else if page, err = v1.Webhooks(ctx, platform, "", page.Next, 1); err != nil || len(page.Items) != 1 || page.Items[0].ID != h.ID || page.Next != "" {
		t.Errorf("the next page: %+v, %v", page, err)
	}
	_, err = v1.Webhooks(ctx, platform, "", "no cursor", 1)
	has(t, "a bad cursor", err, slipway.CodeInvalid)
}

func second[T any](_ T, err error) error { return err }

// TestSecretsAreNotTold: no answer and no event has a secret, or the URL's path; it is sealed
// for its hook, and moved when its key is rotated.
func TestSecretsAreNotTold(t *testing.T) {
	ctx := t.Context()
	s := newSite(t, storetest.SQLite(t))
	v1 := webhooks.V1{Service: s.Service}
	h, err := v1.CreateWebhook(ctx, engineer("risk"), api.CreateWebhook{Team: "risk", Name: "slack", URL: "https://risk.example.com/T0/s3cret-path", Events: []string{"alias.moved"}, Secret: "s3cret-s3cret"})
	if err != nil || !h.Signed {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := v1.ChangeWebhook(ctx, engineer("risk"), h.ID, api.ChangeWebhook{Secret: ptr("s3cret-of-later"), URL: ptr("https://other.example.com/s3cret-path")}); err != nil {
		t.Fatal(err)
	}
	answer, _ := json.Marshal(second2(v1.Webhook(ctx, engineer("risk"), h.ID)))
	events, err := s.events.List(ctx, 0, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	record, _ := json.Marshal(events)
	if strings.Contains(string(answer), "s3cret-of") || strings.Contains(string(record), "s3cret") || !strings.Contains(string(record), `"from_host":"risk.example.com"`) {
		t.Errorf("%s\n%s", answer, record)
	}
	stored, err := s.Store.Hook(ctx, h.ID)
	if err != nil || string(stored.Sealed) != "team/risk|"+h.ID+"|s3cret-of-later" {
		t.Errorf("%q, %v", stored.Sealed, err)
	}
	if left, err := s.Reseal(ctx, keys.Team("risk"), 9); left != 0 || err != nil { // what the test's sealer gives has no version
		t.Error(left, err)
	}
	if h, err = v1.ChangeWebhook(ctx, engineer("risk"), h.ID, api.ChangeWebhook{Secret: ptr("")}); err != nil || h.Signed {
		t.Errorf("without a secret: %+v, %v", h, err)
	}
}

func second2[T any](v T, _ error) T { return v }

func TestTest(t *testing.T) {
	ctx := t.Context()
	s := newSite(t, storetest.SQLite(t))
	v1 := webhooks.V1{Service: s.Service}
	h := s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
	got, err := v1.TestWebhook(ctx, engineer("risk"), h.ID, "")
	if err != nil || !got.Arrived || got.Status != 200 || got.Said != "ok" || !strings.Contains(s.out.seen()[0].body, `"name":"example_model"`) {
		t.Errorf("%+v, %v, %+v", got, err, s.out.seen())
	}
	s.out.answers(func(sent) int { return 404 })
	if got, err = v1.TestWebhook(ctx, engineer("risk"), h.ID, "deployment.started"); err != nil || got.Arrived || got.Status != 404 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = v1.TestWebhook(ctx, engineer("risk"), h.ID, "deployment.exploded")
	has(t, "an event that there is not", err, slipway.CodeWebhook)
	if page, err := v1.WebhookDeliveries(ctx, engineer("risk"), h.ID, "", "", 10); err != nil || len(page.Items) != 0 {
		t.Errorf("a test is in the log: %+v, %v", page, err)
	}
}

func TestDeliveriesInPages(t *testing.T) {
	ctx := t.Context()
	s := newSite(t, storetest.SQLite(t))
	v1 := webhooks.V1{Service: s.Service}
	h := s.hook(t, engineer("risk"), "risk", "https://risk.example.com/")
	now := time.Now()
	var all []webhook.Delivery
	for i := range 5 {
		all = append(all, webhook.Delivery{Hook: h.ID, Seq: int64(10 + i/2), Part: i % 2, ID: string(rune('a' + i)), Event: webhook.AliasMoved, State: webhook.Waiting, Next: now, Created: now})
	}
	if err := s.Store.Queue(ctx, 0, 20, all); err != nil {
		t.Fatal(err)
	}
	var ids string
	for cursor := ""; ; {
		page, err := v1.WebhookDeliveries(ctx, engineer("risk"), h.ID, "", cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Items {
			ids += d.ID
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if ids != "edcba" {
		t.Error(ids)
	}
	for _, bad := range []string{"x", "1", "0.0", "-1.2"} {
		_, err := v1.WebhookDeliveries(ctx, engineer("risk"), h.ID, "", bad, 2)
		has(t, bad, err, slipway.CodeInvalid)
	}
	_, err := v1.Redeliver(ctx, engineer("risk"), h.ID, api.Redeliver{})
	has(t, "neither", err, slipway.CodeInvalid)
	_, err = v1.Redeliver(ctx, engineer("risk"), h.ID, api.Redeliver{Deliveries: []string{"z"}})
	has(t, "one that there is not", err, slipway.CodeNotFound)
}
