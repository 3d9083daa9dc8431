// Package token keeps who may call: the hashes of tokens, never a token.
package token

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Token is what is known of a token. Hash is the hexadecimal SHA-256 of its text; Expires
// and Revoked are zero for never. Times are kept to the microsecond, in UTC.
type Token struct {
	Hash      string
	Principal string
	Scope     string // one of route.Scope…
	Created   time.Time
	Expires   time.Time
	Revoked   time.Time
}

// Store keeps tokens. Its methods are safe for concurrent use; what is acknowledged is
// durable, together with its event.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

// Add records a new token. It answers Conflict if its hash is known.
func (s *Store) Add(ctx context.Context, t Token, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO token (seq, hash, principal, scope, created, expires, revoked)
			SELECT COALESCE(MAX(seq), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT)
			FROM token`, t.Hash, t.Principal, t.Scope, sqlstore.Micros(t.Created), sqlstore.Micros(t.Expires), sqlstore.Micros(t.Revoked))
		return err
	})
}

// Revoke ends a token at the time of the event; NotFound if there is none. A token that
// was revoked before keeps its time, and the event is not recorded.
func (s *Store) Revoke(ctx context.Context, hash string, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var revoked int64
		err := tx.QueryRow([]any{&revoked}, `SELECT revoked FROM token WHERE hash = $1`, hash)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return sqlstore.Missing("such token")
		case err != nil:
			return err
		case revoked != 0:
			return sqlstore.ErrUnchanged
		}
		_, err = tx.Exec(`UPDATE token SET revoked = $2 WHERE hash = $1`, hash, sqlstore.Micros(ev.Time))
		return err
	})
}

const columns = `hash, principal, scope, created, expires, revoked`

// row holds a token while it is read.
type row struct {
	Token
	created, expires, revoked int64
}

func (r *row) dest() []any {
	return []any{&r.Hash, &r.Principal, &r.Scope, &r.created, &r.expires, &r.revoked}
}

func (r *row) token() Token {
	r.Created, r.Expires, r.Revoked = sqlstore.Time(r.created), sqlstore.Time(r.expires), sqlstore.Time(r.revoked)
	return r.Token
}

// ByHash finds a token, revoked or not; NotFound if there is none.
func (s *Store) ByHash(ctx context.Context, hash string) (Token, error) {
	var r row
	err := s.db.QueryRow(ctx, "such token", r.dest(), `SELECT `+columns+` FROM token WHERE hash = $1`, hash)
	return r.token(), err
}

// List gives every token, in the order in which they were added.
func (s *Store) List(ctx context.Context) ([]Token, error) {
	var out []Token
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(r.dest()...); err != nil {
			return err
		}
		out = append(out, r.token())
		return nil
	}, `SELECT `+columns+` FROM token ORDER BY seq`)
	return out, err
}
