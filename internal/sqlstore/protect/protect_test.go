package protect_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	protectstore "github.com/slipway-ml/slipway/internal/sqlstore/protect"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
	protecttest "github.com/slipway-ml/slipway/internal/storetest/protect"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		protecttest.Run(t, func(t *testing.T) protecttest.Backend {
			db := open(t)
			return protecttest.Backend{Store: protectstore.New(db), Models: registry.New(db), Events: event.New(db)}
		})
	})
}
