package tracking

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// AddRun implements tracking.RunStore.
func (s *Store) AddRun(ctx context.Context, r tracking.Run, ev slipway.Event, refuse func(stage string) error) error {
	experiment, err := strconv.ParseInt(r.ExperimentID, 10, 64)
	if err != nil {
		return sqlstore.Missing("experiment " + r.ExperimentID)
	}
	st := (&record.State{}).With(r.State)
	return s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		var num int64
		var stage string
		if err := tx.QueryRow([]any{&num, &stage}, `SELECT (SELECT COALESCE(MAX(num), 0) + 1 FROM run), stage FROM experiment WHERE id = $1`, experiment); err != nil {
			return one(err, "experiment "+r.ExperimentID)
		}
		if err := refuse(stage); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO run (num, id, experiment, name, user_id, status, start_time, end_time, artifact_uri, stage, linked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`,
			num, r.ID, experiment, r.Name, r.User, r.Status, r.Start, r.End, r.ArtifactURI, r.Stage)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO run_state (run, segments, unindexed, state, tail) VALUES ($1, 0, 0, $2, $3)`, num, st.Encode(), []byte{}); err != nil {
			return err
		}
		return setTags(tx, num, experiment, r.Tags)
	})
}

const runColumns = `r.num, r.id, r.name, r.experiment, r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri, r.stage, r.linked, e.team`

// runRow is where a row of these columns is read into.
type runRow struct {
	tracking.Run

	num, experiment, linked int64
	end                     sql.NullInt64
	state                   []byte
}

func (r *runRow) into() []any {
	return []any{&r.num, &r.ID, &r.Name, &r.experiment, &r.User, &r.Status, &r.Start, &r.end, &r.ArtifactURI, &r.Stage, &r.linked, &r.Team}
}

func (r *runRow) finish() {
	r.ExperimentID = strconv.FormatInt(r.experiment, 10)
	if r.end.Valid {
		end := r.end.Int64
		r.End = &end
	}
}

// Run implements tracking.RunStore.
func (s *Store) Run(ctx context.Context, teams []string, id string) (tracking.Run, error) {
	var r runRow
	a := &query.Args{}
	err := s.db.QueryRow(ctx, "run "+id, append(r.into(), &r.state), `SELECT `+runColumns+`, s.state FROM run r JOIN experiment e ON e.id = r.experiment JOIN run_state s ON s.run = r.num
		WHERE r.id = `+a.Add(id)+` AND `+visible(teams, a), a.Values...)
	if err != nil {
		return tracking.Run{}, err
	}
	r.finish()
	st, err := record.DecodeState(r.state)
	if err != nil {
		return tracking.Run{}, err
	}
	r.State = st.State
	return r.Run, s.link(ctx, []*runRow{&r})
}

// RunOwner implements tracking.RunStore.
func (s *Store) RunOwner(ctx context.Context, teams []string, id string) (experiment, team string, err error) {
	a := &query.Args{}
	var n int64
	err = s.db.QueryRow(ctx, "run "+id, []any{&n, &team}, `SELECT r.experiment, e.team FROM run r JOIN experiment e ON e.id = r.experiment
		WHERE r.id = `+a.Add(id)+` AND `+visible(teams, a), a.Values...)
	return strconv.FormatInt(n, 10), team, err
}

// ChangeRun implements tracking.RunStore.
func (s *Store) ChangeRun(ctx context.Context, id string, change func(*tracking.Run) ([]slipway.Event, error)) error {
	return s.change(ctx, func(tx *sqlstore.Tx) ([]slipway.Event, error) {
		var r runRow
		err := tx.QueryRow(append(r.into(), &r.state), `SELECT `+runColumns+`, s.state FROM run r JOIN experiment e ON e.id = r.experiment JOIN run_state s ON s.run = r.num WHERE r.id = $1`, id)
		if err != nil {
			return nil, one(err, "run "+id)
		}
		r.finish()
		st, err := record.DecodeState(r.state)
		if err != nil {
			return nil, err
		}
		r.State = st.State
		name, ended := r.Name, r.Ended()
		events, err := change(&r.Run)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Exec(`UPDATE run SET name = $2, status = $3, end_time = $4, stage = $5 WHERE num = $1`, r.num, r.Name, r.Status, r.End, r.Stage); err != nil {
			return nil, err
		}
		if r.Ended() && !ended {
			if err := indexMetrics(tx, r.num, r.experiment, r.Metrics); err != nil {
				return nil, err
			}
		}
		if r.Name == name {
			return events, nil
		}
		now := st.With(r.State)
		if _, err := tx.Exec(`UPDATE run_state SET state = $2 WHERE run = $1`, r.num, now.Encode()); err != nil {
			return nil, err
		}
		return events, setTags(tx, r.num, r.experiment, []tracking.Tag{{Key: tracking.RunName, Value: r.Name}})
	})
}

func setTags(tx *sqlstore.Tx, run, experiment int64, tags []tracking.Tag) error {
	rows := make([][]any, len(tags))
	for i, t := range tags {
		rows[i] = []any{run, t.Key, experiment, t.Value}
	}
	return insert(tx, `INSERT INTO run_tag (run, key, experiment, value) VALUES `, ` ON CONFLICT (run, key) DO UPDATE SET value = excluded.value`, rows)
}
