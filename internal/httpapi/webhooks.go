package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Webhooks are addresses that are told of events. No secret is ever answered.
type Webhooks interface {
	// Webhooks lists those of a team, or all that the principal may see.
	Webhooks(ctx context.Context, p slipway.Principal, team, cursor string, limit int) (api.Page[api.Webhook], error)
	Webhook(ctx context.Context, p slipway.Principal, id string) (api.Webhook, error)
	CreateWebhook(ctx context.Context, p slipway.Principal, r api.CreateWebhook) (api.Webhook, error)
	ChangeWebhook(ctx context.Context, p slipway.Principal, id string, r api.ChangeWebhook) (api.Webhook, error)
	Deliveries
}

// Deliveries are what webhooks are sent.
type Deliveries interface {
	DeleteWebhook(ctx context.Context, p slipway.Principal, id string) error
	TestWebhook(ctx context.Context, p slipway.Principal, id, event string) (api.WebhookTest, error)
	WebhookDeliveries(ctx context.Context, p slipway.Principal, id, state, cursor string, limit int) (api.Page[api.WebhookDelivery], error)
	Redeliver(ctx context.Context, p slipway.Principal, id string, r api.Redeliver) (api.Redelivered, error)
}

// WebhookPath is the webhook of a path.
type WebhookPath struct {
	Webhook string `path:"webhook" maxLength:"64"`
}

func registerWebhooks(h huma.API, c Config) {
	type listInput struct {
		Team string `query:"team" maxLength:"63"`
		PageQuery
	}
	handle(h, c, c.operation(authz.WebhookRead, "list-webhooks", http.MethodGet, "/v1/webhooks", "Webhooks, newest first, but for their secrets"),
		func(ctx context.Context, in *listInput) (api.Page[api.Webhook], error) {
			return c.Webhooks.Webhooks(ctx, principal(ctx), in.Team, in.Cursor, in.Limit)
		})
	handle(h, c, c.operation(authz.WebhookManage, "create-webhook", http.MethodPost, "/v1/webhooks", "Have an address told of events"),
		func(ctx context.Context, in *struct{ Body api.CreateWebhook }) (api.Webhook, error) {
			return c.Webhooks.CreateWebhook(ctx, principal(ctx), in.Body)
		})
	handle(h, c, c.operation(authz.WebhookRead, "get-webhook", http.MethodGet, "/v1/webhooks/{webhook}", "One webhook, and how it does"),
		func(ctx context.Context, in *WebhookPath) (api.Webhook, error) {
			return c.Webhooks.Webhook(ctx, principal(ctx), in.Webhook)
		})
	type changeInput struct {
		WebhookPath
		Body api.ChangeWebhook
	}
	handle(h, c, c.operation(authz.WebhookManage, "change-webhook", http.MethodPatch, "/v1/webhooks/{webhook}", "Change a webhook, or enable it again"),
		func(ctx context.Context, in *changeInput) (api.Webhook, error) {
			return c.Webhooks.ChangeWebhook(ctx, principal(ctx), in.Webhook, in.Body)
		})
	handle(h, c, c.operation(authz.WebhookManage, "delete-webhook", http.MethodDelete, "/v1/webhooks/{webhook}", "Delete a webhook with its deliveries"),
		func(ctx context.Context, in *WebhookPath) (struct{}, error) {
			return struct{}{}, c.Webhooks.DeleteWebhook(ctx, principal(ctx), in.Webhook)
		})
	registerDeliveries(h, c)
}

func registerDeliveries(h huma.API, c Config) {
	type testInput struct {
		WebhookPath
		Body api.TestWebhook
	}
	handle(h, c, c.operation(authz.WebhookManage, "test-webhook", http.MethodPost, "/v1/webhooks/{webhook}/test", "Send an example of an event now, once"),
		func(ctx context.Context, in *testInput) (api.WebhookTest, error) {
			return c.Webhooks.TestWebhook(ctx, principal(ctx), in.Webhook, in.Body.Event)
		})
	type logInput struct {
		WebhookPath
		State string `query:"state" enum:"waiting,delivered,failed"`
		PageQuery
	}
	handle(h, c, c.operation(authz.WebhookRead, "list-webhook-deliveries", http.MethodGet, "/v1/webhooks/{webhook}/deliveries", "What a webhook was sent, newest first"),
		func(ctx context.Context, in *logInput) (api.Page[api.WebhookDelivery], error) {
			return c.Webhooks.WebhookDeliveries(ctx, principal(ctx), in.Webhook, in.State, in.Cursor, in.Limit)
		})
	type againInput struct {
		WebhookPath
		Body api.Redeliver
	}
	handle(h, c, c.operation(authz.WebhookManage, "redeliver", http.MethodPost, "/v1/webhooks/{webhook}/deliveries", "Send deliveries again"),
		func(ctx context.Context, in *againInput) (api.Redelivered, error) {
			return c.Webhooks.Redeliver(ctx, principal(ctx), in.Webhook, in.Body)
		})
}
