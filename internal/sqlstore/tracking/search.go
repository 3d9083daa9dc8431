package tracking

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// runKeys are the columns of attributes.
var runKeys = map[string]query.Term{
	"run_id": {Expr: "r.id", Kind: query.Text}, "run_name": {Expr: "r.name", Kind: query.Text}, "user_id": {Expr: "r.user_id", Kind: query.Text},
	"status": {Expr: "r.status", Kind: query.Text}, "artifact_uri": {Expr: "r.artifact_uri", Kind: query.Text},
	"start_time": {Expr: "r.start_time", Kind: query.Int}, "end_time": {Expr: "r.end_time", Kind: query.Int},
}

// logTables are where what was logged is searched.
var logTables = map[query.Entity]string{query.Metric: "run_metric", query.Param: "run_param", query.Tag: "run_tag"}

// SearchRuns implements tracking.RunStore.
func (s *Store) SearchRuns(ctx context.Context, q tracking.RunSearch) ([]tracking.Run, string, error) {
	owners, err := s.owners(ctx, q.Teams, numbers(q.Experiments))
	if err != nil || len(owners) == 0 {
		return nil, "", err
	}
	if asksMetrics(q) {
		if err := s.upToDate(ctx); err != nil {
			return nil, "", err
		}
	}
	b := runSearch{experiments: sortedKeys(owners), stages: q.View.Stages()}
	driver, err := s.driver(ctx, b.experiments, q.Where)
	if err != nil {
		return nil, "", err
	}
	b.build(q, driver)
	last, err := query.Last(q.Page.Token, q.Question, b.terms)
	if err != nil {
		return nil, "", err
	}
	p := newPage[*runRow](b.terms, q.Page.Max, q.Question)
	statement := b.statement(p.columns(), last, q.Page.Max+1)
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var r runRow
		into := r.into()
		key, err := p.scan(rows, into[:len(into)-1]) // the team is known
		r.finish()
		r.Team = owners[r.experiment]
		p.add(&r, key)
		return err
	}, statement, b.args.Values...)
	if err != nil {
		return nil, "", err
	}
	found, token := p.done()
	if err := s.fill(ctx, found); err != nil {
		return nil, "", err
	}
	out := make([]tracking.Run, len(found))
	for i, r := range found {
		out[i] = r.Run
	}
	return out, token, nil
}

// owners gives the teams of those experiments that are to be seen.
func (s *Store) owners(ctx context.Context, teams []string, ids []int64) (map[int64]string, error) {
	out := map[int64]string{}
	if len(ids) == 0 {
		return out, nil
	}
	a := &query.Args{}
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var id int64
		var team string
		err := rows.Scan(&id, &team)
		out[id] = team
		return err
	}, `SELECT e.id, e.team FROM experiment e WHERE e.id IN (`+query.List(a, ids)+`) AND `+visible("e.team", teams, a), a.Values...)
	return out, err
}

func asksMetrics(q tracking.RunSearch) bool {
	for _, c := range q.Where {
		if c.Entity == query.Metric {
			return true
		}
	}
	for _, o := range q.Order {
		if o.Entity == query.Metric {
			return true
		}
	}
	return false
}

// runSearch is a search for runs as a statement.
type runSearch struct {
	experiments []int64
	stages      []string
	args        query.Args
	joins       strings.Builder
	where       []string
	terms       []query.Term
}

// among compares a column with values.
func among[T any](column string, values []T, a *query.Args) string {
	if len(values) == 1 {
		return column + " = " + a.Add(values[0]) // an index gives its rows in order
	}
	return column + " IN (" + query.List(a, values) + ")"
}

// build makes the parts of the statement. driver is the clause that leads to the runs, or
// -1.
func (b *runSearch) build(q tracking.RunSearch, driver int) {
	for i, o := range q.Order {
		b.order(i, o)
	}
	b.where = append(b.where, among("r.experiment", b.experiments, &b.args), among("r.stage", b.stages, &b.args))
	for i, c := range q.Where {
		if i == driver {
			b.where = append(b.where, `r.num IN (SELECT x.run FROM `+logTables[c.Entity]+` x WHERE `+b.entry(c)+`)`)
			continue
		}
		b.where = append(b.where, b.condition(c))
	}
	started := false
	for _, o := range q.Order {
		started = started || o.Entity == query.Attribute && o.Key == "start_time"
	}
	if !started {
		b.terms = append(b.terms, query.Term{Expr: "r.start_time", Kind: query.Int, Desc: true})
	}
	b.terms = append(b.terms, query.Term{Expr: "r.id", Kind: query.Text})
}

// order adds a term of the order: what is not there goes last, after what is not a number.
func (b *runSearch) order(i int, o query.Order) {
	if o.Entity == query.Attribute {
		t := runKeys[o.Key]
		t.Desc = o.Desc
		if o.Key == "end_time" {
			b.terms = append(b.terms, query.Present(t.Expr, "0", t.Kind, t.Desc)...)
			return
		}
		b.terms = append(b.terms, t)
		return
	}
	name := fmt.Sprintf("o%d", i)
	fmt.Fprintf(&b.joins, ` LEFT JOIN %[1]s %[2]s ON %[2]s.run = r.num AND %[2]s.key = %[3]s`, logTables[o.Entity], name, b.args.Add(o.Key))
	if o.Entity == query.Metric {
		b.terms = append(b.terms, query.Term{Expr: fmt.Sprintf("CASE WHEN %[1]s.nan = 1 THEN 1 WHEN %[1]s.value IS NULL THEN 2 ELSE 0 END", name), Kind: query.Int},
			query.Term{Expr: "COALESCE(" + name + ".value, 0)", Kind: query.Float, Desc: o.Desc})
		return
	}
	b.terms = append(b.terms, query.Present(name+".value", "''", query.Text, o.Desc)...)
}

// condition writes a clause as a condition on r.
func (b *runSearch) condition(c query.Clause) string {
	switch c.Entity {
	case query.Attribute:
		return c.Where(runKeys[c.Key].Expr, &b.args)
	case query.Dataset:
		column := map[string]string{"name": "d.name", "digest": "d.digest", "context": "u.context"}[c.Key]
		return `EXISTS (SELECT 1 FROM run_dataset u JOIN dataset d ON d.num = u.dataset WHERE u.run = r.num AND ` + c.Where(column, &b.args) + `)`
	}
	of := `SELECT 1 FROM ` + logTables[c.Entity] + ` x WHERE x.run = r.num AND x.key = ` + b.args.Add(c.Key)
	switch c.Op {
	case query.IsNull:
		return `NOT EXISTS (` + of + `)`
	case query.IsNotNull:
		return `EXISTS (` + of + `)`
	}
	return `EXISTS (` + of + ` AND ` + value(c, &b.args) + `)`
}

// value compares what was logged. What is not a number differs from every number, and
// compares with none otherwise.
func value(c query.Clause, a *query.Args) string {
	if c.Entity != query.Metric {
		return c.Where("x.value", a)
	}
	if c.Op == query.NotEqual {
		return `(x.nan = 1 OR ` + c.Where("x.value", a) + `)`
	}
	return `x.nan = 0 AND ` + c.Where("x.value", a)
}

// entry writes a clause as a condition on an index by value.
func (b *runSearch) entry(c query.Clause) string { return entry(c, b.experiments, &b.args) }

func entry(c query.Clause, experiments []int64, a *query.Args) string {
	of := among("x.experiment", experiments, a) + ` AND x.key = ` + a.Add(c.Key) + ` AND `
	if text, ok := c.Value.(string); ok {
		of += `substr(x.value, 1, 100) = ` + a.Add(prefix(text)) + ` AND `
	}
	return of + value(c, a)
}

// prefix is the part of a text that is indexed: its first hundred characters.
func prefix(s string) string {
	n := 0
	for i := range s {
		if n == 100 {
			return s[:i]
		}
		n++
	}
	return s
}

// statement writes all of it.
func (b *runSearch) statement(columns string, last []any, limit int) string {
	where := strings.Join(b.where, " AND ")
	if last != nil {
		where += " AND (" + query.After(b.terms, last, &b.args) + ")"
	}
	own := strings.TrimSuffix(runColumns, ", e.team")
	return `SELECT ` + own + columns + ` FROM run r` + b.joins.String() + ` WHERE ` + where + ` ORDER BY ` + query.Sorted(b.terms) + ` LIMIT ` + b.args.Add(limit)
}

// few is how many entries of an index lead faster to the runs than walking through all runs
// does.
const few = 2000

// driver finds the clause that the fewest entries of an index fulfil, if they are few, or
// gives -1: neither database knows it well enough by itself.
func (s *Store) driver(ctx context.Context, experiments []int64, where []query.Clause) (int, error) {
	best, least := -1, int64(few)
	for i, c := range where {
		if c.Op == query.NotEqual || c.Value == nil || logTables[c.Entity] == "" || c.Entity != query.Metric && c.Op != query.Equal {
			continue
		}
		a := &query.Args{}
		var n int64
		err := s.db.QueryRow(ctx, "number", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM `+logTables[c.Entity]+` x WHERE `+entry(c, experiments, a)+` LIMIT `+a.Add(few)+`) y`, a.Values...)
		if err != nil {
			return -1, err
		}
		if n < least {
			best, least = i, n
		}
	}
	return best, nil
}

func sortedKeys(m map[int64]string) []int64 { return slices.Sorted(maps.Keys(m)) }
