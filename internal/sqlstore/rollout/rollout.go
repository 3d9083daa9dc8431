// Package rollout implements rollout.Store and rollout.Ledger on SQL. Deployments and
// endpoints are documents: what is searched or must be unique lies beside them in columns.
package rollout

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a rollout.Store and a rollout.Ledger.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var (
	_ rollout.Store  = (*Store)(nil)
	_ rollout.Ledger = (*Store)(nil)
)

// documents reads a column of documents.
func documents[T any](ctx context.Context, db *sqlstore.DB, query string, args ...any) ([]T, error) {
	var out []T
	err := db.Query(ctx, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		var v T
		err := json.Unmarshal([]byte(text), &v)
		out = append(out, v)
		return err
	}, query, args...)
	return out, err
}

// document reads one document.
func document[T any](ctx context.Context, db *sqlstore.DB, what, query string, args ...any) (v T, err error) {
	var text string
	if err := db.QueryRow(ctx, what, []any{&text}, query, args...); err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(text), &v)
}

// Endpoints implements rollout.Store.
func (s *Store) Endpoints(ctx context.Context) ([]rollout.Endpoint, error) {
	return documents[rollout.Endpoint](ctx, s.db, `SELECT document FROM endpoint ORDER BY key`)
}

// Endpoint implements rollout.Store.
func (s *Store) Endpoint(ctx context.Context, key string) (rollout.Endpoint, error) {
	return document[rollout.Endpoint](ctx, s.db, "endpoint "+key, `SELECT document FROM endpoint WHERE key = $1`, key)
}

// Deployment implements rollout.Store.
func (s *Store) Deployment(ctx context.Context, id string) (rollout.Deployment, error) {
	return document[rollout.Deployment](ctx, s.db, "such deployment", `SELECT document FROM deployment WHERE id = $1`, id)
}

// Deployments implements rollout.Store.
func (s *Store) Deployments(ctx context.Context, key string, before, limit int) ([]rollout.Deployment, error) {
	if before == 0 {
		before = math.MaxInt
	}
	if key == "" {
		return documents[rollout.Deployment](ctx, s.db, `SELECT document FROM deployment WHERE number < $1 ORDER BY number DESC LIMIT $2`, before, limit)
	}
	return documents[rollout.Deployment](ctx, s.db, `SELECT document FROM deployment
		WHERE endpoint = $1 AND number < $2 ORDER BY number DESC LIMIT $3`, key, before, limit)
}

// ByKey implements rollout.Ledger.
func (s *Store) ByKey(ctx context.Context, by, key string) (*rollout.Deployment, error) {
	return orNil(document[rollout.Deployment](ctx, s.db, "such deployment", `SELECT document FROM deployment WHERE actor = $1 AND retry_key = $2 AND retry_key <> ''`, by, key))
}

// Refusal implements rollout.Ledger.
func (s *Store) Refusal(ctx context.Context, key string, d slipway.Digest) (*rollout.Refusal, error) {
	return orNil(document[rollout.Refusal](ctx, s.db, "refusal", `SELECT document FROM refusal WHERE endpoint = $1 AND digest = $2`, key, string(d)))
}

func orNil[T any](v T, err error) (*T, error) {
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// LastVeto implements rollout.Ledger.
func (s *Store) LastVeto(ctx context.Context, gateway string) (seq uint64, err error) {
	return seq, s.db.QueryRow(ctx, "veto", []any{&seq}, `SELECT COALESCE(MAX(seq), 0) FROM veto WHERE gateway = $1`, gateway)
}

// Commit implements rollout.Store.
func (s *Store) Commit(ctx context.Context, c rollout.Change, events ...slipway.Event) error {
	numbers := make([]int, len(c.Deployments))
	err := s.db.Write(ctx, events, func(tx *sqlstore.Tx) (err error) {
		if c.Veto != nil {
			if err := addVeto(tx, *c.Veto); err != nil {
				return err
			}
		}
		for i, d := range c.Deployments {
			if numbers[i], err = putDeployment(tx, *d); err != nil {
				return err
			}
		}
		for _, e := range c.Endpoints {
			if err := put(tx, e, `INSERT INTO endpoint (key, document) VALUES ($1, $2)
				ON CONFLICT (key) DO UPDATE SET document = excluded.document`, e.Key); err != nil {
				return err
			}
		}
		return putRefusals(tx, c)
	})
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if n != 0 { // zero after a known veto
			c.Deployments[i].Number = n
		}
	}
	return nil
}

// put writes a document behind its keys.
func put(tx *sqlstore.Tx, v any, query string, keys ...any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = tx.Exec(query, append(keys, string(b))...)
	}
	return err
}

// addVeto answers ErrUnchanged for a veto that was reconciled before.
func addVeto(tx *sqlstore.Tx, v rollout.VetoKey) error {
	n, err := tx.Exec(`INSERT INTO veto (gateway, seq) VALUES ($1, $2) ON CONFLICT (gateway, seq) DO NOTHING`, v.Gateway, int64(v.Seq))
	if err == nil && n == 0 {
		return sqlstore.ErrUnchanged
	}
	return err
}

// putDeployment writes a deployment and gives its number.
func putDeployment(tx *sqlstore.Tx, d rollout.Deployment) (number int, err error) {
	if d.Status == rollout.Running {
		var other string
		err := tx.QueryRow([]any{&other}, `SELECT id FROM deployment WHERE endpoint = $1 AND status = 'running' AND id <> $2`, d.Endpoint, d.ID)
		if err == nil {
			return 0, slipway.Errorf(slipway.Conflict, slipway.CodeInProgress, "wait for it, or: platform abort "+d.Endpoint, "%s drives %s", other, d.Endpoint)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
	err = tx.QueryRow([]any{&d.Number}, `SELECT COALESCE((SELECT number FROM deployment WHERE id = $1),
		(SELECT COALESCE(MAX(number), 0) + 1 FROM deployment))`, d.ID)
	if err != nil {
		return 0, err
	}
	return d.Number, put(tx, d, `INSERT INTO deployment (id, number, endpoint, status, actor, retry_key, model, version, revision, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, revision = excluded.revision, document = excluded.document`,
		d.ID, d.Number, d.Endpoint, string(d.Status), d.By, d.Key, d.Model, d.Version, revisionOf(&d))
}

func putRefusals(tx *sqlstore.Tx, c rollout.Change) error {
	if r := c.Forgive; r != nil {
		if _, err := tx.Exec(`DELETE FROM refusal WHERE endpoint = $1 AND digest = $2`, r.Endpoint, string(r.Digest)); err != nil {
			return err
		}
	}
	if r := c.Refuse; r != nil {
		return put(tx, r, `INSERT INTO refusal (endpoint, digest, document) VALUES ($1, $2, $3)
			ON CONFLICT (endpoint, digest) DO UPDATE SET document = excluded.document`, r.Endpoint, string(r.Digest))
	}
	return nil
}
