// Package review implements review.Store on SQL.
package review

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/review"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a review.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ review.Store = (*Store)(nil)

// Reviews implements review.Store.
func (s *Store) Reviews(ctx context.Context) ([]review.Review, error) {
	var out []review.Review
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		var r review.Review
		err := json.Unmarshal([]byte(text), &r)
		out = append(out, r)
		return err
	}, `SELECT document FROM review ORDER BY number`)
	return out, err
}

// SaveReview implements review.Store.
func (s *Store) SaveReview(ctx context.Context, r review.Review, events ...slipway.Event) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		var other string
		err := tx.QueryRow([]any{&other}, `SELECT id FROM review WHERE status = 'open' AND id <> $1`, r.ID)
		switch {
		case err == nil && r.Status == review.Open:
			return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access review show", "the review %s is open", other)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
		_, err = tx.Exec(`INSERT INTO review (id, number, status, document) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET status = excluded.status, document = excluded.document`, r.ID, r.Number, r.Status, string(text))
		return err
	})
}
