package webhooks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/mlflowapi/webhooks"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// hooks keeps them in memory, the newest first, and lets everybody do everything.
type hooks struct {
	all    []webhook.Hook
	query  webhook.Query
	change webhook.Change
	tested webhook.Event
	result webhook.Result
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123000000, time.UTC)

func (s *hooks) Create(_ context.Context, p slipway.Principal, team string, c webhook.Change) (webhook.Hook, error) {
	h := webhook.Hook{ID: "whk_new", Team: team, Status: webhook.Active, Created: start, By: p.ID}
	h, err := c.Apply(h, config.Receivers{}, start)
	s.change = c
	if err == nil {
		s.all = append([]webhook.Hook{h}, s.all...)
	}
	return h, err
}

func (s *hooks) One(_ context.Context, _ slipway.Principal, id string) (webhook.Hook, error) {
	for _, h := range s.all {
		if h.ID == id {
			return h, nil
		}
	}
	return webhook.Hook{}, webhook.Missing(id)
}

func (s *hooks) List(_ context.Context, _ slipway.Principal, q webhook.Query) ([]webhook.Hook, error) {
	s.query = q
	return s.all[:min(q.Limit, len(s.all))], nil
}

func (s *hooks) Change(ctx context.Context, p slipway.Principal, id string, c webhook.Change) (webhook.Hook, error) {
	h, err := s.One(ctx, p, id)
	s.change = c
	if err == nil {
		h, err = c.Apply(h, config.Receivers{}, start.Add(time.Hour))
	}
	return h, err
}

func (s *hooks) Delete(_ context.Context, _ slipway.Principal, id string) error {
	s.change = webhook.Change{Name: &id}
	return nil
}

func (s *hooks) Test(_ context.Context, _ slipway.Principal, _ string, e webhook.Event) (webhook.Result, string, error) {
	s.tested = e
	return s.result, "heard", nil
}

type door struct{}

func (door) Authenticate(context.Context, string) (slipway.Principal, error) {
	return slipway.Principal{ID: "ada", Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "risk"}}}, nil
}
func (door) Enter(context.Context, slipway.Principal, authz.Action, string) error { return nil }

// ask gives the status and the answer of a request.
func (s *hooks) ask(t testing.TB, method, path, body string) (int, map[string]any) {
	h := mlflowapi.New(mlflowapi.Config{Auth: door{}, Access: door{}, Routes: webhooks.Routes(s), Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Code, out
}

const root = "/api/2.0/mlflow/webhooks"

// some are a hook of both kinds of events, and one of the platform's own alone.
func some() *hooks {
	return &hooks{all: []webhook.Hook{
		{ID: "whk_both", Team: "risk", Name: "both", URL: "https://a.example.com/", Events: []webhook.Event{webhook.AliasMoved, webhook.VersionTagSet, webhook.ModelCreated}, Status: webhook.Disabled, Created: start, Updated: start},
		{ID: "whk_own", Team: "risk", Name: "own", URL: "https://b.example.com/", Events: []webhook.Event{webhook.AliasMoved}, Status: webhook.Active},
	}}
}

func TestWire(t *testing.T) {
	s := some()
	status, got := s.ask(t, http.MethodGet, root+"/whk_both", "")
	want := map[string]any{"webhook": map[string]any{"webhook_id": "whk_both", "name": "both", "url": "https://a.example.com/", "status": "DISABLED",
		"events":             []any{map[string]any{"entity": "MODEL_VERSION_TAG", "action": "SET"}, map[string]any{"entity": "REGISTERED_MODEL", "action": "CREATED"}},
		"creation_timestamp": 1793534400123.0, "last_updated_timestamp": 1793534400123.0}}
	if diff := cmp.Diff(want, got); diff != "" || status != 200 {
		t.Error(status, diff)
	}
	// Numbers for names, camel case, fields that nobody knows.
	status, got = s.ask(t, http.MethodPost, "/ajax-api/2.0/mlflow/webhooks", `{"name":"n","url":"https://c.example.com/","events":[{"entity":4,"action":"3"},{"entity":"PROMPT","action":"CREATED"}],"status":2,"secret":"s3cret-s3cret","x":{}}`)
	made := s.all[0]
	if status != 200 || made.Team != "risk" || made.Status != webhook.Disabled || *s.change.Secret != "s3cret-s3cret" || strings.Contains(stringOf(got), "s3cret") {
		t.Errorf("%d %v, %+v", status, got, made)
	}
	if diff := cmp.Diff([]webhook.Event{webhook.AliasDeleted, webhook.PromptCreated}, made.Events); diff != "" {
		t.Error(diff)
	}
}

func stringOf(v any) string { b, _ := json.Marshal(v); return string(b) }

// TestOwnEventsStay: what MLflow's clients do not see they do not change, and what they would
// not be able to read is not there for them.
func TestOwnEventsStay(t *testing.T) {
	s := some()
	status, _ := s.ask(t, http.MethodPatch, root+"/whk_both", `{"webhook_id":"whk_both","events":[{"entity":"MODEL_VERSION","action":"CREATED"}],"description":"","secret":"","status":"ACTIVE"}`)
	if diff := cmp.Diff([]webhook.Event{webhook.VersionCreated, webhook.AliasMoved}, s.change.Events); diff != "" || status != 200 {
		t.Error(status, diff)
	}
	if c := s.change; c.Name != nil || c.URL != nil || *c.Description != "" || *c.Secret != "" || c.Status != webhook.Active {
		t.Errorf("%+v", c)
	}
	for method, path := range map[string]string{http.MethodGet: "/whk_own", http.MethodPatch: "/whk_own", http.MethodDelete: "/whk_own", http.MethodPost: "/whk_own/test"} {
		s := some()
		if status, got := s.ask(t, method, root+path, `{}`); status != 404 || got["error_code"] != "RESOURCE_DOES_NOT_EXIST" || got["message"] != "Webhook with ID whk_own not found." || s.change.Name != nil {
			t.Errorf("%s %s: %d %v", method, path, status, got)
		}
	}
	if status, _ := some().ask(t, http.MethodGet, "/teams/growth"+root+"/whk_both", ""); status != 404 {
		t.Errorf("of another team than the request names: %d", status)
	}
}

func TestPages(t *testing.T) {
	s := some()
	status, got := s.ask(t, http.MethodGet, root+"?max_results=1", "")
	token, _ := got["next_page_token"].(string)
	if status != 200 || len(got["webhooks"].([]any)) != 1 || token == "" || s.query.Limit != 2 || !s.query.MLflow || s.query.Teams != nil {
		t.Fatalf("%d %v, %+v", status, got, s.query)
	}
	if _, got = s.ask(t, http.MethodGet, root+"?page_token="+token, ""); s.query.Before == nil || s.query.Before.ID != "whk_both" || !s.query.Before.Created.Equal(start) || s.query.Limit != 101 || got["next_page_token"] != nil {
		t.Errorf("%v, %+v", got, s.query)
	}
	if status, got = s.ask(t, http.MethodGet, "/teams/risk"+root+"?page_token="+token, ""); status != 400 {
		t.Errorf("a token of another list: %d %v", status, got)
	}
	if status, _ = s.ask(t, http.MethodGet, "/teams/risk"+root, ""); status != 200 || len(s.query.Teams) != 1 || s.query.Teams[0] != "risk" {
		t.Errorf("%d, %+v", status, s.query)
	}
	empty := &hooks{}
	if status, got = empty.ask(t, http.MethodGet, root, ""); status != 200 || len(got) != 0 {
		t.Errorf("without any: %d %v", status, got)
	}
}

func TestTest(t *testing.T) {
	s := some()
	s.result = webhook.Result{Attempt: webhook.Attempt{Status: 404}}
	if _, got := s.ask(t, http.MethodPost, root+"/whk_both/test", `{}`); stringOf(got) != `{"result":{"response_body":"heard","response_status":404,"success":false}}` || s.tested != webhook.VersionTagSet {
		t.Errorf("%s of %s", stringOf(got), s.tested)
	}
	s.result = webhook.Result{Attempt: webhook.Attempt{Error: "the address 10.0.0.1 is closed"}}
	if _, got := s.ask(t, http.MethodPost, root+"/whk_both/test", `{"event":{"entity":1,"action":1}}`); !strings.Contains(stringOf(got), `"error_message":"Failed to test webhook: the address 10.0.0.1 is closed"`) || s.tested != webhook.ModelCreated {
		t.Errorf("%s of %s", stringOf(got), s.tested)
	}
}

func TestBadInput(t *testing.T) {
	events := `"events":[{"entity":"REGISTERED_MODEL","action":"CREATED"}]`
	for body, want := range map[string]string{
		`{}`:                                  "Missing value for required parameter 'name'. See the API docs for more information about request parameters.",
		`{"name":"n",` + events + `}`:         "Missing value for required parameter 'url'.",
		`{"name":"n","url":"https://a.test"}`: "Missing value for required parameter 'events'.",
		`{"name":"n","url":"https://a.test","events":[]}`:                                                      "Webhook events must be a non-empty list of WebhookEvent objects: [].",
		`{"name":"n","url":"http://a.test",` + events + `}`:                                                    "Invalid webhook URL scheme: 'http'. Allowed schemes are: https.",
		`{"name":"n ","url":"https://a.test",` + events + `}`:                                                  "Webhook name 'n ' is invalid.",
		`{"name":"n","url":"https://a.test","events":[{"entity":"REGISTERED_MODEL","action":"UPDATED"}]}`:      "Invalid action 'updated' for entity 'registered_model'. Valid actions are: ['created']",
		`{"name":"n","url":"https://a.test","events":[{"entity":"MODEL_VERSION_TAG","action":"CREATED"}]}`:     "Valid actions are: ['deleted', 'set']",
		`{"name":"n","url":"https://a.test","events":[{"entity":"BUDGET_POLICY","action":"EXCEEDED"}]}`:        "This server has no events 'budget_policy.exceeded'",
		`{"name":"n","url":"https://a.test","events":[{"entity":"ALIAS","action":"MOVED"}]}`:                   "Invalid value",
		`{"name":"n","url":"https://a.test","events":[{"entity":99,"action":1}]}`:                              "Invalid value",
		`{"name":"n","url":"https://a.test","events":[{}]}`:                                                    "This server has no events '.'",
		`{"name":"n","url":"https://a.test","status":"ASLEEP",` + events + `}`:                                 "Invalid value",
		`{"name":"n","url":"https://a.test","secret":"short",` + events + `}`:                                  "The secret must have",
		`{"name":"n","url":"https://a.test","description":"` + strings.Repeat("x", 1001) + `",` + events + `}`: "The description has more than",
	} {
		status, got := some().ask(t, http.MethodPost, root, body)
		message, _ := got["message"].(string)
		if status != 400 || got["error_code"] != "INVALID_PARAMETER_VALUE" || !strings.Contains(message, want) {
			t.Errorf("%.120s: %d %v, want %q", body, status, got, want)
		}
	}
	for query, want := range map[string]string{"?max_results=0x1": "Invalid value", "?max_results=-1": "max_results must be between 1 and 1000.", "?max_results=1001": "max_results must be between 1 and 1000.",
		"?page_token=%25": "Invalid page token, could not base64-decode", "?page_token=e30=": "Invalid page token, it is of another query", "?page_token=bm8=": "Invalid page token, decoded value=no"} {
		if status, got := some().ask(t, http.MethodGet, root+query, ""); status != 400 || !strings.Contains(got["message"].(string), want) {
			t.Errorf("%s: %d %v, want %q", query, status, got, want)
		}
	}
}

// FuzzToken: any token gives a page or is refused, and never fails on our side.
func FuzzToken(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString([]byte(`{"c":1,"i":"whk_1","t":""}`)))
	f.Add("%%%")
	f.Fuzz(func(t *testing.T, token string) {
		body, _ := json.Marshal(map[string]string{"page_token": token}) // strings alone
		status, got := some().ask(t, http.MethodGet, root, string(body))
		if status != 200 && status != 400 {
			t.Errorf("%q: %d %v", token, status, got)
		}
	})
}
