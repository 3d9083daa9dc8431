package token_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/token"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	tokentest "github.com/slipway-ml/slipway/internal/storetest/token"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		tokentest.Run(t, func(t *testing.T) (tokentest.Store, eventtest.Reader) {
			db := open(t)
			return token.New(db), event.New(db)
		})
	})
}
