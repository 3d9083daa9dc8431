package rollout

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"

	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// OfVersion lists the deployments that brought a version somewhere, or tried to, newest
// first, with numbers below before (0: from the newest), at most limit.
func (s *Store) OfVersion(ctx context.Context, model string, version, before, limit int) ([]rollout.Deployment, error) {
	if before == 0 {
		before = math.MaxInt
	}
	return documents[rollout.Deployment](ctx, s.db, `SELECT document FROM deployment
		WHERE model = $1 AND version = $2 AND number < $3 ORDER BY number DESC LIMIT $4`, model, version, before, limit)
}

// OfRevision finds the deployment that brought a revision to its endpoint, or nil.
func (s *Store) OfRevision(ctx context.Context, revision string) (*rollout.Deployment, error) {
	return orNil(document[rollout.Deployment](ctx, s.db, "such deployment", `SELECT document FROM deployment WHERE revision = $1 AND revision <> ''`, revision))
}

func revisionOf(d *rollout.Deployment) string {
	if d.Revision == nil {
		return ""
	}
	return d.Revision.ID
}

// Successor finds the first deployment of an endpoint after a number that has succeeded, or
// nil.
func (s *Store) Successor(ctx context.Context, endpoint string, number int) (*rollout.Deployment, error) {
	return orNil(document[rollout.Deployment](ctx, s.db, "such deployment", `SELECT document FROM deployment
		WHERE endpoint = $1 AND number > $2 AND status = 'succeeded' ORDER BY number LIMIT 1`, endpoint, number))
}

// Renamed gives a context under which the next change commits with the deployments of a model
// being found by its new name. Their documents keep the name of their time.
func (s *Store) Renamed(ctx context.Context, model, to string) context.Context {
	return sqlstore.Also(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`UPDATE deployment SET model = $2 WHERE model = $1`, model, to)
		return err
	})
}

// indexPage is how many deployments are filled in at once.
const indexPage = 200

// Index fills in which version the deployments of an older program were about.
func (s *Store) Index(ctx context.Context) error {
	for {
		type row struct {
			id, model, revision string
			version             int
		}
		var rows []row
		err := s.db.Query(ctx, func(r *sql.Rows) error {
			var one row
			var text string
			if err := r.Scan(&one.id, &text); err != nil {
				return err
			}
			var d rollout.Deployment
			err := json.Unmarshal([]byte(text), &d)
			one.model, one.version, one.revision = d.Model, d.Version, revisionOf(&d)
			rows = append(rows, one)
			return err
		}, `SELECT id, document FROM deployment WHERE model = '' AND version = 0 LIMIT $1`, indexPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		err = s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
			for _, r := range rows {
				version := r.version
				if r.model == "" && version == 0 {
					version = -1 // a document that names none: it is not looked at again
				}
				if _, err := tx.Exec(`UPDATE deployment SET model = $2, version = $3, revision = $4 WHERE id = $1`, r.id, r.model, version, r.revision); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
