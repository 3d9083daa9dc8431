// Package identity implements identity.Store on SQL.
package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is an identity.Store.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var _ identity.Store = (*Store)(nil)

// Accounts implements identity.Store.
func (s *Store) Accounts(ctx context.Context) ([]identity.Account, error) {
	var out []identity.Account
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var text string
		var a identity.Account
		err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &a))
		out = append(out, a)
		return err
	}, `SELECT document FROM account ORDER BY name`)
	return out, err
}

// Account implements identity.Store.
func (s *Store) Account(ctx context.Context, name string) (a identity.Account, err error) {
	var text string
	if err := s.db.QueryRow(ctx, "such account", []any{&text}, `SELECT document FROM account WHERE name = $1`, name); err != nil {
		return a, err
	}
	return a, json.Unmarshal([]byte(text), &a)
}

// SaveAccount implements identity.Store.
func (s *Store) SaveAccount(ctx context.Context, a identity.Account, ev slipway.Event) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO account (name, document) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET document = excluded.document`, a.Name, string(text))
		return err
	})
}

// Scopes are for older programs, which know no accounts.
const (
	scopeOwner = "owner"
	scopeNone  = "account"
)

// document is what is only read with the whole token.
type document struct {
	Note  string        `json:"note,omitempty"`
	Limit slipway.Limit `json:"limit"`
	By    string        `json:"by,omitempty"`
	With  string        `json:"with,omitempty"`
	MFA   time.Time     `json:"mfa,omitzero"`
}

// AddToken implements identity.Tokens.
func (s *Store) AddToken(ctx context.Context, t identity.Token, replaces string, until time.Time, ev slipway.Event) error {
	text, err := json.Marshal(document{t.Note, t.Limit, t.By, t.With, t.MFA})
	if err != nil {
		return err
	}
	scope := scopeNone
	if t.Expires.IsZero() {
		scope = scopeOwner
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if replaces != "" {
			us := sqlstore.Micros(until)
			if _, err := tx.Exec(`UPDATE token SET expires = $2 WHERE id = $1 AND (expires = 0 OR expires > $2)`, replaces, us); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO token (seq, hash, principal, scope, created, expires, revoked, id, document, used)
			SELECT COALESCE(MAX(seq), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT),
			CAST($7 AS TEXT), CAST($8 AS TEXT), CAST($9 AS BIGINT) FROM token`,
			t.Hash, t.Account, scope, sqlstore.Micros(t.Created), sqlstore.Micros(t.Expires), sqlstore.Micros(t.Revoked), t.ID, string(text), sqlstore.Micros(t.Used))
		return err
	})
}

// RevokeToken implements identity.Tokens.
func (s *Store) RevokeToken(ctx context.Context, id string, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var revoked int64
		err := tx.QueryRow([]any{&revoked}, `SELECT revoked FROM token WHERE id = $1`, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return sqlstore.Missing("such token")
		case err != nil:
			return err
		case revoked != 0:
			return sqlstore.ErrUnchanged
		}
		_, err = tx.Exec(`UPDATE token SET revoked = $2 WHERE id = $1`, id, sqlstore.Micros(ev.Time))
		return err
	})
}

// UseTokens implements identity.Tokens. It changes nothing that an event would tell.
func (s *Store) UseTokens(ctx context.Context, used map[string]time.Time) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) {
			if _, err := tx.Exec(`UPDATE token SET used = $2 WHERE id = $1 AND used < $2`, id, sqlstore.Micros(used[id])); err != nil {
				return err
			}
		}
		return nil
	})
}

const columns = `id, hash, principal, document, created, expires, revoked, used`

// row holds a token while it is read.
type row struct {
	identity.Token
	document                        string
	created, expires, revoked, used int64
}

func (r *row) dest() []any {
	return []any{&r.ID, &r.Hash, &r.Account, &r.document, &r.created, &r.expires, &r.revoked, &r.used}
}

func (r *row) token() (identity.Token, error) {
	var d document
	err := json.Unmarshal([]byte(r.document), &d)
	r.Note, r.Limit, r.By, r.With, r.MFA = d.Note, d.Limit, d.By, d.With, d.MFA
	r.Created, r.Expires, r.Revoked, r.Used = sqlstore.Time(r.created), sqlstore.Time(r.expires), sqlstore.Time(r.revoked), sqlstore.Time(r.used)
	return r.Token, err
}

// TokenByHash implements identity.Tokens.
func (s *Store) TokenByHash(ctx context.Context, hash string) (identity.Token, error) {
	var r row
	if err := s.db.QueryRow(ctx, "such token", r.dest(), `SELECT `+columns+` FROM token WHERE hash = $1`, hash); err != nil {
		return identity.Token{}, err
	}
	return r.token()
}

// Tokens implements identity.Tokens.
func (s *Store) Tokens(ctx context.Context) ([]identity.Token, error) {
	var out []identity.Token
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(r.dest()...); err != nil {
			return err
		}
		t, err := r.token()
		out = append(out, t)
		return err
	}, `SELECT `+columns+` FROM token ORDER BY seq`)
	return out, err
}
