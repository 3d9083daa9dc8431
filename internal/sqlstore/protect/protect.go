// Package protect implements protect.Store on SQL.
package protect

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a protect.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ protect.Store = (*Store)(nil)

// maxRules bounds a list.
const maxRules = 1000

// Rules implements protect.Store.
func (s *Store) Rules(ctx context.Context, model, team string, lifted bool) ([]protect.Rule, error) {
	var out []protect.Rule
	scan := func(rows *sql.Rows) error {
		var text, model string
		var r protect.Rule
		err := rows.Scan(&model, &text)
		if err == nil {
			err = json.Unmarshal([]byte(text), &r)
		}
		r.Model = model // it may have been renamed
		out = append(out, r)
		return err
	}
	all, ended := 0, 0
	if model == "" && team == "" {
		all = 1
	}
	if lifted {
		ended = 1
	}
	err := s.db.Query(ctx, scan, `SELECT model, document FROM alias_rule
		WHERE (CAST($1 AS BIGINT) = 1 OR model = $2 AND $2 <> '' OR team = $3 AND $3 <> '') AND (lifted = 0 OR CAST($4 AS BIGINT) = 1)
		ORDER BY created, id LIMIT $5`, all, model, team, ended, maxRules)
	return out, err
}

// PutRule implements protect.Store.
func (s *Store) PutRule(ctx context.Context, r protect.Rule, ev slipway.Event) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO alias_rule (id, model, team, created, lifted, document) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET lifted = excluded.lifted, document = excluded.document`,
			r.ID, r.Model, r.Team, sqlstore.Micros(r.Created), sqlstore.Micros(r.Lifted), string(text))
		return err
	})
}

// PutRequest implements protect.Store.
func (s *Store) PutRequest(ctx context.Context, r protect.Request, ev slipway.Event) (protect.Request, error) {
	err := s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) (err error) {
		r.Number, err = put(tx, r)
		return err
	})
	return r, err
}

// Together implements protect.Store.
func (s *Store) Together(ctx context.Context, r protect.Request, ev slipway.Event) context.Context {
	return sqlstore.Also(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if _, err := put(tx, r); err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE alias_change SET request = $1 WHERE model = $2 AND alias = $3 AND to_number = $4
			AND seq = (SELECT MAX(seq) FROM alias_change WHERE model = $2)`, r.ID, r.Model, r.Alias, r.Version)
		if err == nil && n != 1 {
			return slipway.Errorf(slipway.Internal, slipway.CodeInternal, "report it", "an approved request did not meet its move")
		}
		return err
	})
}

// Renamed implements protect.Store.
func (s *Store) Renamed(ctx context.Context, model, to string) context.Context {
	return sqlstore.Also(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`UPDATE alias_rule SET model = $2 WHERE model = $1`, model, to)
		if err == nil {
			_, err = tx.Exec(`UPDATE alias_request SET model = $2 WHERE model = $1`, model, to)
		}
		return err
	})
}

// put writes a request behind its number. Its revision says what it replaces.
func put(tx *sqlstore.Tx, r protect.Request) (int, error) {
	if r.Revision == 1 {
		if err := tx.QueryRow([]any{&r.Number}, `SELECT COALESCE(MAX(number), 0) + 1 FROM alias_request`); err != nil {
			return 0, err
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	waiting := 0
	if r.Status == protect.Waiting || r.Status == protect.Approved {
		waiting = 1
	}
	if r.Revision == 1 {
		_, err := tx.Exec(`INSERT INTO alias_request (id, number, model, alias, waiting, revision, document) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			r.ID, r.Number, r.Model, r.Alias, waiting, r.Revision, string(text))
		return r.Number, err
	}
	n, err := tx.Exec(`UPDATE alias_request SET waiting = $2, revision = $3, document = $4 WHERE id = $1 AND revision = $3 - 1`, r.ID, waiting, r.Revision, string(text))
	if err == nil && n == 0 {
		return 0, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform models requests "+r.ID, "somebody else has decided on it just now")
	}
	return r.Number, err
}

// Request implements protect.Requests.
func (s *Store) Request(ctx context.Context, id string) (r protect.Request, err error) {
	var text, model string
	if err := s.db.QueryRow(ctx, "such request", []any{&model, &text}, `SELECT model, document FROM alias_request WHERE id = $1`, id); err != nil {
		return r, err
	}
	err = json.Unmarshal([]byte(text), &r)
	r.Model = model
	return r, err
}

// Requests implements protect.Requests.
func (s *Store) Requests(ctx context.Context, q protect.Query) ([]protect.Request, error) {
	if q.Before == 0 {
		q.Before = math.MaxInt
	}
	// Each way to ask has its own text: one with "or empty" would use no index.
	query, args := `SELECT model, document FROM alias_request WHERE number < $1`, []any{q.Before, q.Limit}
	if q.Model != "" {
		query += ` AND model = $3`
		args = append(args, q.Model)
	}
	if q.Alias != "" {
		query += ` AND alias = $` + string(rune('1'+len(args)))
		args = append(args, q.Alias)
	}
	if q.Open {
		query += ` AND waiting = 1`
	}
	var out []protect.Request
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var text, model string
		var r protect.Request
		err := rows.Scan(&model, &text)
		if err == nil {
			err = json.Unmarshal([]byte(text), &r)
		}
		r.Model = model
		out = append(out, r)
		return err
	}, query+` ORDER BY number DESC LIMIT $2`, args...)
	return out, err
}
