package identity_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	identitystore "github.com/slipway-ml/slipway/internal/sqlstore/identity"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	identitytest "github.com/slipway-ml/slipway/internal/storetest/identity"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		identitytest.Run(t, func(t *testing.T) (identity.Store, eventtest.Reader) {
			db := open(t)
			return identitystore.New(db), event.New(db)
		})
	})
}
