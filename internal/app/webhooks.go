package app

import (
	"time"

	"github.com/slipway-ml/slipway/internal/app/webhooks"
	webhookstore "github.com/slipway-ml/slipway/internal/sqlstore/webhook"
	"github.com/slipway-ml/slipway/internal/webhook/send"
)

// newWebhooks joins what tells others of events.
func (a *App) newWebhooks() error {
	reach, err := a.o.Config.Receivers()
	if err != nil {
		return err
	}
	a.webhooks = webhooks.New(webhooks.Config{Store: webhookstore.New(a.db), Events: a.events, Committed: a.db.Recorded(), Facts: webhooks.Facts{Models: a.models, Rollouts: a.rollouts},
		Access: a.access, Sealer: a.safe.Ring, Sender: send.New(send.Config{Reach: reach, Agent: "slipway/" + a.o.Version, Now: time.Now}), Reach: reach,
		Now: time.Now, Random: random, Log: a.o.Log})
	a.safe.Ring.Register(webhooks.KindSecret, a.webhooks)
	return nil
}
