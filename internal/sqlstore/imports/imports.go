// Package imports keeps what came from other servers, by its id there.
package imports

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Key names something at a server.
type Key struct{ Source, Kind, SourceID string }

// Row is what is known of it here. Mark is empty while some of it may be missing. Note
// is what is not as it was there.
type Row struct {
	Key

	ID, Team, Place, Mark, Note string
}

// Store keeps rows. Its methods are safe for concurrent use; what is acknowledged is durable.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

const columns = `SELECT source_id, id, team, place, mark, note FROM imported WHERE source = $1 AND kind = $2 AND source_id `

// Find gives those of some ids that are known, in any order.
func (s *Store) Find(ctx context.Context, source, kind string, ids []string) ([]Row, error) {
	var out []Row
	const some = 200
	for len(ids) > 0 {
		lot := ids[:min(some, len(ids))]
		ids = ids[len(lot):]
		names, args := make([]string, len(lot)), []any{source, kind}
		for i, id := range lot {
			names[i], args = fmt.Sprint("$", i+3), append(args, id)
		}
		err := s.db.Query(ctx, func(rows *sql.Rows) error {
			r := Row{Key: Key{Source: source, Kind: kind}}
			err := rows.Scan(&r.SourceID, &r.ID, &r.Team, &r.Place, &r.Mark, &r.Note)
			out = append(out, r)
			return err
		}, columns+`IN (`+strings.Join(names, ", ")+`)`, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Get gives a row; ok says whether there is one.
func (s *Store) Get(ctx context.Context, k Key) (r Row, ok bool, err error) {
	found, err := s.Find(ctx, k.Source, k.Kind, []string{k.SourceID})
	if err != nil || len(found) == 0 {
		return Row{}, false, err
	}
	return found[0], true, nil
}

// Put adds a row, or takes the place of the one that is there, with the events of what it
// stands for.
func (s *Store) Put(ctx context.Context, r Row, events ...slipway.Event) error {
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`INSERT INTO imported (source, kind, source_id, id, team, place, mark, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (source, kind, source_id) DO UPDATE SET id = excluded.id, team = excluded.team, place = excluded.place, mark = excluded.mark, note = excluded.note`,
			r.Source, r.Kind, r.SourceID, r.ID, r.Team, r.Place, r.Mark, r.Note)
		return err
	})
}

// Mark says what something was like when all of it had come. It is NotFound without a row.
func (s *Store) Mark(ctx context.Context, k Key, mark string) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		n, err := tx.Exec(`UPDATE imported SET mark = $4 WHERE source = $1 AND kind = $2 AND source_id = $3`, k.Source, k.Kind, k.SourceID, mark)
		if err == nil && n == 0 {
			err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "import it first", "nothing of that id came from there")
		}
		return err
	})
}

// Renumber gives a version that was just registered the number that it had elsewhere, unless
// a version of a model of that name has, or has had, that number. It answers the number that
// the version has then.
func (s *Store) Renumber(ctx context.Context, model string, from, to int) (int, error) {
	if from == to {
		return to, nil
	}
	err := s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		var taken int
		err := tx.QueryRow([]any{&taken}, `SELECT (SELECT COUNT(*) FROM version WHERE model = $1 AND number = $2) + (SELECT COUNT(*) FROM model_retired WHERE name = $1 AND latest >= $2)`, model, to)
		if err == nil && taken > 0 {
			to, err = from, sqlstore.ErrUnchanged
		}
		if err == nil {
			_, err = tx.Exec(`UPDATE version_tag SET number = $3 WHERE model = $1 AND number = $2`, model, from, to)
		}
		if err == nil {
			_, err = tx.Exec(`UPDATE version SET number = $3 WHERE model = $1 AND number = $2`, model, from, to)
		}
		if err == nil {
			_, err = tx.Exec(`UPDATE model SET latest = (SELECT MAX(v.number) FROM version v WHERE v.model = $1) WHERE name = $1
				AND NOT EXISTS (SELECT 1 FROM model_retired r WHERE r.name = $1 AND r.latest >= (SELECT MAX(v.number) FROM version v WHERE v.model = $1))`, model)
		}
		return err
	})
	return to, err
}

// Date gives a version, or with 0 a model, the times in milliseconds that it had elsewhere.
func (s *Store) Date(ctx context.Context, model string, number int, created, updated int64) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		if number == 0 {
			_, err := tx.Exec(`UPDATE model SET created = $2, updated = $3 WHERE name = $1`, model, created*1000, updated*1000)
			return err
		}
		_, err := tx.Exec(`UPDATE version SET created = $3, updated = $4 WHERE model = $1 AND number = $2`, model, number, created*1000, updated*1000)
		return err
	})
}
