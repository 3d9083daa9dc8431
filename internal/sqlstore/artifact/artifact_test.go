package artifact_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	artifacttest "github.com/slipway-ml/slipway/internal/storetest/artifact"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		artifacttest.Run(t, func(t *testing.T) (artifacttest.Store, eventtest.Reader) {
			db := open(t)
			return artifact.New(db), event.New(db)
		})
	})
}
