package client

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway/api"
)

// Webhooks lists webhooks of a team, or all that one may see, newest first, by pages as Models
// does. Secrets are never answered.
func (c *Client) Webhooks(ctx context.Context, team, cursor string, limit int) (api.Page[api.Webhook], error) {
	q := pageOf(cursor, limit)
	if team != "" {
		q.Set("team", team)
	}
	return get[api.Page[api.Webhook]](ctx, c, q, "v1", "webhooks")
}

// Webhook gives one webhook, and how it does.
func (c *Client) Webhook(ctx context.Context, id string) (api.Webhook, error) {
	return get[api.Webhook](ctx, c, nil, "v1", "webhooks", id)
}

// CreateWebhook has an address told of events.
func (c *Client) CreateWebhook(ctx context.Context, r api.CreateWebhook) (api.Webhook, error) {
	return call[api.Webhook](ctx, c, request{method: http.MethodPost, path: path("v1", "webhooks")}, r)
}

// ChangeWebhook changes a webhook, or enables it again.
func (c *Client) ChangeWebhook(ctx context.Context, id string, r api.ChangeWebhook) (api.Webhook, error) {
	return call[api.Webhook](ctx, c, request{method: http.MethodPatch, path: path("v1", "webhooks", id)}, r)
}

// DeleteWebhook deletes a webhook with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, request{method: http.MethodDelete, path: path("v1", "webhooks", id)}, struct{}{})
	return err
}

// TestWebhook sends an example of an event now, of the webhook's first for "".
func (c *Client) TestWebhook(ctx context.Context, id, event string) (api.WebhookTest, error) {
	return call[api.WebhookTest](ctx, c, request{method: http.MethodPost, path: path("v1", "webhooks", id, "test")}, api.TestWebhook{Event: event})
}

// WebhookDeliveries lists what a webhook was sent, newest first, by pages as Models does; in
// one state, or in any for "".
func (c *Client) WebhookDeliveries(ctx context.Context, id, state, cursor string, limit int) (api.Page[api.WebhookDelivery], error) {
	q := pageOf(cursor, limit)
	if state != "" {
		q.Set("state", state)
	}
	return get[api.Page[api.WebhookDelivery]](ctx, c, q, "v1", "webhooks", id, "deliveries")
}

// Redeliver sends deliveries of a webhook again.
func (c *Client) Redeliver(ctx context.Context, id string, r api.Redeliver) (api.Redelivered, error) {
	return call[api.Redelivered](ctx, c, request{method: http.MethodPost, path: path("v1", "webhooks", id, "deliveries")}, r)
}
