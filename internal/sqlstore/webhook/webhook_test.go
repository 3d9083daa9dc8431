package webhook_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	webhookstore "github.com/slipway-ml/slipway/internal/sqlstore/webhook"
	"github.com/slipway-ml/slipway/internal/storetest"
	webhooktest "github.com/slipway-ml/slipway/internal/storetest/webhook"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		webhooktest.Run(t, func(t *testing.T) webhooktest.Opened {
			db := open(t)
			events := event.New(db)
			return webhooktest.Opened{Store: webhookstore.New(db), Events: events, Append: events.Append}
		})
	})
}
