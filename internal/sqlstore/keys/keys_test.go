package keys_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	keystore "github.com/slipway-ml/slipway/internal/sqlstore/keys"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	keystest "github.com/slipway-ml/slipway/internal/storetest/keys"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		keystest.Run(t, func(t *testing.T) (keystest.Store, eventtest.Reader) {
			db := open(t)
			return keystore.New(db), event.New(db)
		})
	})
}
