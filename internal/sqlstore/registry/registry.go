// Package registry implements registry.Store on SQL.
package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a registry.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ registry.Store = (*Store)(nil)

// found puts the registry's own words in the place of sql's: what is missing has one name.
func found(err, missing error) error {
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) || errors.Is(err, sql.ErrNoRows) {
		return missing
	}
	return err
}

// own is a copy of an event whose detail may be added to.
func own(ev slipway.Event) slipway.Event {
	detail := map[string]string{}
	for k, v := range ev.Detail {
		detail[k] = v
	}
	ev.Detail = detail
	return ev
}

const (
	modelColumns   = `m.name, m.team, m.description, m.created, m.updated, m.actor, COALESCE((SELECT MAX(n.number) FROM version n WHERE n.model = m.name AND n.deleted = 0), 0)`
	versionColumns = `v.model, v.number, v.digest, v.source, v.created, v.actor, v.updated, v.stage`
	detailColumns  = versionColumns + `, v.description, v.run_id, v.run_link, v.logged_model, v.place`
)

// atNumber is the number $2 of the model $1, or the newest for 0: two look-ups, where an OR
// would walk through all versions.
const atNumber = `CASE WHEN $2 <> 0 THEN $2 ELSE (SELECT MAX(n.number) FROM version n WHERE n.model = $1 AND n.deleted = 0) END`

// modelRow reads modelColumns into a model.
type modelRow struct {
	registry.Model
	created, updated int64
}

func (r *modelRow) dest() []any {
	return []any{&r.Name, &r.Team, &r.Description, &r.created, &r.updated, &r.By, &r.Latest}
}

func (r *modelRow) model() registry.Model {
	r.Created, r.Updated = sqlstore.Time(r.created), sqlstore.Time(r.updated)
	return r.Model
}

// versionRow reads versionColumns, or detailColumns, into a version.
type versionRow struct {
	registry.Version
	digest           string
	created, updated int64
}

func (r *versionRow) dest() []any {
	return []any{&r.Model, &r.Number, &r.digest, &r.Source, &r.created, &r.By, &r.updated, &r.Stage}
}

func (r *versionRow) detail() []any {
	return append(r.dest(), &r.Description, &r.RunID, &r.RunLink, &r.LoggedModel, &r.Place)
}

func (r *versionRow) version() registry.Version {
	r.Digest, r.Created, r.Updated = slipway.Digest(r.digest), sqlstore.Time(r.created), sqlstore.Time(r.updated)
	return r.Version
}

// Version implements registry.VersionStore.
func (s *Store) Version(ctx context.Context, model string, number int) (registry.Version, error) {
	var r versionRow
	var files string
	err := s.db.QueryRow(ctx, "", append(r.detail(), &r.Team, &files),
		`SELECT `+detailColumns+`, m.team, v.files FROM version v JOIN model m ON m.name = v.model
		WHERE v.model = $1 AND v.number = `+atNumber+` AND v.deleted = 0`, model, number)
	if err != nil {
		return registry.Version{}, found(err, s.missing(ctx, model, number))
	}
	v := r.version()
	return v, json.Unmarshal([]byte(files), &v.Files)
}

// missing says what is not there of a version that is not.
func (s *Store) missing(ctx context.Context, model string, number int) error {
	if number == 0 {
		if _, err := s.Model(ctx, model); err == nil {
			return registry.NoNewest(model)
		}
		return registry.NoModel(model)
	}
	return registry.NoVersion(model, number)
}

// Alias implements registry.AliasStore.
func (s *Store) Alias(ctx context.Context, model, alias string) (n int, err error) {
	err = s.db.QueryRow(ctx, "", []any{&n}, `SELECT number FROM alias WHERE model = $1 AND alias = $2`, model, alias)
	return n, found(err, registry.NoAlias(model, alias))
}

// Model implements registry.Lists.
func (s *Store) Model(ctx context.Context, name string) (registry.Model, error) {
	var r modelRow
	err := s.db.QueryRow(ctx, "", r.dest(), `SELECT `+modelColumns+` FROM model m WHERE m.name = $1`, name)
	return r.model(), found(err, registry.NoModel(name))
}

// Models implements registry.Lists.
func (s *Store) Models(ctx context.Context, after string, limit int) ([]registry.Model, error) {
	var out []registry.Model
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r modelRow
		err := rows.Scan(r.dest()...)
		out = append(out, r.model())
		return err
	}, `SELECT `+modelColumns+` FROM model m WHERE m.name > $1 ORDER BY m.name LIMIT $2`, after, limit)
	return out, err
}

// Versions implements registry.Lists.
func (s *Store) Versions(ctx context.Context, model string, before, limit int) ([]registry.Version, error) {
	var out []registry.Version
	if before == 0 {
		before = math.MaxInt64
	}
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r versionRow
		err := rows.Scan(r.dest()...)
		out = append(out, r.version())
		return err
	}, `SELECT `+versionColumns+` FROM version v
		WHERE v.model = $1 AND v.number < $2 AND v.deleted = 0 ORDER BY v.number DESC LIMIT $3`, model, before, limit)
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

// Teams implements registry.Finder. It jumps from one team to the next in the index.
func (s *Store) Teams(ctx context.Context) ([]string, error) {
	var out []string
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var team string
		err := rows.Scan(&team)
		out = append(out, team)
		return err
	}, `WITH RECURSIVE t (team) AS (SELECT MIN(team) FROM model
		UNION ALL SELECT (SELECT MIN(m.team) FROM model m WHERE m.team > t.team) FROM t WHERE t.team IS NOT NULL)
		SELECT team FROM t WHERE team IS NOT NULL`)
	return out, err
}

// Newer gives the name of a model of which something is kept that had no place before schema
// 9, or empty: a program of before would lose it, or stumble over a number that is missing.
func (s *Store) Newer(ctx context.Context) (string, error) {
	var name string
	err := s.db.QueryRow(ctx, "", []any{&name}, `SELECT r.name FROM model_retired r
		UNION ALL SELECT t.model FROM model_tag t
		UNION ALL SELECT t.model FROM version_tag t
		UNION ALL SELECT m.name FROM model m WHERE m.description <> '' OR NOT EXISTS (SELECT 1 FROM version v WHERE v.model = m.name)
		UNION ALL SELECT v.model FROM version v WHERE v.digest = '' OR v.deleted <> 0 OR v.stage <> 'None' OR v.description <> '' OR v.run_id <> '' OR v.run_link <> '' OR v.logged_model <> ''
			OR EXISTS (SELECT 1 FROM version o WHERE o.model = v.model AND o.digest = v.digest AND o.number <> v.number)
		LIMIT 1`)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		err = nil
	}
	return name, err
}
