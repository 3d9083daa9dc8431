package review_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/identity/review"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	reviewstore "github.com/slipway-ml/slipway/internal/sqlstore/review"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
	reviewtest "github.com/slipway-ml/slipway/internal/storetest/review"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		reviewtest.Run(t, func(t *testing.T) (review.Store, eventtest.Reader) {
			db := open(t)
			return reviewstore.New(db), event.New(db)
		})
	})
}
