package tracking

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
	experiments := slices.Sorted(maps.Keys(owners))
	driver, err := s.driver(ctx, experiments, q.Where)
	if err != nil {
		return nil, "", err
	}
	p := newPage[*runRow](runTerms(q.Order), q.Page.Max, q.Question)
	last, err := query.Last(q.Page.Token, q.Question, p.terms)
	if err != nil {
		return nil, "", err
	}
	for _, part := range parts(experiments, q.Order, driver, last) {
		if len(p.items) > q.Page.Max {
			break
		}
		b := runSearch{experiments: experiments, stages: q.View.Stages(), driver: driver, part: part}
		statement := b.build(q, q.Page.Max+1-len(p.items))
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
	}, `SELECT e.id, e.team FROM experiment e WHERE e.id IN (`+query.List(a, ids)+`) AND `+visible(teams, a), a.Values...)
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

// runTerms are the terms of an order, for its tokens: what is not there goes last, after what
// is not a number. Metrics have their rank and their value.
func runTerms(order []query.Order) []query.Term {
	var terms []query.Term
	started := false
	for i, o := range order {
		name := fmt.Sprintf("o%d", i)
		switch {
		case o.Entity == query.Metric:
			terms = append(terms, query.Term{Expr: fmt.Sprintf("CASE WHEN %[1]s.nan = 1 THEN 1 WHEN %[1]s.value IS NULL THEN 2 ELSE 0 END", name), Kind: query.Int},
				query.Term{Expr: "COALESCE(" + name + ".value, 0)", Kind: query.Float, Desc: o.Desc})
		case o.Entity != query.Attribute:
			terms = append(terms, query.Present(name+".value", "''", query.Text, o.Desc)...)
		case o.Key == "end_time":
			terms = append(terms, query.Present(runKeys[o.Key].Expr, "0", query.Int, o.Desc)...)
		default:
			t := runKeys[o.Key]
			t.Desc = o.Desc
			terms = append(terms, t)
			started = started || o.Key == "start_time"
		}
	}
	if !started {
		terms = append(terms, query.Term{Expr: "r.start_time", Kind: query.Int, Desc: true})
	}
	return append(terms, query.Term{Expr: "r.id", Kind: query.Text})
}

// part is a part of the rows of a search: all, or those of one rank of the metric that they
// are ordered by. last is the row after which it begins, nil for its first.
type part struct {
	rank int // of the metric: 0 a number, 1 not a number, 2 not there; -1: all rows
	last []any
}

// parts divides a search. One that is ordered by a metric follows the index by value, rank
// by rank, instead of sorting all runs for each page; few runs are sorted faster, and the
// index has the order in one experiment only.
func parts(experiments []int64, order []query.Order, driver int, last []any) []part {
	if driver >= 0 || len(experiments) > 1 || len(order) == 0 || order[0].Entity != query.Metric {
		return []part{{rank: -1, last: last}}
	}
	from := 0
	if last != nil {
		from = int(last[0].(int64))
	}
	var out []part
	for rank := from; rank <= 2; rank++ {
		p := part{rank: rank}
		if rank == from {
			p.last = last
		}
		out = append(out, p)
	}
	return out
}

// runSearch is a part of a search for runs as a statement.
type runSearch struct {
	experiments []int64
	stages      []string
	driver      int // the clause that leads to the runs, or -1
	part        part
	args        query.Args
}

// among compares a column with values.
func among[T any](column string, values []T, a *query.Args) string {
	if len(values) == 1 {
		return column + " = " + a.Add(values[0]) // an index gives its rows in order
	}
	return column + " IN (" + query.List(a, values) + ")"
}

// build writes the statement.
func (b *runSearch) build(q tracking.RunSearch, limit int) string {
	from, terms, fixed := b.from(q.Order)
	where := append([]string{among("r.stage", b.stages, &b.args)}, b.ranked(q.Order)...)
	if b.driver < 0 && b.part.rank != 0 && b.part.rank != 1 {
		where = append(where, among("r.experiment", b.experiments, &b.args))
	} // else an index leads to runs of the experiments; PostgreSQL, before it has statistics, would rather read all of these for each entry
	for i, c := range q.Where {
		if i == b.driver {
			where = append(where, `r.num IN (SELECT x.run FROM `+logTables[c.Entity]+` x WHERE `+entry(c, b.experiments, &b.args)+`)`)
			continue
		}
		where = append(where, b.condition(q.Order, c))
	}
	if b.part.last != nil {
		where = append(where, "("+query.After(terms[fixed:], b.part.last[fixed:], &b.args)+")")
	}
	columns := strings.TrimSuffix(runColumns, ", e.team")
	for _, t := range terms {
		columns += ", " + t.Expr
	}
	return `SELECT ` + columns + ` FROM ` + from + ` WHERE ` + strings.Join(where, " AND ") + ` ORDER BY ` + query.Sorted(terms[fixed:]) + ` LIMIT ` + strconv.Itoa(limit)
}

// from writes what is selected from, the terms of the order, and how many of these are the
// same for all rows of the part.
func (b *runSearch) from(order []query.Order) (from string, terms []query.Term, fixed int) {
	from, terms = `run r`, runTerms(order)
	switch b.part.rank {
	case 0, 1:
		from = `run_metric o0 CROSS JOIN run r` // in this order, for SQLite
		terms[0].Expr, terms[1].Expr = fmt.Sprint(b.part.rank), "o0.value"
		fixed = 1
	case 2:
		terms[0].Expr, terms[1].Expr = "2", "CAST(0 AS DOUBLE PRECISION)"
		fixed = 2
	}
	for i, o := range order {
		if o.Entity != query.Attribute && (i > 0 || b.part.rank < 0) {
			from += fmt.Sprintf(` LEFT JOIN %[1]s o%[2]d ON o%[2]d.run = r.num AND o%[2]d.key = %[3]s`, logTables[o.Entity], i, b.args.Add(o.Key))
		}
	}
	return from, terms, fixed
}

// ranked limits the rows to those of the part.
func (b *runSearch) ranked(order []query.Order) []string {
	switch b.part.rank {
	case 0, 1:
		return []string{`o0.run = r.num`, `o0.experiment = ` + b.args.Add(b.experiments[0]), `o0.key = ` + b.args.Add(order[0].Key), `o0.nan = ` + fmt.Sprint(b.part.rank)}
	case 2:
		return []string{`(SELECT COUNT(*) FROM run_metric x WHERE x.run = r.num AND x.key = ` + b.args.Add(order[0].Key) + `) = 0`}
	}
	return nil
}

// condition writes a clause as a condition on r. It counts, since PostgreSQL makes a join of
// an EXISTS, for which it would read all runs to give the first of them.
func (b *runSearch) condition(order []query.Order, c query.Clause) string {
	switch {
	case c.Entity == query.Attribute:
		return c.Where(runKeys[c.Key].Expr, &b.args)
	case c.Entity == query.Metric && (b.part.rank == 0 || b.part.rank == 1) && c.Key == order[0].Key:
		return value(c, "o0", &b.args)
	case c.Entity == query.Dataset:
		column := map[string]string{"name": "d.name", "digest": "d.digest", "context": "u.context"}[c.Key]
		return `(SELECT COUNT(*) FROM run_dataset u JOIN dataset d ON d.num = u.dataset WHERE u.run = r.num AND ` + c.Where(column, &b.args) + `) > 0`
	}
	of := `(SELECT COUNT(*) FROM ` + logTables[c.Entity] + ` x WHERE x.run = r.num AND x.key = ` + b.args.Add(c.Key)
	switch c.Op {
	case query.IsNull:
		return of + `) = 0`
	case query.IsNotNull:
		return of + `) > 0`
	}
	return of + ` AND ` + value(c, "x", &b.args) + `) > 0`
}

// value compares what was logged. What is not a number differs from every number, and
// compares with none otherwise.
func value(c query.Clause, table string, a *query.Args) string {
	switch {
	case c.Entity != query.Metric:
		return c.Where(table+".value", a)
	case c.Op == query.NotEqual:
		return `(` + table + `.nan = 1 OR ` + c.Where(table+".value", a) + `)`
	}
	return table + `.nan = 0 AND ` + c.Where(table+".value", a)
}

// entry writes a clause as a condition on an index by value.
func entry(c query.Clause, experiments []int64, a *query.Args) string {
	of := among("x.experiment", experiments, a) + ` AND x.key = ` + a.Add(c.Key) + ` AND `
	if text, ok := c.Value.(string); ok {
		of += `substr(x.value, 1, 100) = ` + a.Add(prefix(text)) + ` AND `
	}
	return of + value(c, "x", a)
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

// few is how many entries of an index lead faster to the runs than walking through all runs
// does.
const few = 1000

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
		err := s.db.QueryRow(ctx, "number", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM `+logTables[c.Entity]+` x WHERE `+entry(c, experiments, a)+` LIMIT `+strconv.Itoa(few)+`) y`, a.Values...)
		if err != nil {
			return -1, err
		}
		if n < least {
			best, least = i, n
		}
	}
	return best, nil
}
