// Package keys implements keys.Store and keys.ObjectStore on SQL.
package keys

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a keys.Store and a keys.ObjectStore.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var (
	_ keys.Store       = (*Store)(nil)
	_ keys.ObjectStore = (*Store)(nil)
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func decode(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

func conflict(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "try again", "%s", fmt.Sprintf(format, args...))
}

// Keys implements keys.Store.
func (s *Store) Keys(ctx context.Context, space keys.Space) ([]keys.Key, error) {
	var out []keys.Key
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var k keys.Key
		var wrapped string
		var created, changed int64
		err := rows.Scan(&k.Space, &k.Version, &k.State, &k.Wrapper, &wrapped, &created, &changed)
		if err != nil {
			return err
		}
		k.Created, k.Changed = sqlstore.Time(created), sqlstore.Time(changed)
		k.Wrapped, err = decode(wrapped)
		out = append(out, k)
		return err
	}, `SELECT space, version, state, wrapper, wrapped, created, changed FROM data_key
		WHERE CAST($1 AS TEXT) = '' OR space = CAST($1 AS TEXT) ORDER BY space, version`, string(space))
	return out, err
}

// AddKey implements keys.Store.
func (s *Store) AddKey(ctx context.Context, k keys.Key, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if _, err := tx.Exec(`UPDATE data_key SET state = $2, changed = $3 WHERE space = $1 AND state = $4 AND version < $5`,
			string(k.Space), string(keys.DecryptOnly), sqlstore.Micros(k.Created), string(keys.Active), k.Version); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO data_key (space, version, state, wrapper, wrapped, created, changed) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			string(k.Space), k.Version, string(k.State), k.Wrapper, encode(k.Wrapped), sqlstore.Micros(k.Created), sqlstore.Micros(k.Changed))
		return err
	})
}

var order = map[keys.State]int{keys.Active: 1, keys.DecryptOnly: 2, keys.Leaving: 3, keys.Condemned: 4, keys.Destroyed: 5}

// SetKeys implements keys.Store.
func (s *Store) SetKeys(ctx context.Context, all []keys.Key, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		for _, k := range all {
			var state string
			err := tx.QueryRow([]any{&state}, `SELECT state FROM data_key WHERE space = $1 AND version = $2`, string(k.Space), k.Version)
			if errors.Is(err, sql.ErrNoRows) {
				return sqlstore.Missing("such key")
			}
			if err != nil {
				return err
			}
			if order[k.State] < order[keys.State(state)] {
				return conflict("version %d of %s is %s already", k.Version, k.Space, state)
			}
			if _, err := tx.Exec(`UPDATE data_key SET state = $3, wrapped = $4, changed = $5 WHERE space = $1 AND version = $2`,
				string(k.Space), k.Version, string(k.State), encode(k.Wrapped), sqlstore.Micros(k.Changed)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Use implements keys.Store. It changes nothing that an event would tell.
func (s *Store) Use(ctx context.Context, space keys.Space, version int, kind string) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO key_use (space, version, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, string(space), version, kind)
		return err
	})
}

// Uses implements keys.Store.
func (s *Store) Uses(ctx context.Context, space keys.Space, version int) ([]string, error) {
	var out []string
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var kind string
		err := rows.Scan(&kind)
		out = append(out, kind)
		return err
	}, `SELECT kind FROM key_use WHERE space = $1 AND version = $2 ORDER BY kind`, string(space), version)
	return out, err
}

// asked is how many objects one query asks for.
const asked = 200

// ObjectKeys implements keys.ObjectStore.
func (s *Store) ObjectKeys(ctx context.Context, objects ...string) ([]keys.ObjectKey, error) {
	var out []keys.ObjectKey
	for len(objects) > 0 {
		some := objects[:min(asked, len(objects))]
		objects = objects[len(some):]
		var list string
		args := make([]any, len(some))
		for i, o := range some {
			if i > 0 {
				list += ", "
			}
			list += fmt.Sprintf("$%d", i+1)
			args[i] = o
		}
		err := s.db.Query(ctx, func(rows *sql.Rows) error { return scanObject(rows, &out) }, `SELECT object, space, sealed FROM object_key WHERE object IN (`+list+`) ORDER BY object, space`, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func scanObject(rows *sql.Rows, out *[]keys.ObjectKey) error {
	var k keys.ObjectKey
	var sealed string
	err := rows.Scan(&k.Object, &k.Space, &sealed)
	if err == nil {
		k.Sealed, err = decode(sealed)
	}
	*out = append(*out, k)
	return err
}

// SpaceObjectKeys implements keys.ObjectStore.
func (s *Store) SpaceObjectKeys(ctx context.Context, space keys.Space, below, limit int) (some []keys.ObjectKey, all int, err error) {
	err = s.db.QueryRow(ctx, "count", []any{&all}, `SELECT COUNT(*) FROM object_key WHERE space = $1 AND version < $2`, string(space), below)
	if err == nil && all > 0 {
		err = s.db.Query(ctx, func(rows *sql.Rows) error { return scanObject(rows, &some) },
			`SELECT object, space, sealed FROM object_key WHERE space = $1 AND version < $2 ORDER BY object LIMIT $3`, string(space), below, limit)
	}
	return some, max(all, len(some)), err
}

// ChangeObjectKeys implements keys.ObjectStore. It changes nothing that an event would tell:
// the registration, the rotation and the shredding have their own.
func (s *Store) ChangeObjectKeys(ctx context.Context, drop, add []keys.ObjectKey) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		for _, k := range drop {
			n, err := tx.Exec(`DELETE FROM object_key WHERE object = $1 AND space = $2 AND sealed = $3`, k.Object, string(k.Space), encode(k.Sealed))
			if err != nil {
				return err
			}
			if n == 0 {
				return conflict("the key of an object has changed")
			}
		}
		for _, k := range add {
			version, _ := keys.VersionOf(k.Sealed)
			if err := Good(tx, k.Space, version); err != nil {
				return err
			}
			n, err := tx.Exec(`INSERT INTO object_key (object, space, version, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				k.Object, string(k.Space), version, encode(k.Sealed))
			if err != nil {
				return err
			}
			if n == 0 {
				return conflict("the object has a key already")
			}
		}
		return nil
	})
}

// Good answers Conflict unless a data key is the active one of its space still. What an older
// one has sealed must not be stored: it might be overlooked when that one is destroyed.
func Good(tx *sqlstore.Tx, space keys.Space, version int) error {
	var state string
	err := tx.QueryRow([]any{&state}, `SELECT state FROM data_key WHERE space = $1 AND version = $2`, string(space), version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if keys.State(state) != keys.Active {
		return conflict("the data key of %s was replaced meanwhile", space)
	}
	return nil
}
