package upgrade

import (
	"context"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
)

// artifactsSchema is the first with artifacts: builds before it take their files for uploads
// that nobody wants, and cannot read them.
const artifactsSchema = 10

// keepsArtifacts refuses a downgrade after which artifacts would be swept.
func keepsArtifacts(ctx context.Context, db *sqlstore.DB, target About) error {
	if target.Schema >= artifactsSchema {
		return nil
	}
	some, err := artifactstore.New(db).All(ctx, "", 1)
	if err == nil && len(some) > 0 {
		err = refused("%s knows no artifacts, and its doctor would remove the files of those that there are", target.Version)
	}
	return err
}
