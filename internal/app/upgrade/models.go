package upgrade

import (
	"context"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
)

// registrySchema is the first with what MLflow's clients say of models.
const registrySchema = 9

// keepsModels refuses a downgrade that would lose something of a model.
func keepsModels(ctx context.Context, db *sqlstore.DB, target About) error {
	if target.Schema >= registrySchema {
		return nil
	}
	name, err := registrystore.New(db).Newer(ctx)
	if err == nil && name != "" {
		err = refused("%s knows nothing of what MLflow's clients have said of models, and that of %s would be lost", target.Version, name)
	}
	return err
}
