// Package webhook keeps webhooks, what waits for them and what was sent on SQL.
package webhook

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// Store is all of them.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var (
	_ webhook.Hooks   = (*Store)(nil)
	_ webhook.Changes = (*Store)(nil)
	_ webhook.Outbox  = (*Store)(nil)
	_ webhook.Log     = (*Store)(nil)
)

// hookDocument is what is only read with the whole hook.
type hookDocument struct {
	Name        string          `json:"name"`
	URL         string          `json:"url"`
	Description string          `json:"description,omitempty"`
	Events      []webhook.Event `json:"events"`
	Updated     time.Time       `json:"updated"`
	By          string          `json:"by"`
	Why         string          `json:"why,omitempty"`
}

const hookColumns = `SELECT id, team, created, status, revision, since, failing, failures, trouble, sealed, document FROM webhook `

func scanHook(scan func(dest ...any) error) (h webhook.Hook, err error) {
	var created, failing int64
	var sealed, text string
	if err := scan(&h.ID, &h.Team, &created, &h.Status, &h.Revision, &h.Since, &failing, &h.Failures, &h.Trouble, &sealed, &text); err != nil {
		return h, err
	}
	var d hookDocument
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return h, err
	}
	h.Created, h.Failing = sqlstore.Time(created), sqlstore.Time(failing)
	h.Name, h.URL, h.Description, h.Events, h.Updated, h.By, h.Why = d.Name, d.URL, d.Description, d.Events, d.Updated, d.By, d.Why
	if sealed != "" {
		h.Sealed, err = base64.StdEncoding.DecodeString(sealed)
	}
	return h, err
}

func documentOf(h *webhook.Hook) (sealed, text string, err error) {
	b, err := json.Marshal(hookDocument{h.Name, h.URL, h.Description, h.Events, h.Updated.UTC().Truncate(time.Microsecond), h.By, h.Why})
	return base64.StdEncoding.EncodeToString(h.Sealed), string(b), err
}

func ofMLflow(h *webhook.Hook) int { return min(1, len(webhook.MLflowPart(h.Events))) }

// Hooks implements webhook.Hooks.
func (s *Store) Hooks(ctx context.Context, q webhook.Query) ([]webhook.Hook, error) {
	where, args := []string{"1 = 1"}, []any{}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if q.Teams != nil {
		if len(q.Teams) == 0 {
			return nil, nil
		}
		var in []string
		for _, t := range q.Teams {
			in = append(in, arg(t))
		}
		where = append(where, "team IN ("+strings.Join(in, ", ")+")")
	}
	if q.Active {
		where = append(where, "status = 'active'")
	}
	if q.MLflow {
		where = append(where, "mlflow = 1")
	}
	if q.Before != nil {
		where = append(where, fmt.Sprintf("(created, id) < (%s, %s)", arg(sqlstore.Micros(q.Before.Created)), arg(q.Before.ID)))
	}
	query := hookColumns + "WHERE " + strings.Join(where, " AND ") + " ORDER BY created DESC, id DESC"
	if q.Limit > 0 {
		query += " LIMIT " + arg(q.Limit)
	}
	var out []webhook.Hook
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		h, err := scanHook(rows.Scan)
		out = append(out, h)
		return err
	}, query, args...)
	return out, err
}

// Hook implements webhook.Hooks.
func (s *Store) Hook(ctx context.Context, id string) (h webhook.Hook, err error) {
	found := false
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		found = true
		h, err = scanHook(rows.Scan)
		return err
	}, hookColumns+"WHERE id = $1", id)
	if err == nil && !found {
		err = webhook.Missing(id)
	}
	return h, err
}

// Teams implements webhook.Hooks.
func (s *Store) Teams(ctx context.Context) ([]string, error) {
	return s.names(ctx, `SELECT DISTINCT team FROM webhook ORDER BY team`)
}

func (s *Store) names(ctx context.Context, query string) (out []string, err error) {
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out = append(out, name)
		return err
	}, query)
	return out, err
}

// last is the newest event, in SQL.
const last = `(SELECT COALESCE(MAX(seq), 0) FROM event)`

// AddHook implements webhook.Changes.
func (s *Store) AddHook(ctx context.Context, h webhook.Hook, most int, ev slipway.Event) error {
	sealed, text, err := documentOf(&h)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var n int
		if err := tx.QueryRow([]any{&n}, `SELECT COUNT(*) FROM webhook WHERE team = $1`, h.Team); err != nil {
			return err
		}
		if n >= most {
			return slipway.Errorf(slipway.Invalid, slipway.CodeWebhookMany, "platform webhooks delete ID", "there are %d webhooks already, and no more than that", n)
		}
		_, err := tx.Exec(`INSERT INTO webhook (id, team, created, status, revision, since, failing, failures, trouble, mlflow, sealed, document)
			VALUES ($1, $2, $3, $4, 1, `+last+`, 0, 0, '', $5, $6, $7)`, h.ID, h.Team, sqlstore.Micros(h.Created), string(h.Status), ofMLflow(&h), sealed, text)
		return err
	})
}

// ChangeHook implements webhook.Changes.
func (s *Store) ChangeHook(ctx context.Context, h webhook.Hook, ev slipway.Event) error {
	sealed, text, err := documentOf(&h)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var was webhook.Status
		err := tx.QueryRow([]any{&was}, `SELECT status FROM webhook WHERE id = $1`, h.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return webhook.Missing(h.ID)
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE webhook SET status = $3, revision = revision + 1, mlflow = $4, sealed = $5, document = $6 WHERE id = $1 AND revision = $2`,
			h.ID, h.Revision, string(h.Status), ofMLflow(&h), sealed, text)
		switch {
		case err != nil:
			return err
		case n == 0:
			return changed()
		case was == h.Status:
			return nil
		}
		if _, err := tx.Exec(`UPDATE webhook SET failing = $2, failures = $3, trouble = $4, since = `+last+` WHERE id = $1`,
			h.ID, sqlstore.Micros(h.Failing), h.Failures, h.Trouble); err != nil {
			return err
		}
		return drop(tx, h.ID, h.Updated)
	})
}

func changed() error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "look at it, and try again", "the webhook has changed meanwhile")
}

// Reseal implements webhook.Changes. It changes nothing that an event would tell.
func (s *Store) Reseal(ctx context.Context, hook string, was, now []byte) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE webhook SET sealed = $3 WHERE id = $1 AND sealed = $2`, hook, base64.StdEncoding.EncodeToString(was), base64.StdEncoding.EncodeToString(now))
		if err == nil && n == 0 {
			err = changed()
		}
		return err
	})
}

// drop fails all that waits for a hook.
func drop(tx *sqlstore.Tx, hook string, now time.Time) error {
	_, err := tx.Exec(`UPDATE webhook_delivery SET state = 'failed', next = $2 WHERE hook = $1 AND state = 'waiting'`, hook, sqlstore.Micros(now))
	return err
}

// DeleteHook implements webhook.Changes.
func (s *Store) DeleteHook(ctx context.Context, id string, ev slipway.Event) error {
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		if _, err := tx.Exec(`DELETE FROM webhook_delivery WHERE hook = $1`, id); err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM webhook WHERE id = $1`, id)
		if err == nil && n == 0 {
			err = webhook.Missing(id)
		}
		return err
	})
}
