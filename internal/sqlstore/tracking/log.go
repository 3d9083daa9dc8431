package tracking

import (
	"context"
	"database/sql"
	"math"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// maxTail is how large a tail may be, in bytes: one that is larger becomes segments of about
// this size. Each batch writes the tail again; a PostgreSQL row of more would be split.
const maxTail = 1800

// logRow is what Log needs of a run.
type logRow struct {
	num, experiment     int64
	segments, unindexed int64
	stage               string
	state, tail         []byte
}

// Log implements tracking.LogStore.
func (s *Store) Log(ctx context.Context, run string, decide func(stage string, now tracking.State) (tracking.Change, error)) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		var r logRow
		err := tx.QueryRow([]any{&r.num, &r.experiment, &r.segments, &r.unindexed, &r.stage, &r.state, &r.tail},
			`SELECT r.num, r.experiment, s.segments, s.unindexed, r.stage, s.state, s.tail FROM run r JOIN run_state s ON s.run = r.num WHERE r.id = $1`, run)
		if err != nil {
			return one(err, "run "+run)
		}
		before, err := record.DecodeState(r.state)
		if err != nil {
			return err
		}
		c, err := decide(r.stage, before.State)
		if err != nil {
			return err
		}
		now := before.With(c.State)
		if err := r.append(tx, &before, &now, c.History); err != nil {
			return err
		}
		fresh := len(c.Latest) > 0 && r.unindexed == 0
		if len(c.Latest) > 0 {
			r.unindexed = 1
		}
		if _, err := tx.Exec(`UPDATE run_state SET segments = $2, unindexed = $3, state = $4, tail = $5 WHERE run = $1`, r.num, r.segments, r.unindexed, now.Encode(), r.tail); err != nil {
			return err
		}
		if fresh {
			if err := catchUp(tx, maxUnindexed); err != nil {
				return err
			}
		}
		if err := r.index(tx, c); err != nil {
			return err
		}
		return logModelMetrics(tx, r.experiment, run, c.History)
	})
}

// append adds measurements to the tail, and cuts segments from it.
func (r *logRow) append(tx *sqlstore.Tx, before, now *record.State, history []tracking.Metric) error {
	ids := make(map[string]int, len(now.Metrics)) // from a key to its place
	for i, m := range now.Metrics {
		ids[m.Key] = i
	}
	was := make(map[string]tracking.Metric, len(before.Metrics))
	for _, m := range before.Metrics {
		was[m.Key] = m
	}
	last, earliest, latest, err := ends(r.tail)
	if err != nil {
		return err
	}
	r.tail = append([]byte{}, r.tail...) // never nil, which would be stored as NULL
	for _, m := range history {
		if w, ok := was[m.Key]; ok && same(w, m) {
			continue // MLflow's log_model sends again what it has logged
		}
		p := record.Point{ID: now.IDs[ids[m.Key]], Step: m.Step, Time: m.Timestamp, Value: m.Value}
		earliest, latest = min(earliest, p.Time), max(latest, p.Time)
		r.tail = record.AppendPoint(r.tail, last, p)
		last = p
		if len(r.tail) < maxTail {
			continue
		}
		r.segments++
		if _, err := tx.Exec(`INSERT INTO metric_segment (run, number, earliest, latest, data) VALUES ($1, $2, $3, $4, $5)`, r.num, r.segments, earliest, latest, r.tail); err != nil {
			return err
		}
		r.tail, last, earliest, latest = []byte{}, record.Point{}, math.MaxInt64, math.MinInt64
	}
	return nil
}

// ends gives the last of some measurements and the times between which they lie.
func ends(b []byte) (last record.Point, earliest, latest int64, err error) {
	earliest, latest = math.MaxInt64, math.MinInt64
	err = record.Points(b, func(p record.Point) {
		last, earliest, latest = p, min(earliest, p.Time), max(latest, p.Time)
	})
	return last, earliest, latest, err
}

// same says whether two measurements of a key are one.
func same(a, b tracking.Metric) bool {
	av, an := tracking.Stored(a.Value)
	bv, bn := tracking.Stored(b.Value)
	return a.Step == b.Step && a.Timestamp == b.Timestamp && av == bv && an == bn
}

// index repeats a change in the tables that are searched.
func (r *logRow) index(tx *sqlstore.Tx, c tracking.Change) error {
	rows := make([][]any, len(c.Params))
	for i, p := range c.Params {
		rows[i] = []any{r.num, p.Key, r.experiment, p.Value}
	}
	if err := insert(tx, `INSERT INTO run_param (run, key, experiment, value) VALUES `, ``, rows); err != nil {
		return err
	}
	if err := setTags(tx, r.num, r.experiment, c.Tags); err != nil {
		return err
	}
	for _, key := range c.Untagged {
		if _, err := tx.Exec(`DELETE FROM run_tag WHERE run = $1 AND key = $2`, r.num, key); err != nil {
			return err
		}
	}
	if c.Name != "" {
		_, err := tx.Exec(`UPDATE run SET name = $2 WHERE num = $1`, r.num, c.Name)
		return err
	}
	return nil
}

// maxUnindexed is how many runs run_metric may trail. While a run goes on it would be
// written with each batch otherwise, a row and its index entries for each metric; a search by
// metrics, and the end of a run, bring it up to date.
const maxUnindexed = 64

// catchUp indexes runs until at most some are not.
func catchUp(tx *sqlstore.Tx, most int) error {
	type waiting struct {
		run, experiment int64
		state           []byte
	}
	var all []waiting
	err := tx.Query(func(rows *sql.Rows) error {
		var w waiting
		err := rows.Scan(&w.run, &w.experiment, &w.state)
		all = append(all, w)
		return err
	}, `SELECT s.run, r.experiment, s.state FROM run_state s JOIN run r ON r.num = s.run WHERE s.unindexed = 1 ORDER BY s.run DESC LIMIT 1000 OFFSET $1`, most)
	for _, w := range all {
		if err != nil {
			break
		}
		var st record.State
		if st, err = record.DecodeState(w.state); err == nil {
			err = indexMetrics(tx, w.run, w.experiment, st.Metrics)
		}
	}
	return err
}

// indexMetrics repeats a run's latest metrics in the table that is searched.
func indexMetrics(tx *sqlstore.Tx, run, experiment int64, metrics []tracking.Metric) error {
	rows := make([][]any, len(metrics))
	for i, m := range metrics {
		value, nan := tracking.Stored(m.Value)
		rows[i] = []any{run, m.Key, experiment, value, nan}
	}
	if err := insert(tx, `INSERT INTO run_metric (run, key, experiment, value, nan) VALUES `,
		` ON CONFLICT (run, key) DO UPDATE SET value = excluded.value, nan = excluded.nan WHERE run_metric.value <> excluded.value OR run_metric.nan <> excluded.nan`, rows); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE run_state SET unindexed = 0 WHERE run = $1 AND unindexed = 1`, run)
	return err
}

// upToDate makes run_metric have what has been logged until now.
func (s *Store) upToDate(ctx context.Context) error {
	var n int64
	if err := s.db.QueryRow(ctx, "number", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM run_state WHERE unindexed = 1 LIMIT 1) x`); err != nil || n == 0 {
		return err
	}
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error { return catchUp(tx, 0) })
}

// logModelMetrics keeps measurements of logged models, which must be of the run's team.
func logModelMetrics(tx *sqlstore.Tx, experiment int64, run string, history []tracking.Metric) error {
	var rows [][]any
	known := map[string]bool{}
	for _, m := range history {
		if m.ModelID == "" {
			continue
		}
		if !known[m.ModelID] {
			var n int64
			err := tx.QueryRow([]any{&n}, `SELECT COUNT(*) FROM logged_model m JOIN experiment e ON e.id = m.experiment
				WHERE m.ID = $1 AND e.team = (SELECT team FROM experiment WHERE id = $2)`, m.ModelID, experiment)
			if err != nil {
				return err
			}
			if n == 0 {
				return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "log the model first", "Logged model with ID '%s' not found.", slipway.OneLine(m.ModelID, 100))
			}
			known[m.ModelID] = true
		}
		value, nan := tracking.Stored(m.Value)
		rows = append(rows, []any{m.ModelID, m.Key, m.Timestamp, m.Step, run, value, nan, m.DatasetName, m.DatasetDigest})
	}
	return insert(tx, `INSERT INTO logged_model_metric (model, key, timestamp, step, run, value, nan, dataset_name, dataset_digest) VALUES `, ` ON CONFLICT DO NOTHING`, rows)
}

// runForLink finds a run that takes inputs or outputs.
func runForLink(tx *sqlstore.Tx, run string, check func(stage string) error) (num, experiment int64, err error) {
	var stage string
	if err := tx.QueryRow([]any{&num, &experiment, &stage}, `SELECT num, experiment, stage FROM run WHERE id = $1`, run); err != nil {
		return 0, 0, one(err, "run "+run)
	}
	if err := check(stage); err != nil {
		return 0, 0, err
	}
	_, err = tx.Exec(`UPDATE run SET linked = 1 WHERE num = $1 AND linked = 0`, num)
	return num, experiment, err
}

// AddOutputs implements tracking.LogStore.
func (s *Store) AddOutputs(ctx context.Context, run string, models []tracking.ModelOutput, check func(stage string) error) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		num, _, err := runForLink(tx, run, check)
		if err != nil {
			return err
		}
		rows := make([][]any, len(models))
		for i, m := range models {
			rows[i] = []any{num, output, m.ModelID, m.Step}
		}
		return insert(tx, insertModel, ` ON CONFLICT DO NOTHING`, rows)
	})
}

// What a model is to a run.
const (
	input       = "input"
	output      = "output"
	insertModel = `INSERT INTO run_model (run, kind, model, step) VALUES `
)

// AddInputs implements tracking.LogStore.
func (s *Store) AddInputs(ctx context.Context, run string, datasets []tracking.DatasetInput, models []string, check func(stage string) error) error {
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		num, experiment, err := runForLink(tx, run, check)
		if err != nil {
			return err
		}
		for _, d := range datasets {
			if err := addDataset(tx, num, experiment, d); err != nil {
				return err
			}
		}
		rows := make([][]any, len(models))
		for i, m := range models {
			rows[i] = []any{num, input, m, int64(0)}
		}
		return insert(tx, insertModel, ` ON CONFLICT DO NOTHING`, rows)
	})
}

// addDataset notes the use of a data set. A data set and a use that are there already stay
// as they are.
func addDataset(tx *sqlstore.Tx, run, experiment int64, d tracking.DatasetInput) error {
	a := &query.Args{}
	values := query.List(a, []any{experiment, d.Dataset.Name, d.Dataset.Digest, d.Dataset.SourceType, d.Dataset.Source, d.Dataset.Schema, d.Dataset.Profile})
	_, err := tx.Exec(`INSERT INTO dataset (num, experiment, name, digest, source_type, source, schema, profile)
		VALUES ((SELECT COALESCE(MAX(num), 0) + 1 FROM dataset), `+values+`) ON CONFLICT (experiment, name, digest) DO NOTHING`, a.Values...)
	if err != nil {
		return err
	}
	tags, context, err := inputTags(d.Tags)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO run_dataset (run, dataset, context, tags) SELECT $1, num, CAST($5 AS TEXT), $6 FROM dataset WHERE experiment = $2 AND name = $3 AND digest = $4
		ON CONFLICT (run, dataset) DO NOTHING`, run, experiment, d.Dataset.Name, d.Dataset.Digest, context, tags)
	return err
}
