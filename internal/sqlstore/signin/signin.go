// Package signin implements identity.Records on SQL.
package signin

import (
	"context"
	"database/sql"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is an identity.Records.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ identity.Records = (*Store)(nil)

const columns = `kind, id, lookup, account, expires, document`

// row holds a record while it is read.
type row struct {
	identity.Record
	expires  int64
	document string
}

func (r *row) dest() []any {
	return []any{&r.Kind, &r.ID, &r.Key, &r.Account, &r.expires, &r.document}
}

func (r *row) record() identity.Record {
	r.Expires, r.Document = sqlstore.Time(r.expires), []byte(r.document)
	return r.Record
}

// Record implements identity.Records.
func (s *Store) Record(ctx context.Context, kind, id string) (identity.Record, error) {
	var r row
	err := s.db.QueryRow(ctx, "such "+kind, r.dest(), `SELECT `+columns+` FROM signin WHERE kind = $1 AND id = $2`, kind, id)
	return r.record(), err
}

// RecordByKey implements identity.Records.
func (s *Store) RecordByKey(ctx context.Context, kind, key string) (identity.Record, error) {
	var r row
	err := s.db.QueryRow(ctx, "such "+kind, r.dest(), `SELECT `+columns+` FROM signin WHERE kind = $1 AND lookup = $2 AND lookup <> ''`, kind, key)
	return r.record(), err
}

// RecordsOf implements identity.Records.
func (s *Store) RecordsOf(ctx context.Context, kind, account string) ([]identity.Record, error) {
	var out []identity.Record
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r row
		err := rows.Scan(r.dest()...)
		out = append(out, r.record())
		return err
	}, `SELECT `+columns+` FROM signin WHERE kind = $1 AND (account = $2 OR $2 = '') ORDER BY id`, kind, account)
	return out, err
}

// WriteRecords implements identity.Records.
func (s *Store) WriteRecords(ctx context.Context, remove, save []identity.Record, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		for _, r := range remove {
			n, err := tx.Exec(`DELETE FROM signin WHERE kind = $1 AND id = $2`, r.Kind, r.ID)
			if err == nil && n == 0 {
				err = sqlstore.Missing("such " + r.Kind)
			}
			if err != nil {
				return err
			}
		}
		for _, r := range save {
			if _, err := tx.Exec(`INSERT INTO signin (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (kind, id) DO UPDATE SET lookup = excluded.lookup, account = excluded.account, expires = excluded.expires, document = excluded.document`,
				r.Kind, r.ID, r.Key, r.Account, sqlstore.Micros(r.Expires), string(r.Document)); err != nil {
				return err
			}
		}
		return nil
	})
}

// SweepRecords implements identity.Records.
func (s *Store) SweepRecords(ctx context.Context, before time.Time) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`DELETE FROM signin WHERE expires <> 0 AND expires < $1`, sqlstore.Micros(before))
		return err
	})
}
