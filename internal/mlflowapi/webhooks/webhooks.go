// Package webhooks serves MLflow's webhooks (mlflow/protos/webhooks.proto). Its clients refuse
// a whole answer that names an event which they do not know: they see of a hook what is
// MLflow's, and no hook that has nothing of it.
package webhooks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Hooks is the use cases. Each asks who may do what; what one may not see is not there.
type Hooks interface {
	Create(ctx context.Context, p slipway.Principal, team string, c webhook.Change) (webhook.Hook, error)
	One(ctx context.Context, p slipway.Principal, id string) (webhook.Hook, error)
	List(ctx context.Context, p slipway.Principal, q webhook.Query) ([]webhook.Hook, error)
	Change(ctx context.Context, p slipway.Principal, id string, c webhook.Change) (webhook.Hook, error)
	Ends
}

// Ends is the rest of them.
type Ends interface {
	Delete(ctx context.Context, p slipway.Principal, id string) error
	// Test sends an example, and gives the beginning of what the receiver has said.
	Test(ctx context.Context, p slipway.Principal, id string, e webhook.Event) (webhook.Result, string, error)
}

// Routes are those of webhooks.
func Routes(h Hooks) []mlflowapi.Route {
	s := server{h}
	const one = "/mlflow/webhooks/{webhook_id}"
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, "/mlflow/webhooks", authz.WebhookManage, s.create),
		mlflowapi.JSON(http.MethodGet, "/mlflow/webhooks", authz.WebhookRead, s.list),
		mlflowapi.JSON(http.MethodGet, one, authz.WebhookRead, s.get),
		mlflowapi.JSON(http.MethodPatch, one, authz.WebhookManage, s.update),
		mlflowapi.JSON(http.MethodDelete, one, authz.WebhookManage, s.remove),
		mlflowapi.JSON(http.MethodPost, one+"/test", authz.WebhookManage, s.test),
	}
}

type server struct{ hooks Hooks }

// Messages, with the names of their fields.
type (
	event struct {
		Entity mlflowapi.Enum `json:"entity"`
		Action mlflowapi.Enum `json:"action"`
	}
	hook struct {
		ID          string  `json:"webhook_id"`
		Name        string  `json:"name"`
		Description string  `json:"description,omitempty"`
		URL         string  `json:"url"`
		Events      []event `json:"events"`
		Status      string  `json:"status"`
		Created     int64   `json:"creation_timestamp"`
		Updated     int64   `json:"last_updated_timestamp"`
	}
	createWebhook struct {
		Name        string         `json:"name" required:"true"`
		URL         string         `json:"url" required:"true"`
		Events      []event        `json:"events" required:"true"`
		Description string         `json:"description"`
		Secret      string         `json:"secret"`
		Status      mlflowapi.Enum `json:"status"`
	}
	updateWebhook struct {
		ID          string         `json:"webhook_id"`
		Name        string         `json:"name"`
		Description *string        `json:"description"`
		URL         string         `json:"url"`
		Events      []event        `json:"events"`
		Secret      *string        `json:"secret"`
		Status      mlflowapi.Enum `json:"status"`
	}
	webhookID struct {
		ID string `json:"webhook_id"`
	}
	listWebhooks struct {
		Max   mlflowapi.Int `json:"max_results"`
		Token string        `json:"page_token"`
	}
	testWebhook struct {
		ID    string `json:"webhook_id"`
		Event *event `json:"event"`
	}
	oneWebhook struct {
		Webhook hook `json:"webhook"`
	}
	webhooks struct {
		Webhooks []hook `json:"webhooks,omitempty"`
		Next     string `json:"next_page_token,omitempty"`
	}
	testResult struct {
		Success bool   `json:"success"`
		Status  int    `json:"response_status,omitempty"`
		Body    string `json:"response_body,omitempty"`
		Error   string `json:"error_message,omitempty"`
	}
	tested struct {
		Result testResult `json:"result"`
	}
)

// Enumerations, in the order of their numbers.
var (
	entities = []string{"REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT", "PROMPT_VERSION", "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS", "BUDGET_POLICY"}
	actions  = []string{"CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED"}
	statuses = []string{"ACTIVE", "DISABLED"}
)

func eventsOf(all []event) ([]webhook.Event, error) {
	out := make([]webhook.Event, 0, len(all))
	for _, e := range all {
		one, err := e.read()
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func (e event) read() (webhook.Event, error) {
	entity, err := e.Entity.Of("entity", "", 1, entities...)
	if err != nil {
		return "", err
	}
	action, err := e.Action.Of("action", "", 1, actions...)
	if err != nil {
		return "", err
	}
	entity, action = strings.ToLower(entity), strings.ToLower(action)
	read := webhook.Event(entity + "." + action)
	if read.OfMLflow() {
		return read, nil
	}
	var valid []string
	for _, known := range webhook.MLflowEvents {
		if known.Entity() == entity {
			valid = append(valid, "'"+known.Action()+"'")
		}
	}
	if len(valid) == 0 {
		return "", webhook.NotServed(string(read))
	}
	slices.Sort(valid)
	return "", mlflowapi.Invalid("Invalid action '%s' for entity '%s'. Valid actions are: [%s]", action, entity, strings.Join(valid, ", "))
}

func statusOf(e mlflowapi.Enum) (webhook.Status, error) {
	name, err := e.Of("status", "", 1, statuses...)
	return webhook.Status(strings.ToLower(name)), err
}

func view(h webhook.Hook) hook {
	out := hook{ID: h.ID, Name: h.Name, Description: h.Description, URL: h.URL, Status: strings.ToUpper(string(h.Status)), Created: h.Created.UnixMilli(), Updated: h.Updated.UnixMilli()}
	for _, e := range webhook.MLflowPart(h.Events) {
		out.Events = append(out.Events, event{mlflowapi.Enum(strings.ToUpper(e.Entity())), mlflowapi.Enum(strings.ToUpper(e.Action()))})
	}
	return out
}

func (s server) create(ctx context.Context, c mlflowapi.Caller, in *createWebhook) (oneWebhook, error) {
	events, err := eventsOf(in.Events)
	if err != nil {
		return oneWebhook{}, err
	}
	status, err := statusOf(in.Status)
	if err != nil {
		return oneWebhook{}, err
	}
	h, err := s.hooks.Create(ctx, c.Principal, c.Team, webhook.Change{Name: &in.Name, URL: &in.URL, Description: &in.Description, Secret: &in.Secret, Events: events, Status: status})
	return oneWebhook{view(h)}, err
}

// one is a hook that MLflow's clients can read, of the team that the request names.
func (s server) one(ctx context.Context, c mlflowapi.Caller, id string) (webhook.Hook, error) {
	h, err := s.hooks.One(ctx, c.Principal, id)
	if err == nil && (len(webhook.MLflowPart(h.Events)) == 0 || c.Named && h.Team != c.Team) {
		err = webhook.Missing(id)
	}
	return h, err
}

func (s server) get(ctx context.Context, c mlflowapi.Caller, in *webhookID) (oneWebhook, error) {
	h, err := s.one(ctx, c, in.ID)
	return oneWebhook{view(h)}, err
}

const (
	usualMax = 100
	mostMax  = 1000
)

// token is the last hook of a page, as the token of the next one.
type token struct {
	Created int64  `json:"c"` // microseconds since 1970
	ID      string `json:"i"`
	Team    string `json:"t"` // that the list is of
}

func (s server) list(ctx context.Context, c mlflowapi.Caller, in *listWebhooks) (out webhooks, err error) {
	limit := int(in.Max)
	if limit == 0 {
		limit = usualMax
	}
	if limit < 1 || limit > mostMax {
		return out, mlflowapi.Invalid("max_results must be between 1 and 1000.")
	}
	q := webhook.Query{MLflow: true, Limit: limit + 1}
	team := ""
	if c.Named {
		team, q.Teams = c.Team, []string{c.Team}
	}
	if q.Before, err = before(in.Token, team); err != nil {
		return out, err
	}
	found, err := s.hooks.List(ctx, c.Principal, q)
	if err != nil {
		return out, err
	}
	for i, h := range found {
		if i == limit {
			last := found[i-1]
			b, err := json.Marshal(token{last.Created.UnixMicro(), last.ID, team})
			out.Next = base64.StdEncoding.EncodeToString(b)
			return out, err
		}
		out.Webhooks = append(out.Webhooks, view(h))
	}
	return out, nil
}

// before reads a token.
func before(text, team string) (*webhook.Hook, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, mlflowapi.Invalid("Invalid page token, could not base64-decode")
	}
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, mlflowapi.Invalid("Invalid page token, decoded value=%s", slipway.OneLine(string(b), 100))
	}
	if t.Team != team || t.ID == "" {
		return nil, mlflowapi.Invalid("Invalid page token, it is of another query")
	}
	return &webhook.Hook{ID: t.ID, Created: time.UnixMicro(t.Created)}, nil
}

func (s server) update(ctx context.Context, c mlflowapi.Caller, in *updateWebhook) (oneWebhook, error) {
	h, err := s.one(ctx, c, in.ID)
	if err != nil {
		return oneWebhook{}, err
	}
	ch := webhook.Change{Description: in.Description, Secret: in.Secret}
	if in.Name != "" {
		ch.Name = &in.Name
	}
	if in.URL != "" {
		ch.URL = &in.URL
	}
	if len(in.Events) > 0 { // what MLflow's clients do not see they do not change
		if ch.Events, err = eventsOf(in.Events); err != nil {
			return oneWebhook{}, err
		}
		ch.Events = append(ch.Events, webhook.OwnPart(h.Events)...)
	}
	if ch.Status, err = statusOf(in.Status); err != nil {
		return oneWebhook{}, err
	}
	h, err = s.hooks.Change(ctx, c.Principal, h.ID, ch)
	return oneWebhook{view(h)}, err
}

func (s server) remove(ctx context.Context, c mlflowapi.Caller, in *webhookID) (mlflowapi.Empty, error) {
	h, err := s.one(ctx, c, in.ID)
	if err == nil {
		err = s.hooks.Delete(ctx, c.Principal, h.ID)
	}
	return mlflowapi.Empty{}, err
}

func (s server) test(ctx context.Context, c mlflowapi.Caller, in *testWebhook) (out tested, err error) {
	h, err := s.one(ctx, c, in.ID)
	if err != nil {
		return out, err
	}
	e := webhook.MLflowPart(h.Events)[0]
	if in.Event != nil {
		if e, err = in.Event.read(); err != nil {
			return out, err
		}
	}
	r, said, err := s.hooks.Test(ctx, c.Principal, h.ID, e)
	out.Result = testResult{Success: webhook.FateOf(r.Status) == webhook.Arrived, Status: r.Status, Body: said}
	if r.Error != "" {
		out.Result.Error = "Failed to test webhook: " + r.Error
	}
	return out, err
}
