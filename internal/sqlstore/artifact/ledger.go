package artifact

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Claim implements artifact.Roots. Whose a place is shows in what is written there; it has no
// event of its own.
func (s *Store) Claim(ctx context.Context, root, team string) (owner string, err error) {
	err = s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		if _, err := tx.Exec(`INSERT INTO artifact_root (name, team) VALUES ($1, $2) ON CONFLICT DO NOTHING`, root, team); err != nil {
			return err
		}
		return tx.QueryRow([]any{&owner}, `SELECT team FROM artifact_root WHERE name = $1`, root)
	})
	return owner, err
}

// Owner implements artifact.Roots.
func (s *Store) Owner(ctx context.Context, root string) (team string, err error) {
	err = s.db.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&team) }, `SELECT team FROM artifact_root WHERE name = $1`, root)
	return team, err
}

// asked is how many digests one query asks for.
const asked = 200

// chunks calls do with lists of placeholders and their arguments.
func chunks(digests []slipway.Digest, do func(list string, args []any) error) error {
	for len(digests) > 0 {
		some := digests[:min(asked, len(digests))]
		digests = digests[len(some):]
		names, args := make([]string, len(some)), make([]any, len(some))
		for i, d := range some {
			names[i], args[i] = fmt.Sprintf("$%d", i+1), string(d)
		}
		if err := do(strings.Join(names, ", "), args); err != nil {
			return err
		}
	}
	return nil
}

// Named implements artifact.Ledger.
func (s *Store) Named(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error) {
	out := map[slipway.Digest]bool{}
	err := chunks(digests, func(list string, args []any) error {
		return s.db.Query(ctx, func(rows *sql.Rows) error {
			var d slipway.Digest
			err := rows.Scan(&d)
			out[d] = true
			return err
		}, `SELECT digest FROM artifact WHERE digest IN (`+list+`) UNION SELECT digest FROM upload_part WHERE digest IN (`+list+`)`, args...)
	})
	return out, err
}

// Unused implements artifact.Ledger.
func (s *Store) Unused(ctx context.Context, after slipway.Digest, limit int) ([]slipway.Digest, error) {
	return s.digests(ctx, `SELECT digest FROM artifact_unused WHERE digest > $1 ORDER BY digest LIMIT $2`, string(after), limit)
}

// All gives at most limit digests that files or parts name, in order, for copies of everything.
func (s *Store) All(ctx context.Context, after slipway.Digest, limit int) ([]slipway.Digest, error) {
	return s.digests(ctx, `SELECT digest FROM (SELECT DISTINCT digest FROM artifact WHERE digest > $1 UNION SELECT DISTINCT digest FROM upload_part WHERE digest > $1) AS named
		ORDER BY digest LIMIT $2`, string(after), limit)
}

func (s *Store) digests(ctx context.Context, query string, args ...any) ([]slipway.Digest, error) {
	var out []slipway.Digest
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var d slipway.Digest
		err := rows.Scan(&d)
		out = append(out, d)
		return err
	}, query, args...)
	return out, err
}

// Forget implements artifact.Ledger.
func (s *Store) Forget(ctx context.Context, digests []slipway.Digest) error {
	if len(digests) == 0 {
		return nil
	}
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		return chunks(digests, func(list string, args []any) error {
			_, err := tx.Exec(`DELETE FROM artifact_unused WHERE digest IN (`+list+`)`, args...)
			return err
		})
	})
}

// Release implements artifact.Ledger.
func (s *Store) Release(ctx context.Context, digests []slipway.Digest) error {
	if len(digests) == 0 {
		return nil
	}
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		for _, d := range digests {
			if err := unused(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// Teams gives whose files and parts name digests, each team once.
func (s *Store) Teams(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest][]string, error) {
	out := map[slipway.Digest][]string{}
	err := chunks(digests, func(list string, args []any) error {
		return s.db.Query(ctx, func(rows *sql.Rows) error {
			var d slipway.Digest
			var team string
			err := rows.Scan(&d, &team)
			out[d] = append(out[d], team)
			return err
		}, `SELECT digest, team FROM artifact WHERE digest IN (`+list+`)
			UNION SELECT p.digest, u.team FROM upload_part p JOIN upload u ON u.id = p.upload WHERE p.digest IN (`+list+`)`, args...)
	})
	return out, err
}

// Begin implements artifact.Uploads.
func (s *Store) Begin(ctx context.Context, u artifact.Upload) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO upload (id, path, type, team, actor, parts, expires, done) VALUES ($1, $2, $3, $4, $5, $6, $7, '')`,
			u.ID, u.Path, u.Type, u.Team, u.By, u.Parts, sqlstore.Micros(u.Expires))
		return err
	})
}

// missingUpload is the NotFound of an upload.
func missingUpload() error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeUpload, "begin it again", "there is no such upload: it was ended, or has expired")
}

// Upload implements artifact.Uploads.
func (s *Store) Upload(ctx context.Context, id string) (artifact.Upload, []artifact.Part, error) {
	u := artifact.Upload{ID: id}
	var expires int64
	found := false
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&u.Path, &u.Type, &u.Team, &u.By, &u.Parts, &expires, &u.Done)
	}, `SELECT path, type, team, actor, parts, expires, done FROM upload WHERE id = $1`, id)
	if err == nil && !found {
		err = missingUpload()
	}
	if err != nil {
		return u, nil, err
	}
	u.Expires = sqlstore.Time(expires)
	var parts []artifact.Part
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var p artifact.Part
		err := rows.Scan(&p.Number, &p.Digest, &p.Size)
		parts = append(parts, p)
		return err
	}, `SELECT number, digest, size FROM upload_part WHERE upload = $1 ORDER BY number`, id)
	return u, parts, err
}

// AddPart implements artifact.Uploads.
func (s *Store) AddPart(ctx context.Context, id string, p artifact.Part) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		var n int
		if err := tx.QueryRow([]any{&n}, `SELECT COUNT(*) FROM upload WHERE id = $1 AND done = ''`, id); err != nil {
			return err
		}
		if n == 0 {
			return missingUpload()
		}
		if _, err := tx.Exec(`INSERT INTO artifact_unused (digest) SELECT digest FROM upload_part WHERE upload = $1 AND number = $2 AND digest <> $3 ON CONFLICT DO NOTHING`,
			id, p.Number, string(p.Digest)); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO upload_part (upload, number, digest, size) VALUES ($1, $2, $3, $4)
			ON CONFLICT (upload, number) DO UPDATE SET digest = excluded.digest, size = excluded.size`, id, p.Number, string(p.Digest), p.Size)
		return err
	})
}

// Complete implements artifact.Uploads.
func (s *Store) Complete(ctx context.Context, id string, f artifact.File, replaced func(artifact.File) slipway.Event) error {
	return s.putting(ctx, f, replaced, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE upload SET done = $2 WHERE id = $1 AND done = ''`, id, string(f.Digest))
		if err == nil && n == 0 {
			err = missingUpload()
		}
		if err != nil {
			return err
		}
		return dropParts(tx, `= $1`, id)
	})
}

// dropParts removes the parts of uploads that a condition with one argument names.
func dropParts(tx *sqlstore.Tx, which string, arg any) error {
	if _, err := tx.Exec(`INSERT INTO artifact_unused (digest) SELECT DISTINCT digest FROM upload_part WHERE upload `+which+` ON CONFLICT DO NOTHING`, arg); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM upload_part WHERE upload `+which, arg)
	return err
}

// Abort implements artifact.Uploads.
func (s *Store) Abort(ctx context.Context, id string, expired time.Time) (n int, err error) {
	parts, upload, arg := `= $1`, `id = $1`, any(id)
	if id == "" {
		parts, upload, arg = `IN (SELECT id FROM upload WHERE expires < $1)`, `expires < $1`, sqlstore.Micros(expired)
	}
	err = s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		if err := dropParts(tx, parts, arg); err != nil {
			return err
		}
		rows, err := tx.Exec(`DELETE FROM upload WHERE `+upload, arg)
		n = int(rows)
		return err
	})
	return n, err
}
