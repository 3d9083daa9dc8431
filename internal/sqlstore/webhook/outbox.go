package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/webhook"
)

const (
	deliveryColumns = `hook, seq, part, id, event, state, next, created, tries, attempts`
	cursorName      = "events"
)

func scanDelivery(rows *sql.Rows, d *webhook.Delivery, more ...any) error {
	var next, created int64
	var text string
	if err := rows.Scan(append([]any{&d.Hook, &d.Seq, &d.Part, &d.ID, &d.Event, &d.State, &next, &created, &d.Tries, &text}, more...)...); err != nil {
		return err
	}
	err := json.Unmarshal([]byte(text), &d.Attempts)
	d.Created = sqlstore.Time(created)
	if d.State == webhook.Waiting {
		d.Next = sqlstore.Time(next)
	} else {
		d.Finished = sqlstore.Time(next)
	}
	return err
}

// Cursor implements webhook.Outbox.
func (s *Store) Cursor(ctx context.Context) (seq int64, err error) {
	return seq, s.db.QueryRow(ctx, "cursor", []any{&seq}, `SELECT COALESCE(MAX(seq), 0) FROM webhook_cursor WHERE name = $1`, cursorName)
}

// Queue implements webhook.Outbox.
func (s *Store) Queue(ctx context.Context, from, to int64, all []webhook.Delivery) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`INSERT INTO webhook_cursor (name, seq) VALUES ($1, $3)
			ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE webhook_cursor.seq <= $2`, cursorName, from, to)
		if err == nil && n == 0 {
			err = slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "try again", "others send events already")
		}
		if err != nil {
			return err
		}
		for i := range all {
			d := &all[i]
			_, err := tx.Exec(`INSERT INTO webhook_delivery (hook, seq, part, id, event, state, next, created, tries, attempts, body)
				SELECT id, CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), 'waiting', CAST($6 AS BIGINT), CAST($7 AS BIGINT), 0, 'null', CAST($8 AS TEXT)
				FROM webhook WHERE id = $1 AND status = 'active' AND since < CAST($2 AS BIGINT)
				ON CONFLICT (hook, seq, part) DO NOTHING`,
				d.Hook, d.Seq, d.Part, d.ID, string(d.Event), sqlstore.Micros(d.Next), sqlstore.Micros(d.Created), string(d.Body))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// First implements webhook.Outbox.
func (s *Store) First(ctx context.Context, hook string) (webhook.Delivery, error) {
	return s.one(ctx, `hook = $1 AND state = 'waiting' ORDER BY seq, part LIMIT 1`, hook)
}

// Delivery implements webhook.Log.
func (s *Store) Delivery(ctx context.Context, hook, id string) (webhook.Delivery, error) {
	return s.one(ctx, `hook = $1 AND id = $2`, hook, id)
}

func (s *Store) one(ctx context.Context, where string, args ...any) (d webhook.Delivery, err error) {
	found := false
	var body string
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		found = true
		return scanDelivery(rows, &d, &body)
	}, `SELECT `+deliveryColumns+`, body FROM webhook_delivery WHERE `+where, args...)
	if err == nil && !found {
		err = noDelivery()
	}
	d.Body = []byte(body)
	return d, err
}

func noDelivery() error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform webhooks deliveries HOOK", "there is no such delivery, or no more")
}

// Busy implements webhook.Outbox.
func (s *Store) Busy(ctx context.Context) ([]string, error) {
	return s.names(ctx, `SELECT id FROM webhook WHERE EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.hook = webhook.id AND d.state = 'waiting') ORDER BY id`)
}

// Waiting implements webhook.Log.
func (s *Store) Waiting(ctx context.Context, hook string) (n int, err error) {
	return n, s.db.QueryRow(ctx, "webhook", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM webhook_delivery WHERE hook = $1 AND state = 'waiting' LIMIT $2) AS waits`, hook, webhook.MaxWaiting+1)
}

// Finish implements webhook.Outbox.
func (s *Store) Finish(ctx context.Context, d webhook.Delivery, h webhook.Health, disabled string, events ...slipway.Event) error {
	text, err := json.Marshal(d.Attempts)
	if err != nil {
		return err
	}
	at := d.Next
	if d.State != webhook.Waiting {
		at = d.Finished
	}
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE webhook_delivery SET state = $3, next = $4, tries = $5, attempts = $6 WHERE hook = $1 AND id = $2 AND state = 'waiting'`,
			d.Hook, d.ID, string(d.State), sqlstore.Micros(at), d.Tries, string(text))
		if err != nil {
			return err
		}
		if n == 0 { // the hook was disabled or deleted while it was sent
			return noDelivery()
		}
		if _, err := tx.Exec(`UPDATE webhook SET failing = $2, failures = $3, trouble = $4 WHERE id = $1 AND (failing <> $2 OR failures <> $3)`,
			d.Hook, sqlstore.Micros(h.Failing), h.Failures, h.Trouble); err != nil {
			return err
		}
		if disabled != "" {
			if err := disable(tx, d.Hook, disabled, at); err != nil {
				return err
			}
		}
		return forget(tx, d.Hook, d.State)
	})
}

// disable makes the platform's own decision on a hook that is active.
func disable(tx *sqlstore.Tx, hook, why string, now time.Time) error {
	var text string
	err := tx.QueryRow([]any{&text}, `SELECT document FROM webhook WHERE id = $1 AND status = 'active'`, hook)
	if errors.Is(err, sql.ErrNoRows) {
		return noDelivery()
	}
	if err != nil {
		return err
	}
	var doc hookDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return err
	}
	doc.Why = why
	changed, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE webhook SET status = 'disabled', revision = revision + 1, document = $2 WHERE id = $1`, hook, string(changed)); err != nil {
		return err
	}
	return drop(tx, hook, now)
}

// forget removes what is finished and more than is kept.
func forget(tx *sqlstore.Tx, hook string, state webhook.State) error {
	keep := webhook.KeepDelivered
	switch state {
	case webhook.Waiting:
		return nil
	case webhook.Failed:
		keep = webhook.KeepFailed
	}
	var seq, part int64
	err := tx.QueryRow([]any{&seq, &part}, `SELECT seq, part FROM webhook_delivery WHERE hook = $1 AND state = $2 ORDER BY seq DESC, part DESC LIMIT 1 OFFSET $3`, hook, string(state), keep)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = tx.Exec(`DELETE FROM webhook_delivery WHERE hook = $1 AND state = $2 AND (seq, part) <= ($3, $4)`, hook, string(state), seq, part)
	}
	return err
}

// Deliveries implements webhook.Log.
func (s *Store) Deliveries(ctx context.Context, hook string, state webhook.State, before webhook.Place, limit int) ([]webhook.Delivery, error) {
	where, args := `hook = $1`, []any{hook, limit}
	if state != "" {
		where, args = where+` AND state = $3`, append(args, string(state))
	}
	if before != (webhook.Place{}) {
		n := len(args)
		args = append(args, before.Seq, before.Part)
		where += ` AND (seq, part) < ($` + strconv.Itoa(n+1) + `, $` + strconv.Itoa(n+2) + `)`
	}
	var out []webhook.Delivery
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var d webhook.Delivery
		err := scanDelivery(rows, &d)
		out = append(out, d)
		return err
	}, `SELECT `+deliveryColumns+` FROM webhook_delivery WHERE `+where+` ORDER BY seq DESC, part DESC LIMIT $2`, args...)
	return out, err
}

// Redeliver implements webhook.Log.
func (s *Store) Redeliver(ctx context.Context, hook string, ids []string, now time.Time, ev slipway.Event) (done int, err error) {
	again := `UPDATE webhook_delivery SET state = 'waiting', next = $2, tries = 0 WHERE hook = $1 AND state <> 'waiting'`
	err = s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		done = 0
		if len(ids) == 0 {
			n, err := tx.Exec(again+` AND state = 'failed'`, hook, sqlstore.Micros(now))
			if done = int(n); err == nil && n == 0 {
				err = sqlstore.ErrUnchanged
			}
			return err
		}
		for _, id := range ids {
			var state string
			err := tx.QueryRow([]any{&state}, `SELECT state FROM webhook_delivery WHERE hook = $1 AND id = $2`, hook, id)
			if errors.Is(err, sql.ErrNoRows) {
				return noDelivery()
			}
			if err != nil {
				return err
			}
			n, err := tx.Exec(again+` AND id = $3`, hook, sqlstore.Micros(now), id)
			if err != nil {
				return err
			}
			done += int(n)
		}
		if done == 0 {
			return sqlstore.ErrUnchanged
		}
		return nil
	})
	return done, err
}
