// Package dossier implements dossier.Store and dossier.KeyStore on SQL.
package dossier

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store is a dossier.Store and a dossier.KeyStore.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var (
	_ dossier.Store    = (*Store)(nil)
	_ dossier.KeyStore = (*Store)(nil)
)

// Spans implements dossier.Store. A span begins with its move and ends with the next one of
// the alias, by sequence. The one in force at a time is that of the last move until then; what
// comes before the latest of these by its time is not read.
func (s *Store) Spans(ctx context.Context, q dossier.SpanQuery) ([]dossier.Span, error) {
	before, until := int64(math.MaxInt64), int64(math.MaxInt64)
	if q.Before > 0 {
		before = q.Before
	}
	if !q.Until.IsZero() {
		until = sqlstore.Micros(q.Until)
	}
	from := int64(math.MinInt64)
	if !q.From.IsZero() {
		from = sqlstore.Micros(q.From)
	}
	var out []dossier.Span
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		v := dossier.Span{Alias: q.Alias}
		var began, ended int64
		var request string
		if err := rows.Scan(&v.Seq, &v.Version, &v.Digest, &began, &ended, &v.By, &v.Reason, &v.Request, &request); err != nil {
			return err
		}
		v.From, v.To = sqlstore.Time(began), sqlstore.Time(ended)
		if err := approved(&v, request); err != nil {
			return err
		}
		out = append(out, v)
		return nil
	}, `SELECT c.seq, c.to_number, COALESCE(v.digest, ''), c.time, c.ended, c.actor, c.reason, c.request, COALESCE(r.document, '')
		FROM (SELECT h.model, h.seq, h.to_number, h.time, h.actor, h.reason, h.request,
				COALESCE((SELECT n.time FROM alias_change n WHERE n.model = h.model AND n.alias = h.alias AND n.seq > h.seq ORDER BY n.seq LIMIT 1), 0) AS ended
			FROM alias_change h
			WHERE h.model = $1 AND h.alias = $2 AND h.seq < $3 AND h.time < $4
				AND h.seq >= COALESCE((SELECT p.seq FROM alias_change p WHERE p.model = $1 AND p.alias = $2 AND p.time <= $5 ORDER BY p.time DESC, p.seq DESC LIMIT 1), 0)) c
			LEFT JOIN version v ON v.model = c.model AND v.number = c.to_number
			LEFT JOIN alias_request r ON r.id = c.request AND c.request <> ''
		WHERE c.ended = 0 OR c.ended > $5
		ORDER BY c.seq DESC LIMIT $6`, q.Model, q.Alias, before, until, from, q.Limit)
	return out, err
}

// approved fills in who asked and who approved.
func approved(v *dossier.Span, request string) error {
	if request == "" {
		return nil
	}
	var r struct {
		By        string `json:"by"`
		Approvals []struct {
			By string `json:"by"`
		} `json:"approvals"`
	}
	err := json.Unmarshal([]byte(request), &r)
	v.Requested = r.By
	for _, a := range r.Approvals {
		v.Approvers = append(v.Approvers, a.By)
	}
	return err
}

// SignaturesOf implements dossier.Signatures.
func (s *Store) SignaturesOf(ctx context.Context, model string, number int) ([]dossier.Signature, error) {
	var out []dossier.Signature
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		v := dossier.Signature{Model: model, Number: number}
		var bundle string
		var created int64
		err := rows.Scan(&v.Key, &bundle, &created, &v.By)
		v.Bundle, v.Created = []byte(bundle), sqlstore.Time(created)
		out = append(out, v)
		return err
	}, `SELECT key, bundle, created, actor FROM signature WHERE model = $1 AND number = $2 ORDER BY seq DESC`, model, number)
	return out, err
}

// Sign implements dossier.Signatures.
func (s *Store) Sign(ctx context.Context, v dossier.Signature, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error { return sign(tx, v) })
}

// Signed implements dossier.Signatures.
func (s *Store) Signed(ctx context.Context, v dossier.Signature, digest slipway.Digest, ev slipway.Event) context.Context {
	return sqlstore.Also(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var have string
		err := tx.QueryRow([]any{&v.Number, &have}, `SELECT number, digest FROM version WHERE model = $1 ORDER BY number DESC LIMIT 1`, v.Model)
		if err == nil && have != string(digest) {
			err = slipway.Errorf(slipway.Internal, slipway.CodeInternal, "report it", "a signature did not meet its version")
		}
		if err != nil {
			return err
		}
		return sign(tx, v)
	})
}

func sign(tx *sqlstore.Tx, v dossier.Signature) error {
	_, err := tx.Exec(`INSERT INTO signature (model, number, seq, key, bundle, created, actor)
		SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), COALESCE(MAX(seq), 0) + 1, CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS TEXT)
		FROM signature WHERE model = $1 AND number = $2`, v.Model, v.Number, v.Key, string(v.Bundle), sqlstore.Micros(v.Created), v.By)
	return err
}

// CardsOf implements dossier.Cards.
func (s *Store) CardsOf(ctx context.Context, model string, number, limit int) ([]dossier.Card, error) {
	var out []dossier.Card
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		c := dossier.Card{Model: model, Number: number}
		var created int64
		err := rows.Scan(&c.Seq, &c.Text, &created, &c.By, &c.Reason)
		c.Created = sqlstore.Time(created)
		out = append(out, c)
		return err
	}, `SELECT seq, text, created, actor, reason FROM model_card WHERE model = $1 AND number = $2 ORDER BY seq DESC LIMIT $3`, model, number, limit)
	return out, err
}

// Describe implements dossier.Cards.
func (s *Store) Describe(ctx context.Context, c dossier.Card, ev slipway.Event) (dossier.Card, error) {
	err := s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		err := tx.QueryRow([]any{&c.Seq}, `SELECT COALESCE(MAX(seq), 0) + 1 FROM model_card WHERE model = $1 AND number = $2`, c.Model, c.Number)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO model_card (model, number, seq, text, created, actor, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			c.Model, c.Number, c.Seq, c.Text, sqlstore.Micros(c.Created), c.By, c.Reason)
		return err
	})
	return c, err
}

// Renamed implements dossier.Store. There is no model of the new name; what an earlier one
// has left makes room.
func (s *Store) Renamed(ctx context.Context, model, to string) context.Context {
	return sqlstore.Also(ctx, nil, func(tx *sqlstore.Tx) (err error) {
		for _, query := range []string{`DELETE FROM signature WHERE model = $2 AND $1 <> $2`, `UPDATE signature SET model = $2 WHERE model = $1`,
			`DELETE FROM model_card WHERE model = $2 AND $1 <> $2`, `UPDATE model_card SET model = $2 WHERE model = $1`} {
			if err == nil {
				_, err = tx.Exec(query, model, to)
			}
		}
		return err
	})
}

// SigningKeys implements dossier.KeyStore.
func (s *Store) SigningKeys(ctx context.Context) ([]dossier.Key, error) {
	var out []dossier.Key
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var k dossier.Key
		var public, sealed string
		var created, retired int64
		err := rows.Scan(&k.ID, &public, &sealed, &created, &retired)
		if err == nil {
			k.Sealed, err = base64.StdEncoding.DecodeString(sealed)
		}
		k.Public, k.Created, k.Retired = []byte(public), sqlstore.Time(created), sqlstore.Time(retired)
		out = append(out, k)
		return err
	}, `SELECT id, public, sealed, created, retired FROM signing_key ORDER BY created DESC, id`)
	return out, err
}

// AddSigningKey implements dossier.KeyStore.
func (s *Store) AddSigningKey(ctx context.Context, k dossier.Key, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if _, err := tx.Exec(`UPDATE signing_key SET retired = $1 WHERE retired = 0`, sqlstore.Micros(k.Created)); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO signing_key (id, public, sealed, created, retired) VALUES ($1, $2, $3, $4, 0)`,
			k.ID, string(k.Public), base64.StdEncoding.EncodeToString(k.Sealed), sqlstore.Micros(k.Created))
		return err
	})
}

// ResealSigningKey implements dossier.KeyStore.
func (s *Store) ResealSigningKey(ctx context.Context, id string, was, now []byte) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE signing_key SET sealed = $3 WHERE id = $1 AND sealed = $2`, id, base64.StdEncoding.EncodeToString(was), base64.StdEncoding.EncodeToString(now))
		if err == nil && n == 0 {
			return sqlstore.ErrUnchanged
		}
		return err
	})
}
