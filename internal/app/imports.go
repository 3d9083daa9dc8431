package app

import (
	"github.com/slipway-ml/slipway/internal/app/imports"
	importstore "github.com/slipway-ml/slipway/internal/sqlstore/imports"
)

// imports takes what comes from other MLflow servers.
func (a *App) imports() *imports.Service {
	return &imports.Service{Store: importstore.New(a.db), Tracking: a.tracking, Registry: a.registered, Access: a.access}
}
