package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// prompt is the tag by which MLflow's clients tell prompts from models.
const prompt = registry.PromptTag

// AddModel implements registry.ModelStore.
func (s *Store) AddModel(ctx context.Context, m registry.Model, tags map[string]string, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		added, err := addModel(tx, m)
		if err != nil {
			return err
		}
		if !added {
			var is int
			if err := tx.QueryRow([]any{&is}, `SELECT prompt FROM model WHERE name = $1`, m.Name); err != nil {
				return err
			}
			return registry.ModelExists(m.Name, is == 1, tags[prompt] == "true")
		}
		for k, v := range tags {
			if err := tagModel(tx, m.Name, k, &v); err != nil {
				return err
			}
		}
		return nil
	})
}

// addModel adds a model unless there is one of its name.
func addModel(tx *sqlstore.Tx, m registry.Model) (bool, error) {
	n, err := tx.Exec(`INSERT INTO model (name, latest, team, description, created, updated, actor)
		SELECT CAST($1 AS TEXT), COALESCE((SELECT r.latest FROM model_retired r WHERE r.name = $1), 0), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS TEXT)
		WHERE NOT EXISTS (SELECT 1 FROM model WHERE name = $1)`, m.Name, m.Team, m.Description, sqlstore.Micros(m.Created), m.By)
	return n == 1, err
}

// ChangeModel implements registry.ModelStore.
func (s *Store) ChangeModel(ctx context.Context, name string, c registry.Change, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var there int
		if err := tx.QueryRow([]any{&there}, `SELECT 1 FROM model WHERE name = $1`, name); err != nil {
			return found(err, registry.NoModel(name))
		}
		if c.Description != nil {
			if _, err := tx.Exec(`UPDATE model SET description = $2 WHERE name = $1`, name, *c.Description); err != nil {
				return err
			}
		}
		for k, v := range c.Tags {
			if err := tagModel(tx, name, k, v); err != nil {
				return err
			}
		}
		if !c.Touch {
			return nil
		}
		return touch(tx, name, c.Time)
	})
}

func touch(tx *sqlstore.Tx, model string, at time.Time) error {
	_, err := tx.Exec(`UPDATE model SET updated = $2 WHERE name = $1`, model, sqlstore.Micros(at))
	return err
}

func tagModel(tx *sqlstore.Tx, model, key string, value *string) error {
	var err error
	if value == nil {
		_, err = tx.Exec(`DELETE FROM model_tag WHERE model = $1 AND key = $2`, model, key)
	} else {
		_, err = tx.Exec(`INSERT INTO model_tag (model, key, value) VALUES ($1, $2, $3) ON CONFLICT (model, key) DO UPDATE SET value = excluded.value`, model, key, *value)
	}
	return promptAfter(tx, model, key, err)
}

func tagVersion(tx *sqlstore.Tx, model string, number int, key string, value *string) error {
	var err error
	if value == nil {
		_, err = tx.Exec(`DELETE FROM version_tag WHERE model = $1 AND number = $2 AND key = $3`, model, number, key)
	} else {
		_, err = tx.Exec(`INSERT INTO version_tag (model, number, key, value) VALUES ($1, $2, $3, $4)
			ON CONFLICT (model, number, key) DO UPDATE SET value = excluded.value`, model, number, key, *value)
	}
	return promptAfter(tx, model, key, err)
}

// promptAfter keeps up what the tags say of a model, or of one of its versions.
func promptAfter(tx *sqlstore.Tx, model, key string, err error) error {
	if err != nil || key != prompt {
		return err
	}
	_, err = tx.Exec(`UPDATE model SET prompt = CASE WHEN EXISTS (SELECT 1 FROM model_tag t WHERE t.model = $1 AND t.key = $2 AND t.value = 'true')
		OR EXISTS (SELECT 1 FROM version_tag t WHERE t.model = $1 AND t.key = $2 AND substr(t.value, 1, 64) = 'true') THEN 1 ELSE 0 END WHERE name = $1`, model, prompt)
	return err
}

// RenameModel implements registry.ModelStore.
func (s *Store) RenameModel(ctx context.Context, name, to string, at time.Time, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if err := retire(tx, name); err != nil {
			return err
		}
		var is, moves int
		switch err := tx.QueryRow([]any{&is}, `SELECT prompt FROM model WHERE name = $1`, to); {
		case err == nil:
			return registry.ModelExists(to, is == 1, is == 1)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if err := tx.QueryRow([]any{&moves}, `SELECT COALESCE(MAX(seq), 0) FROM alias_change WHERE model = $1`, to); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE alias_change SET model = $2, seq = seq + $3 WHERE model = $1`, name, to, moves); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE model SET name = $2, updated = $3,
			latest = CASE WHEN latest < COALESCE((SELECT r.latest FROM model_retired r WHERE r.name = $2), 0) THEN (SELECT r.latest FROM model_retired r WHERE r.name = $2) ELSE latest END
			WHERE name = $1`, name, to, sqlstore.Micros(at))
		return err
	})
}

// retire remembers which numbers a name has had.
func retire(tx *sqlstore.Tx, name string) error {
	n, err := tx.Exec(`INSERT INTO model_retired (name, latest) SELECT m.name, m.latest FROM model m WHERE m.name = $1
		ON CONFLICT (name) DO UPDATE SET latest = excluded.latest`, name)
	if err == nil && n == 0 {
		return registry.NoModel(name)
	}
	return err
}

// DeleteModel implements registry.ModelStore.
func (s *Store) DeleteModel(ctx context.Context, name string, by registry.AliasChange, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if err := retire(tx, name); err != nil {
			return err
		}
		if err := dropAliases(tx, name, 0, by); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM version WHERE model = $1`, name); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM model WHERE name = $1`, name) // its tags with it
		return err
	})
}

// dropAliases removes the aliases of a version, or with 0 all of a model, and records that.
func dropAliases(tx *sqlstore.Tx, model string, number int, by registry.AliasChange) error {
	_, err := tx.Exec(`INSERT INTO alias_change (model, seq, alias, from_number, to_number, actor, reason, time)
		SELECT a.model, ROW_NUMBER() OVER (ORDER BY a.alias) + COALESCE((SELECT MAX(h.seq) FROM alias_change h WHERE h.model = $1), 0),
			a.alias, a.number, 0, CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT)
		FROM alias a WHERE a.model = $1 AND (a.number = $2 OR $2 = 0)`, model, number, by.By, by.Reason, sqlstore.Micros(by.Time))
	if err == nil {
		_, err = tx.Exec(`DELETE FROM alias WHERE model = $1 AND (number = $2 OR $2 = 0)`, model, number)
	}
	return err
}

// AddVersion implements registry.VersionStore.
func (s *Store) AddVersion(ctx context.Context, v registry.Version, ev slipway.Event) (out registry.Version, added bool, err error) {
	ev = own(ev)
	err = s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		out, added = v, false
		var r versionRow
		err := tx.QueryRow(append(r.detail(), &r.Team), `SELECT `+detailColumns+`, m.team FROM version v JOIN model m ON m.name = v.model
			WHERE v.model = $1 AND v.digest = $2 AND v.deleted = 0 ORDER BY v.number DESC LIMIT 1`, v.Model, string(v.Digest))
		if err == nil {
			out = r.version()
			out.Files = v.Files // the digest is theirs
			return sqlstore.ErrUnchanged
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := addModel(tx, registry.Model{Name: v.Model, Team: v.Team, Created: v.Created, By: v.By}); err != nil {
			return err
		}
		added = true
		return appendVersion(tx, &out, ev)
	})
	if err != nil {
		return registry.Version{}, false, err
	}
	return out, added, nil
}

// AppendVersion implements registry.VersionStore.
func (s *Store) AppendVersion(ctx context.Context, v registry.Version, ev slipway.Event) (registry.Version, error) {
	ev = own(ev)
	out := v
	err := s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error { return appendVersion(tx, &out, ev) })
	if err != nil {
		return registry.Version{}, err
	}
	return out, nil
}

// appendVersion gives a version the model's next number and adds it.
func appendVersion(tx *sqlstore.Tx, v *registry.Version, ev slipway.Event) error {
	files, err := json.Marshal(append([]registry.File{}, v.Files...)) // none is a list, too
	if err != nil {
		return err
	}
	v.Created, v.Updated = sqlstore.Time(sqlstore.Micros(v.Created)), sqlstore.Time(sqlstore.Micros(v.Updated))
	err = tx.QueryRow([]any{&v.Number, &v.Team}, `UPDATE model SET latest = latest + 1, updated = $2, team = CASE WHEN team = '' THEN $3 ELSE team END
		WHERE name = $1 RETURNING latest, team`, v.Model, sqlstore.Micros(v.Updated), v.Team)
	if err != nil {
		return found(err, registry.NoModel(v.Model))
	}
	_, err = tx.Exec(`INSERT INTO version (model, number, digest, source, created, actor, updated, stage, description, run_id, run_link, logged_model, place, files)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, v.Model, v.Number, string(v.Digest), v.Source, sqlstore.Micros(v.Created), v.By,
		sqlstore.Micros(v.Updated), v.Stage, v.Description, v.RunID, v.RunLink, v.LoggedModel, v.Place, string(files))
	if err != nil {
		return err
	}
	for k, val := range v.Tags {
		if err := tagVersion(tx, v.Model, v.Number, k, &val); err != nil {
			return err
		}
	}
	ev.Detail["number"] = strconv.Itoa(v.Number)
	return nil
}

// ChangeVersion implements registry.VersionStore.
func (s *Store) ChangeVersion(ctx context.Context, model string, number int, c registry.Change, ev slipway.Event) error {
	ev = own(ev)
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var stage string
		if err := tx.QueryRow([]any{&stage}, `SELECT stage FROM version WHERE model = $1 AND number = $2 AND deleted = 0`, model, number); err != nil {
			return found(err, registry.NoVersion(model, number))
		}
		if c.Description != nil {
			if _, err := tx.Exec(`UPDATE version SET description = $3 WHERE model = $1 AND number = $2`, model, number, *c.Description); err != nil {
				return err
			}
		}
		if c.Stage != "" {
			ev.Detail["from"] = stage
			if err := stageVersion(tx, model, number, c); err != nil {
				return err
			}
		}
		for k, v := range c.Tags {
			if err := tagVersion(tx, model, number, k, v); err != nil {
				return err
			}
		}
		if !c.Touch {
			return nil
		}
		_, err := tx.Exec(`UPDATE version SET updated = $3 WHERE model = $1 AND number = $2`, model, number, sqlstore.Micros(c.Time))
		if err == nil && c.Stage != "" {
			err = touch(tx, model, c.Time)
		}
		return err
	})
}

func stageVersion(tx *sqlstore.Tx, model string, number int, c registry.Change) error {
	if c.Archive {
		if _, err := tx.Exec(`UPDATE version SET stage = $4, updated = $5 WHERE model = $1 AND stage = $3 AND number <> $2 AND deleted = 0`,
			model, number, c.Stage, registry.StageArchived, sqlstore.Micros(c.Time)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE version SET stage = $3 WHERE model = $1 AND number = $2`, model, number, c.Stage)
	return err
}

// DeleteVersion implements registry.VersionStore. Digest and files stay: they say what the
// number was.
func (s *Store) DeleteVersion(ctx context.Context, model string, number int, by registry.AliasChange, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE version SET deleted = $3, updated = $3, source = '', place = '', description = '', run_link = '' WHERE model = $1 AND number = $2 AND deleted = 0`,
			model, number, sqlstore.Micros(by.Time))
		if err != nil {
			return err
		}
		if n == 0 {
			return registry.NoVersion(model, number)
		}
		if _, err := tx.Exec(`DELETE FROM version_tag WHERE model = $1 AND number = $2`, model, number); err != nil {
			return err
		}
		if err := dropAliases(tx, model, number, by); err != nil {
			return err
		}
		return touch(tx, model, by.Time)
	})
}

// SetAlias implements registry.AliasStore.
func (s *Store) SetAlias(ctx context.Context, c registry.AliasChange, ev slipway.Event) error {
	ev = own(ev)
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		c.From = 0
		err := tx.QueryRow([]any{&c.From}, `SELECT number FROM alias WHERE model = $1 AND alias = $2`, c.Model, c.Alias)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if c.To == 0 {
			if c.From == 0 {
				return sqlstore.ErrUnchanged
			}
			ev.Detail["from"] = strconv.Itoa(c.From)
			_, err = tx.Exec(`DELETE FROM alias WHERE model = $1 AND alias = $2`, c.Model, c.Alias)
		} else {
			err = pointAlias(tx, c)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO alias_change (model, seq, alias, from_number, to_number, actor, reason, time)
			SELECT CAST($1 AS TEXT), COALESCE(MAX(seq), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BIGINT)
			FROM alias_change WHERE model = $1`, c.Model, c.Alias, c.From, c.To, c.By, c.Reason, sqlstore.Micros(c.Time))
		return err
	})
}

func pointAlias(tx *sqlstore.Tx, c registry.AliasChange) error {
	n, err := tx.Exec(`INSERT INTO alias (model, alias, number)
		SELECT v.model, CAST($2 AS TEXT), v.number FROM version v WHERE v.model = $1 AND v.number = $3 AND v.deleted = 0
		ON CONFLICT (model, alias) DO UPDATE SET number = excluded.number`, c.Model, c.Alias, c.To)
	if err == nil && n == 0 {
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "choose one that is there", "%s has no version %d", c.Model, c.To)
	}
	return err
}
