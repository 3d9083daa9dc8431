package client_test

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
)

// registryRoutes are the calls about what is known of models and runs, and about webhooks.
func registryRoutes(ctx context.Context) []route {
	return append(webhookRoutes(ctx), []route{
		{"GET /v1/models/m/aliases/champion/history?from=1970-01-01T00%3A00%3A01Z&limit=2", func(c *client.Client) error {
			_, err := c.AliasSpans(ctx, api.SpanQuery{Model: "m", Alias: "champion", From: time.Unix(1, 0), Limit: 2})
			return err
		}},
		{"GET /v1/alias-rules?lifted=true&team=risk", func(c *client.Client) error { _, err := c.AliasRules(ctx, "", "risk", true); return err }},
		{"POST /v1/alias-rules", func(c *client.Client) error { _, err := c.ProtectAlias(ctx, api.ProtectAlias{}); return err }},
		{"POST /v1/alias-rules/r/lift", func(c *client.Client) error { _, err := c.LiftRule(ctx, "r", api.LiftRule{}); return err }},
		{"POST /v1/models/m/alias-requests", func(c *client.Client) error { _, err := c.AskAlias(ctx, "m", api.AskAlias{}); return err }},
		{"GET /v1/alias-requests?model=m&open=true", func(c *client.Client) error { _, err := c.AliasRequests(ctx, "m", true, "", 0); return err }},
		{"GET /v1/alias-requests/q", func(c *client.Client) error { _, err := c.AliasRequest(ctx, "q"); return err }},
		{"POST /v1/alias-requests/q/decision", func(c *client.Client) error { _, err := c.DecideAlias(ctx, "q", api.DecideAlias{}); return err }},
		{"GET /v1/models/m/versions/7/signatures", func(c *client.Client) error { _, err := c.Signatures(ctx, "m", "7"); return err }},
		{"POST /v1/models/m/versions/7/signatures", func(c *client.Client) error { _, err := c.SignVersion(ctx, "m", "7"); return err }},
		{"GET /v1/signing-keys", func(c *client.Client) error { _, err := c.SigningKeys(ctx); return err }},
		{"POST /v1/signing-keys", func(c *client.Client) error { _, err := c.RotateSigningKey(ctx); return err }},
		{"GET /v1/models/m/versions/7/dossier", func(c *client.Client) error { _, err := c.Dossier(ctx, "m", "7"); return err }},
		{"GET /v1/models/m/comparison?from=1&to=2", func(c *client.Client) error { _, err := c.CompareVersions(ctx, "m", "1", "2"); return err }},
		{"GET /v1/models/m/versions/7/card", func(c *client.Client) error { _, err := c.Card(ctx, "m", "7"); return err }},
		{"GET /v1/models/m/versions/7/card/history", func(c *client.Client) error { _, err := c.Cards(ctx, "m", "7"); return err }},
		{"PUT /v1/models/m/versions/7/card", func(c *client.Client) error { _, err := c.WriteCard(ctx, "m", "7", api.WriteCard{}); return err }},
		{"DELETE /v1/models/m/versions/7?reason=old&try=true", func(c *client.Client) error { _, err := c.DeleteVersion(ctx, "m", "7", "old", true); return err }},
		{"GET /v1/traces/q-1", func(c *client.Client) error { _, err := c.Trace(ctx, "q-1"); return err }},
		{"GET /v1/runs?experiment=1&filter=metrics.auc+%3E+0.9", func(c *client.Client) error {
			_, err := c.Runs(ctx, api.RunQuery{Experiment: "1", Filter: "metrics.auc > 0.9"})
			return err
		}},
		{"GET /v1/runs/a", func(c *client.Client) error { _, err := c.Run(ctx, "a"); return err }},
		{"GET /v1/runs/a/comparison?to=b", func(c *client.Client) error { _, err := c.CompareRuns(ctx, "a", "b"); return err }},
	}...)
}

func webhookRoutes(ctx context.Context) []route {
	return []route{
		{"GET /v1/webhooks?team=risk", func(c *client.Client) error { _, err := c.Webhooks(ctx, "risk", "", 0); return err }},
		{"GET /v1/webhooks/h", func(c *client.Client) error { _, err := c.Webhook(ctx, "h"); return err }},
		{"POST /v1/webhooks", func(c *client.Client) error { _, err := c.CreateWebhook(ctx, api.CreateWebhook{}); return err }},
		{"PATCH /v1/webhooks/h", func(c *client.Client) error { _, err := c.ChangeWebhook(ctx, "h", api.ChangeWebhook{}); return err }},
		{"DELETE /v1/webhooks/h", func(c *client.Client) error { return c.DeleteWebhook(ctx, "h") }},
		{"POST /v1/webhooks/h/test", func(c *client.Client) error { _, err := c.TestWebhook(ctx, "h", ""); return err }},
		{"GET /v1/webhooks/h/deliveries?state=failed", func(c *client.Client) error {
			_, err := c.WebhookDeliveries(ctx, "h", "failed", "", 0)
			return err
		}},
		{"POST /v1/webhooks/h/deliveries", func(c *client.Client) error { _, err := c.Redeliver(ctx, "h", api.Redeliver{}); return err }},
	}
}
