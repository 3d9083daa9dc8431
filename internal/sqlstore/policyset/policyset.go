// Package policyset implements policyset.Store on SQL.
package policyset

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a policyset.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ policyset.Store = (*Store)(nil)

// Versions implements policyset.Store.
func (s *Store) Versions(ctx context.Context) ([]policyset.Version, error) {
	var out []policyset.Version
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var text string
		var v policyset.Version
		var approval int
		err := rows.Scan(&text, &approval)
		if err == nil {
			err = json.Unmarshal([]byte(text), &v)
		}
		v.Approval = approval
		out = append(out, v)
		return err
	}, `SELECT document, decided FROM policy ORDER BY version`)
	return out, err
}

// Propose implements policyset.Store.
func (s *Store) Propose(ctx context.Context, v policyset.Version, ev slipway.Event) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var other int
		err := tx.QueryRow([]any{&other}, `SELECT version FROM policy WHERE status = 'proposed' OR version = $1 ORDER BY version LIMIT 1`, v.Number)
		if err == nil {
			return slipway.Errorf(slipway.Conflict, slipway.CodePolicyOpen, "platform policy list", "version %d comes before it", other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.Exec(`INSERT INTO policy (version, status, decided, document) VALUES ($1, 'proposed', 0, $2)`, v.Number, string(text))
		return err
	})
}

// Decide implements policyset.Store.
func (s *Store) Decide(ctx context.Context, v policyset.Version, ev slipway.Event) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE policy SET status = $2, document = $3,
			decided = CASE WHEN CAST($2 AS TEXT) = 'approved' THEN (SELECT MAX(decided) + 1 FROM policy) ELSE 0 END
			WHERE version = $1 AND status = 'proposed'`, v.Number, v.Status, string(text))
		if err == nil && n == 0 {
			return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform policy list", "version %d is no proposal that waits", v.Number)
		}
		return err
	})
}
