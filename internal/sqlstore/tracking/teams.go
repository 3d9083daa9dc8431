package tracking

import (
	"context"
	"database/sql"
)

// Teams gives those that have experiments: from one to the next, by the index of names.
func (s *Store) Teams(ctx context.Context) (out []string, err error) {
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		out = append(out, "")
		return rows.Scan(&out[len(out)-1])
	}, `WITH RECURSIVE t (team) AS (SELECT MIN(team) FROM experiment
		UNION ALL SELECT (SELECT MIN(e.team) FROM experiment e WHERE e.team > t.team) FROM t WHERE t.team IS NOT NULL) SELECT team FROM t WHERE team IS NOT NULL`)
	return out, err
}
