package tracking

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/tracking"
)

const modelColumns = `m.id, m.experiment, m.name, m.artifact_uri, m.created, m.updated, m.status, m.status_message, m.type, COALESCE(m.source_run, ''), m.creator, m.stage, m.params, m.tags, e.team`

// modelRow is where a row of these columns is read into.
type modelRow struct {
	tracking.Model

	experiment   int64
	params, tags string
}

func (r *modelRow) into() []any {
	return []any{&r.ID, &r.experiment, &r.Name, &r.ArtifactURI, &r.Created, &r.Updated, &r.Status, &r.StatusMessage, &r.Type, &r.SourceRun, &r.Creator, &r.Stage, &r.params, &r.tags, &r.Team}
}

func (r *modelRow) model() (tracking.Model, error) {
	r.ExperimentID = strconv.FormatInt(r.experiment, 10)
	err := json.Unmarshal([]byte(r.params), &r.Params)
	if err == nil {
		err = json.Unmarshal([]byte(r.tags), &r.Tags)
	}
	return r.Model, err
}

// documents are params and tags as they are stored.
func documents(m tracking.Model) (params, tags string, err error) {
	p, err := json.Marshal(m.Params)
	if err != nil {
		return "", "", err
	}
	t, err := json.Marshal(m.Tags)
	return string(p), string(t), err
}

// AddModel implements tracking.ModelStore.
func (s *Store) AddModel(ctx context.Context, m tracking.Model, refuse func(stage string) error) error {
	experiment, err := strconv.ParseInt(m.ExperimentID, 10, 64)
	if err != nil {
		return sqlstore.Missing("experiment " + m.ExperimentID)
	}
	params, tags, err := documents(m)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		var stage string
		if err := tx.QueryRow([]any{&stage}, `SELECT stage FROM experiment WHERE id = $1`, experiment); err != nil {
			return one(err, "experiment "+m.ExperimentID)
		}
		if err := refuse(stage); err != nil {
			return err
		}
		var run any
		if m.SourceRun != "" {
			run = m.SourceRun
		}
		a := &query.Args{}
		values := query.List(a, []any{m.ID, experiment, m.Name, m.ArtifactURI, m.Created, m.Updated, m.Status, m.StatusMessage, m.Type, run, m.Creator, m.Stage, params, tags})
		_, err := tx.Exec(`INSERT INTO logged_model (id, experiment, name, artifact_uri, created, updated, status, status_message, type, source_run, creator, stage, params, tags) VALUES (`+values+`)`, a.Values...)
		if err != nil {
			return err
		}
		return indexModel(tx, m)
	})
}

// indexModel repeats params and tags of a model where they are searched.
func indexModel(tx *sqlstore.Tx, m tracking.Model) error {
	rows := make([][]any, len(m.Params))
	for i, p := range m.Params {
		rows[i] = []any{m.ID, p.Key, p.Value}
	}
	if err := insert(tx, `INSERT INTO logged_model_param (model, key, value) VALUES `, ` ON CONFLICT DO NOTHING`, rows); err != nil {
		return err
	}
	rows = make([][]any, len(m.Tags))
	for i, t := range m.Tags {
		rows[i] = []any{m.ID, t.Key, t.Value}
	}
	return insert(tx, `INSERT INTO logged_model_tag (model, key, value) VALUES `, ` ON CONFLICT (model, key) DO UPDATE SET value = excluded.value`, rows)
}

// Model implements tracking.ModelStore.
func (s *Store) Model(ctx context.Context, teams []string, id string) (tracking.Model, error) {
	var r modelRow
	a := &query.Args{}
	err := s.db.QueryRow(ctx, "logged model", r.into(), `SELECT `+modelColumns+` FROM logged_model m JOIN experiment e ON e.id = m.experiment
		WHERE m.id = `+a.Add(id)+` AND `+visible(teams, a), a.Values...)
	if err != nil {
		return tracking.Model{}, err
	}
	m, err := r.model()
	if err != nil {
		return m, err
	}
	all := []tracking.Model{m}
	err = s.modelMetrics(ctx, all)
	return all[0], err
}

// modelMetrics gives models what was measured of them.
func (s *Store) modelMetrics(ctx context.Context, models []tracking.Model) error {
	const most = 500 // models in one statement
	for len(models) > 0 {
		part := models[:min(most, len(models))]
		models = models[len(part):]
		byID := make(map[string]*tracking.Model, len(part))
		ids := make([]string, len(part))
		for i := range part {
			ids[i], byID[part[i].ID] = part[i].ID, &part[i]
		}
		a := &query.Args{}
		err := s.db.Query(ctx, func(rows *sql.Rows) error {
			var m tracking.Metric
			var nan int64
			if err := rows.Scan(&m.ModelID, &m.Key, &m.Timestamp, &m.Step, &m.RunID, &m.Value, &nan, &m.DatasetName, &m.DatasetDigest); err != nil {
				return err
			}
			if nan == 1 {
				m.Value = math.NaN()
			}
			of := byID[m.ModelID]
			of.Metrics = append(of.Metrics, m)
			return nil
		}, `SELECT model, key, timestamp, step, run, value, nan, dataset_name, dataset_digest FROM logged_model_metric WHERE model IN (`+query.List(a, ids)+`)
			ORDER BY model, key, timestamp, step, run, value, nan, dataset_name, dataset_digest`, a.Values...)
		if err != nil {
			return err
		}
	}
	return nil
}

// ChangeModel implements tracking.ModelStore.
func (s *Store) ChangeModel(ctx context.Context, id string, change func(*tracking.Model) ([]slipway.Event, error)) error {
	return s.change(ctx, func(tx *sqlstore.Tx) ([]slipway.Event, error) {
		var r modelRow
		if err := tx.QueryRow(r.into(), `SELECT `+modelColumns+` FROM logged_model m JOIN experiment e ON e.id = m.experiment WHERE m.id = $1`, id); err != nil {
			return nil, one(err, "logged model")
		}
		m, err := r.model()
		if err != nil {
			return nil, err
		}
		events, err := change(&m)
		if err != nil {
			return nil, err
		}
		params, tags, err := documents(m)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Exec(`UPDATE logged_model SET updated = $2, status = $3, status_message = $4, stage = $5, params = $6, tags = $7 WHERE id = $1`,
			id, m.Updated, m.Status, m.StatusMessage, m.Stage, params, tags); err != nil {
			return nil, err
		}
		if params == r.params && tags == r.tags {
			return events, nil
		}
		if _, err := tx.Exec(`DELETE FROM logged_model_tag WHERE model = $1`, id); err != nil {
			return nil, err
		}
		return events, indexModel(tx, m)
	})
}

// modelKeys are the columns of attributes.
var modelKeys = map[string]query.Term{
	"name": {Expr: "m.name", Kind: query.Text}, "model_id": {Expr: "m.id", Kind: query.Text}, "model_type": {Expr: "m.type", Kind: query.Text},
	"status": {Expr: "m.status", Kind: query.Text}, "source_run_id": {Expr: "m.source_run", Kind: query.Text},
	"creation_timestamp": {Expr: "m.created", Kind: query.Int}, "last_updated_timestamp": {Expr: "m.updated", Kind: query.Int},
}

// SearchModels implements tracking.ModelStore.
func (s *Store) SearchModels(ctx context.Context, q tracking.ModelSearch) ([]tracking.Model, string, error) {
	ids := numbers(q.Experiments)
	if len(ids) == 0 {
		return nil, "", nil
	}
	a := &query.Args{}
	terms := modelTerms(q, a)
	last, err := query.Last(q.Page.Token, q.Question, terms)
	if err != nil {
		return nil, "", err
	}
	where := among("m.experiment", ids, a) + ` AND m.stage = ` + a.Add(tracking.Active) + ` AND ` + visible(q.Teams, a) + modelConditions(q, a)
	if last != nil {
		where += ` AND (` + query.After(terms, last, a) + `)`
	}
	p := newPage[tracking.Model](terms, q.Page.Max, q.Question)
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var r modelRow
		key, err := p.scan(rows, r.into())
		if err != nil {
			return err
		}
		m, err := r.model()
		p.add(m, key)
		return err
	}, `SELECT `+modelColumns+p.columns()+` FROM logged_model m JOIN experiment e ON e.id = m.experiment WHERE `+where+` ORDER BY `+query.Sorted(terms)+` LIMIT `+strconv.Itoa(q.Page.Max+1), a.Values...)
	if err != nil {
		return nil, "", err
	}
	found, token := p.done()
	return found, token, s.modelMetrics(ctx, found)
}

// modelTerms is the order of a search for models.
func modelTerms(q tracking.ModelSearch, a *query.Args) []query.Term {
	var terms []query.Term
	created, unique := false, false
	for _, o := range q.Order {
		if o.Entity == query.Attribute {
			t := modelKeys[o.Key]
			t.Desc = o.Desc
			created, unique = created || o.Key == "creation_timestamp", unique || o.Key == "model_id"
			if o.Key == "source_run_id" {
				terms = append(terms, query.Present(t.Expr, "''", t.Kind, t.Desc)...)
				continue
			}
			terms = append(terms, t)
			continue
		}
		of := `FROM logged_model_metric x WHERE x.model = m.id AND x.key = ` + a.Add(o.Key)
		if o.Dataset.Name != "" {
			of += ` AND x.dataset_name = ` + a.Add(o.Dataset.Name)
		}
		if o.Dataset.Digest != "" {
			of += ` AND x.dataset_digest = ` + a.Add(o.Dataset.Digest)
		}
		of += ` ORDER BY x.timestamp DESC, x.step DESC, x.run LIMIT 1`
		terms = append(terms, query.Term{Expr: `COALESCE((SELECT x.nan ` + of + `), 2)`, Kind: query.Int}, query.Term{Expr: `COALESCE((SELECT x.value ` + of + `), 0)`, Kind: query.Float, Desc: o.Desc})
	}
	if !created {
		terms = append(terms, query.Term{Expr: "m.created", Kind: query.Int, Desc: true})
	}
	if !unique {
		terms = append(terms, query.Term{Expr: "m.id", Kind: query.Text})
	}
	return terms
}

// modelConditions are what a search demands of models.
func modelConditions(q tracking.ModelSearch, a *query.Args) string {
	measured := "" // on which data
	for i, d := range q.Datasets {
		if i > 0 {
			measured += " OR "
		}
		measured += "(x.dataset_name = " + a.Add(d.Name)
		if d.Digest != "" {
			measured += " AND x.dataset_digest = " + a.Add(d.Digest)
		}
		measured += ")"
	}
	if measured != "" {
		measured = " AND (" + measured + ")"
	}
	out, asked := "", false
	for _, c := range q.Where {
		switch c.Entity {
		case query.Attribute:
			out += ` AND ` + c.Where(modelKeys[c.Key].Expr, a)
		case query.Metric:
			asked = true
			out += ` AND EXISTS (SELECT 1 FROM logged_model_metric x WHERE x.model = m.id AND x.key = ` + a.Add(c.Key) + ` AND ` + value(c, "x", a) + measured + `)`
		default:
			table := map[query.Entity]string{query.Param: "logged_model_param", query.Tag: "logged_model_tag"}[c.Entity]
			out += ` AND EXISTS (SELECT 1 FROM ` + table + ` x WHERE x.model = m.id AND x.key = ` + a.Add(c.Key) + ` AND ` + c.Where("x.value", a) + `)`
		}
	}
	if measured != "" && !asked {
		out += ` AND EXISTS (SELECT 1 FROM logged_model_metric x WHERE x.model = m.id` + measured + `)`
	}
	return out
}
