package registry_test

import (
	"testing"

	models "github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	registrytest "github.com/slipway-ml/slipway/internal/storetest/registry"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		registrytest.Run(t, func(t *testing.T) (models.Store, eventtest.Reader) {
			db := open(t)
			return registry.New(db), event.New(db)
		})
	})
}
