// Package registry implements registry.Store on SQL.
package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a registry.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ registry.Store = (*Store)(nil)

// AddVersion implements registry.Store.
func (s *Store) AddVersion(ctx context.Context, v registry.Version, ev slipway.Event) (registry.Version, bool, error) {
	files, err := json.Marshal(v.Files)
	if err != nil {
		return registry.Version{}, false, err
	}
	out, added := v, false
	out.Created = sqlstore.Time(sqlstore.Micros(v.Created))
	detail := map[string]string{}
	for k, val := range ev.Detail {
		detail[k] = val
	}
	ev.Detail = detail
	err = s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var created int64
		err := tx.QueryRow([]any{&out.Number, &out.Source, &created, &out.By},
			`SELECT number, source, created, actor FROM version WHERE model = $1 AND digest = $2`, v.Model, string(v.Digest))
		if err == nil {
			err = tx.QueryRow([]any{&out.Team}, `SELECT team FROM model WHERE name = $1`, v.Model)
		}
		if err == nil {
			out.Created = sqlstore.Time(created)
			return sqlstore.ErrUnchanged
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		err = tx.QueryRow([]any{&out.Number, &out.Team}, `INSERT INTO model (name, latest, team) VALUES ($1, 1, $2)
			ON CONFLICT (name) DO UPDATE SET latest = model.latest + 1, team = CASE WHEN model.team = '' THEN excluded.team ELSE model.team END
			RETURNING latest, team`, v.Model, v.Team)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO version (model, number, digest, files, source, created, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			v.Model, out.Number, string(v.Digest), string(files), v.Source, sqlstore.Micros(v.Created), v.By)
		added, detail["number"] = true, fmt.Sprint(out.Number)
		return err
	})
	if err != nil {
		return registry.Version{}, false, err
	}
	return out, added, nil
}

// Version implements registry.Store.
func (s *Store) Version(ctx context.Context, model string, number int) (registry.Version, error) {
	v := registry.Version{Model: model}
	var files, digest string
	var created int64
	what := fmt.Sprintf("version %d of model %s", number, model)
	if number == 0 {
		what = "version of model " + model
	}
	err := s.db.QueryRow(ctx, what, []any{&v.Team, &v.Number, &digest, &files, &v.Source, &created, &v.By},
		`SELECT team, number, digest, files, source, created, actor FROM version JOIN model ON model.name = version.model
		WHERE model = $1 AND (number = $2 OR $2 = 0) ORDER BY number DESC LIMIT 1`, model, number)
	if err != nil {
		return registry.Version{}, err
	}
	v.Digest, v.Created = slipway.Digest(digest), sqlstore.Time(created)
	return v, json.Unmarshal([]byte(files), &v.Files)
}

// Alias implements registry.Store.
func (s *Store) Alias(ctx context.Context, model, alias string) (n int, err error) {
	return n, s.db.QueryRow(ctx, "alias "+alias+" of model "+model, []any{&n}, `SELECT number FROM alias WHERE model = $1 AND alias = $2`, model, alias)
}

// SetAlias implements registry.Store.
func (s *Store) SetAlias(ctx context.Context, c registry.AliasChange, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		c.From = 0
		err := tx.QueryRow([]any{&c.From}, `SELECT number FROM alias WHERE model = $1 AND alias = $2`, c.Model, c.Alias)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.Exec(`INSERT INTO alias (model, alias, number) VALUES ($1, $2, $3)
			ON CONFLICT (model, alias) DO UPDATE SET number = excluded.number`, c.Model, c.Alias, c.To)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO alias_change (model, seq, alias, from_number, to_number, actor, reason, time)
			SELECT CAST($1 AS TEXT), COALESCE(MAX(seq), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BIGINT)
			FROM alias_change WHERE model = $1`, c.Model, c.Alias, c.From, c.To, c.By, c.Reason, sqlstore.Micros(c.Time))
		return err
	})
}

// Model implements registry.Lists.
func (s *Store) Model(ctx context.Context, name string) (m registry.Model, err error) {
	return m, s.db.QueryRow(ctx, "model "+name, []any{&m.Name, &m.Latest, &m.Team}, `SELECT name, latest, team FROM model WHERE name = $1`, name)
}

// Models implements registry.Lists.
func (s *Store) Models(ctx context.Context, after string, limit int) ([]registry.Model, error) {
	var out []registry.Model
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var m registry.Model
		err := rows.Scan(&m.Name, &m.Latest, &m.Team)
		out = append(out, m)
		return err
	}, `SELECT name, latest, team FROM model WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
	return out, err
}

// Versions implements registry.Lists.
func (s *Store) Versions(ctx context.Context, model string, before, limit int) ([]registry.Version, error) {
	var out []registry.Version
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		v := registry.Version{Model: model}
		var digest string
		var created int64
		err := rows.Scan(&v.Number, &digest, &v.Source, &created, &v.By)
		v.Digest, v.Created = slipway.Digest(digest), sqlstore.Time(created)
		out = append(out, v)
		return err
	}, `SELECT number, digest, source, created, actor FROM version
		WHERE model = $1 AND (number < $2 OR $2 = 0) ORDER BY number DESC LIMIT $3`, model, before, limit)
	return out, err
}

// AliasHistory implements registry.Lists.
func (s *Store) AliasHistory(ctx context.Context, model string, limit int) ([]registry.AliasChange, error) {
	var out []registry.AliasChange
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		c := registry.AliasChange{Model: model}
		var us int64
		err := rows.Scan(&c.Alias, &c.From, &c.To, &c.By, &c.Reason, &us)
		c.Time = sqlstore.Time(us)
		out = append(out, c)
		return err
	}, `SELECT alias, from_number, to_number, actor, reason, time FROM alias_change WHERE model = $1 ORDER BY seq DESC LIMIT $2`, model, limit)
	return out, err
}
