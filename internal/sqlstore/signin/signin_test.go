package signin_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	signinstore "github.com/slipway-ml/slipway/internal/sqlstore/signin"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	signintest "github.com/slipway-ml/slipway/internal/storetest/signin"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		signintest.Run(t, func(t *testing.T) (identity.Records, eventtest.Reader) {
			db := open(t)
			return signinstore.New(db), event.New(db)
		})
	})
}
