package event

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Witnessed gives what was last seen of another platform's log, or NotFound.
func (s *Store) Witnessed(ctx context.Context, log string) (audit.Witnessed, error) {
	var w audit.Witnessed
	var document string
	err := s.db.QueryRow(ctx, "witnessed log "+slipway.OneLine(log, 100), []any{&document}, `SELECT document FROM witnessed WHERE log = $1`, log)
	if err == nil {
		err = json.Unmarshal([]byte(document), &w)
	}
	return w, err
}

var errMovedOn = errors.New("seen meanwhile")

// Witness keeps what is seen of a log now, if what was seen last is still what the caller
// knows; it answers Conflict otherwise.
func (s *Store) Witness(ctx context.Context, known, now audit.Witnessed, events ...slipway.Event) error {
	document, err := json.Marshal(now)
	if err != nil {
		return err
	}
	before, err := json.Marshal(known)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		query, args := `UPDATE witnessed SET document = $1 WHERE log = $2 AND document = $3`, []any{string(document), now.Log, string(before)}
		if known.Log == "" {
			query, args = `INSERT INTO witnessed (document, log) VALUES ($1, $2) ON CONFLICT (log) DO NOTHING`, args[:2]
		}
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			err = errMovedOn
		}
		return err
	})
	if errors.Is(err, errMovedOn) {
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "try again", "the log was seen by somebody else meanwhile")
	}
	return err
}
