package upgrade

import (
	"context"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	webhookstore "github.com/slipway-ml/slipway/internal/sqlstore/webhook"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// webhooksSchema is the first with webhooks.
const webhooksSchema = 11

// keepsWebhooks refuses a downgrade after which receivers would be told of nothing any more.
func keepsWebhooks(ctx context.Context, db *sqlstore.DB, target About) error {
	if target.Schema >= webhooksSchema {
		return nil
	}
	some, err := webhookstore.New(db).Hooks(ctx, webhook.Query{Limit: 1})
	if err == nil && len(some) > 0 {
		err = refused("%s knows no webhooks, and %s (%s) would be lost", target.Version, some[0].Name, some[0].ID)
	}
	return err
}
