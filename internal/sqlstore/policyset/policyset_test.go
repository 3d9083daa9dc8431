package policyset_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	policysetstore "github.com/slipway-ml/slipway/internal/sqlstore/policyset"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	policysettest "github.com/slipway-ml/slipway/internal/storetest/policyset"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		policysettest.Run(t, func(t *testing.T) (policyset.Store, eventtest.Reader) {
			db := open(t)
			return policysetstore.New(db), event.New(db)
		})
	})
}
