package keys

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

var _ keys.SecretStore = (*Store)(nil)

// document is what is only read with the whole secret.
type document struct {
	From    string    `json:"from,omitempty"`
	Number  int       `json:"number"`
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`
}

// Secrets implements keys.SecretStore.
func (s *Store) Secrets(ctx context.Context, team string) ([]keys.Secret, error) {
	var out []keys.Secret
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var k keys.Secret
		var sealed, text string
		var d document
		err := rows.Scan(&k.Team, &k.Name, &sealed, &text)
		if err == nil {
			k.Sealed, err = decode(sealed)
		}
		if err == nil {
			err = json.Unmarshal([]byte(text), &d)
		}
		k.From, k.Number, k.Changed, k.By = d.From, d.Number, d.Changed, d.By
		out = append(out, k)
		return err
	}, `SELECT team, name, sealed, document FROM secret WHERE CAST($1 AS TEXT) = '' OR team = CAST($1 AS TEXT) ORDER BY team, name`, team)
	return out, err
}

// SaveSecret implements keys.SecretStore.
func (s *Store) SaveSecret(ctx context.Context, k keys.Secret, was *keys.Secret, events ...slipway.Event) error {
	text, err := json.Marshal(document{k.From, k.Number, k.Changed.UTC(), k.By})
	if err != nil {
		return err
	}
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		version, sealed := keys.VersionOf(k.Sealed)
		if sealed {
			if err := Good(tx, keys.Team(k.Team), version); err != nil {
				return err
			}
		}
		var have, doc string
		err := tx.QueryRow([]any{&have, &doc}, `SELECT sealed, document FROM secret WHERE team = $1 AND name = $2`, k.Team, k.Name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if there := err == nil; there != (was != nil) || there && have != encode(was.Sealed) {
			return conflict("the secret %s has changed meanwhile", k.Name)
		}
		_, err = tx.Exec(`INSERT INTO secret (team, name, version, sealed, document) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (team, name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed, document = excluded.document`,
			k.Team, k.Name, version, encode(k.Sealed), string(text))
		return err
	})
}

// DeleteSecret implements keys.SecretStore.
func (s *Store) DeleteSecret(ctx context.Context, team, name string, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`DELETE FROM secret WHERE team = $1 AND name = $2`, team, name)
		if err == nil && n == 0 {
			return sqlstore.Missing("such secret")
		}
		return err
	})
}
