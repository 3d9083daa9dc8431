package tracking_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	trackingtest "github.com/slipway-ml/slipway/internal/storetest/tracking"
	core "github.com/slipway-ml/slipway/internal/tracking"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		trackingtest.Run(t, func(t *testing.T) (core.Stores, eventtest.Reader) {
			db := open(t)
			return tracking.New(db).Stores(), event.New(db)
		})
	})
}
