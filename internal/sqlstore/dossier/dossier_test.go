package dossier_test

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	dossierstore "github.com/slipway-ml/slipway/internal/sqlstore/dossier"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
	dossiertest "github.com/slipway-ml/slipway/internal/storetest/dossier"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		dossiertest.Run(t, func(t *testing.T) dossiertest.Backend {
			db := open(t)
			s := dossierstore.New(db)
			return dossiertest.Backend{Store: s, Keys: s, Models: registry.New(db), Events: event.New(db)}
		})
	})
}
