package upgrade

import (
	"errors"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	webhookstore "github.com/slipway-ml/slipway/internal/sqlstore/webhook"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// TestKeepsWebhooks: a build that would tell nobody any more is not given the database.
func TestKeepsWebhooks(t *testing.T) {
	db := storetest.SQLite(t)
	older := About{Version: "v0", Schema: webhooksSchema - 1}
	if err := keepsWebhooks(t.Context(), db, older); err != nil {
		t.Errorf("without webhooks: %v", err)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	h := webhook.Hook{ID: "whk_1", Team: "risk", Name: "slack", Status: webhook.Disabled, Created: now}
	if err := webhookstore.New(db).AddHook(t.Context(), h, 1, slipway.Event{ID: "evt_1", Time: now, Action: "webhook.created", Subject: h.ID}); err != nil {
		t.Fatal(err)
	}
	if err := keepsWebhooks(t.Context(), db, older); !errors.Is(err, &slipway.Error{Code: slipway.CodeDowngrade}) {
		t.Errorf("with one: %v", err)
	}
	if err := keepsWebhooks(t.Context(), db, About{Version: "v1", Schema: webhooksSchema}); err != nil {
		t.Errorf("a build that knows them: %v", err)
	}
}
