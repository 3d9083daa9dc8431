package rollout_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/rollout"
	"github.com/slipway-ml/slipway/internal/storetest"
	rollouttest "github.com/slipway-ml/slipway/internal/storetest/rollout"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		rollouttest.Run(t, func(t *testing.T) rollouttest.Backend {
			db := open(t)
			s := rollout.New(db)
			return rollouttest.Backend{Store: s, Ledger: s, Events: event.New(db)}
		})
	})
}
