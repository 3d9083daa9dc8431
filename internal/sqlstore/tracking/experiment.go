package tracking

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/tracking"
)

var (
	_ tracking.ExperimentStore = (*Store)(nil)
	_ tracking.RunStore        = (*Store)(nil)
	_ tracking.LogStore        = (*Store)(nil)
	_ tracking.HistoryStore    = (*Store)(nil)
	_ tracking.ModelStore      = (*Store)(nil)
)

// AddExperiment implements tracking.ExperimentStore.
func (s *Store) AddExperiment(ctx context.Context, e tracking.Experiment, place func(id string) string, ev slipway.Event) (tracking.Experiment, error) {
	err := s.change(ctx, func(tx *sqlstore.Tx) ([]slipway.Event, error) {
		var taken, next int64
		err := tx.QueryRow([]any{&taken, &next}, `SELECT (SELECT COUNT(*) FROM experiment WHERE team = $1 AND name = $2), (SELECT COALESCE(MAX(id), 0) + 1 FROM experiment)`, e.Team, e.Name)
		if err == nil && taken > 0 {
			err = exists()
		}
		if err != nil {
			return nil, err
		}
		if e.Name == tracking.DefaultName && e.Team == tracking.DefaultTeam {
			next = 0
		}
		e.ID = strconv.FormatInt(next, 10)
		if e.ArtifactLocation == "" {
			e.ArtifactLocation = place(e.ID)
		}
		tags, err := json.Marshal(e.Tags)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Exec(`INSERT INTO experiment (id, team, name, location, stage, created, updated, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			next, e.Team, e.Name, e.ArtifactLocation, e.Stage, e.Created, e.Updated, string(tags)); err != nil {
			return nil, err
		}
		ev.Subject = e.ID
		return []slipway.Event{ev}, insertExperimentTags(tx, next, e.Tags)
	})
	if err != nil {
		return tracking.Experiment{}, err
	}
	return e, nil
}

func insertExperimentTags(tx *sqlstore.Tx, id int64, tags []tracking.Tag) error {
	rows := make([][]any, len(tags))
	for i, t := range tags {
		rows[i] = []any{id, t.Key, t.Value}
	}
	return insert(tx, `INSERT INTO experiment_tag (experiment, key, value) VALUES `, ``, rows)
}

const experimentColumns = `e.id, e.team, e.name, e.location, e.stage, e.created, e.updated, e.tags`

// experimentRow is where a row of these columns is read into.
type experimentRow struct {
	tracking.Experiment

	number int64
	tags   string
}

func (r *experimentRow) into() []any {
	return []any{&r.number, &r.Team, &r.Name, &r.ArtifactLocation, &r.Stage, &r.Created, &r.Updated, &r.tags}
}

func (r *experimentRow) experiment() (tracking.Experiment, error) {
	r.ID = strconv.FormatInt(r.number, 10)
	return r.Experiment, json.Unmarshal([]byte(r.tags), &r.Tags)
}

// Experiment implements tracking.ExperimentStore.
func (s *Store) Experiment(ctx context.Context, teams []string, id string) (tracking.Experiment, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return tracking.Experiment{}, sqlstore.Missing("experiment " + id)
	}
	a := &query.Args{}
	return s.experiment(ctx, `e.id = `+a.Add(n)+` AND `+visible(teams, a), a)
}

// ExperimentByName implements tracking.ExperimentStore.
func (s *Store) ExperimentByName(ctx context.Context, team, name string) (tracking.Experiment, error) {
	a := &query.Args{}
	return s.experiment(ctx, `e.team = `+a.Add(team)+` AND e.name = `+a.Add(name), a)
}

func (s *Store) experiment(ctx context.Context, where string, a *query.Args) (tracking.Experiment, error) {
	var r experimentRow
	if err := s.db.QueryRow(ctx, "experiment", r.into(), `SELECT `+experimentColumns+` FROM experiment e WHERE `+where, a.Values...); err != nil {
		return tracking.Experiment{}, err
	}
	return r.experiment()
}

// ChangeExperiment implements tracking.ExperimentStore.
func (s *Store) ChangeExperiment(ctx context.Context, id string, events []slipway.Event, change func(*tracking.Experiment) error) error {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return sqlstore.Missing("experiment " + id)
	}
	return s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
		var r experimentRow
		if err := tx.QueryRow(r.into(), `SELECT `+experimentColumns+` FROM experiment e WHERE e.id = $1`, n); err != nil {
			return one(err, "experiment "+id)
		}
		e, err := r.experiment()
		if err != nil {
			return err
		}
		before := e
		if err := change(&e); err != nil {
			return err
		}
		return update(tx, n, before, e)
	})
}

func update(tx *sqlstore.Tx, n int64, before, e tracking.Experiment) error {
	if e.Name != before.Name {
		var taken int64
		if err := tx.QueryRow([]any{&taken}, `SELECT COUNT(*) FROM experiment WHERE team = $1 AND name = $2`, e.Team, e.Name); err != nil {
			return err
		}
		if taken > 0 {
			return exists()
		}
	}
	tags, err := json.Marshal(e.Tags)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE experiment SET name = $2, stage = $3, updated = $4, tags = $5 WHERE id = $1`, n, e.Name, e.Stage, e.Updated, string(tags)); err != nil {
		return err
	}
	if e.Stage != before.Stage {
		_, err := tx.Exec(`UPDATE run SET stage = $2 WHERE experiment = $1 AND stage <> $2`, n, e.Stage)
		return err
	}
	if _, err := tx.Exec(`DELETE FROM experiment_tag WHERE experiment = $1`, n); err != nil {
		return err
	}
	return insertExperimentTags(tx, n, e.Tags)
}

var experimentKeys = map[string]query.Term{
	"name": {Expr: "e.name", Kind: query.Text}, "experiment_id": {Expr: "e.id", Kind: query.Int},
	"creation_time": {Expr: "e.created", Kind: query.Int}, "last_update_time": {Expr: "e.updated", Kind: query.Int},
}

// SearchExperiments implements tracking.ExperimentStore.
func (s *Store) SearchExperiments(ctx context.Context, q tracking.ExperimentSearch) ([]tracking.Experiment, string, error) {
	order := q.Order
	if len(order) == 0 {
		order = []query.Order{{Entity: query.Attribute, Key: "creation_time", Desc: true}, {Entity: query.Attribute, Key: "experiment_id"}}
	}
	var terms []query.Term
	unique := false
	for _, o := range order {
		t := experimentKeys[o.Key]
		t.Desc = o.Desc
		terms = append(terms, t)
		unique = unique || o.Key == "experiment_id"
	}
	if !unique {
		terms = append(terms, query.Term{Expr: "e.id", Kind: query.Int, Desc: true})
	}
	last, err := query.Last(q.Page.Token, q.Question, terms)
	if err != nil {
		return nil, "", err
	}
	a := &query.Args{}
	where := visible(q.Teams, a) + ` AND e.stage IN (` + query.List(a, q.View.Stages()) + `)`
	for _, c := range q.Where {
		where += ` AND ` + experimentCondition(c, a)
	}
	if last != nil {
		where += ` AND (` + query.After(terms, last, a) + `)`
	}
	p := newPage[tracking.Experiment](terms, q.Page.Max, q.Question)
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var r experimentRow
		key, err := p.scan(rows, r.into())
		if err != nil {
			return err
		}
		e, err := r.experiment()
		p.add(e, key)
		return err
	}, `SELECT `+experimentColumns+p.columns()+` FROM experiment e WHERE `+where+` ORDER BY `+query.Sorted(terms)+` LIMIT `+strconv.Itoa(q.Page.Max+1), a.Values...)
	items, token := p.done()
	return items, token, err
}

func experimentCondition(c query.Clause, a *query.Args) string {
	if c.Entity == query.Attribute {
		return c.Where(experimentKeys[c.Key].Expr, a)
	}
	of := `SELECT 1 FROM experiment_tag t WHERE t.experiment = e.id AND t.key = ` + a.Add(c.Key)
	switch c.Op {
	case query.IsNull:
		return `NOT EXISTS (` + of + `)`
	case query.IsNotNull:
		return `EXISTS (` + of + `)`
	}
	return `EXISTS (` + of + ` AND ` + c.Where("t.value", a) + `)`
}
