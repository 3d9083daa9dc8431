package tracking

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// series is what is asked of one metric of one run.
type series struct {
	run, key string
	last     *record.Point // what came before: nothing up to it is wanted
	limit    int           // 0: all
	most     int           // 0: all; else some of them, with the first and the last step, when there are more
}

// maxSeries bounds how many measurements of one metric are held to choose from: 40 MB.
const maxSeries = 1_000_000

// History implements tracking.HistoryStore.
func (s *Store) History(ctx context.Context, run, key string, last []any, limit int) ([]tracking.Metric, error) {
	q := series{run: run, key: key, limit: limit}
	if last != nil {
		q.last = &record.Point{Time: last[0].(int64), Step: last[1].(int64), Value: last[2].(float64)}
		if last[3].(int64) == 1 {
			q.last.Value = math.NaN()
		}
	}
	found, err := s.series(ctx, q)
	return metrics(key, "", found), err
}

func metrics(key, run string, found []record.Point) []tracking.Metric {
	out := make([]tracking.Metric, len(found))
	for i, p := range found {
		out[i] = tracking.Metric{Key: key, Value: p.Value, Timestamp: p.Time, Step: p.Step, RunID: run}
	}
	return out
}

// byTime is the order of a history.
func byTime(a, b record.Point) int {
	av, an := tracking.Stored(a.Value)
	bv, bn := tracking.Stored(b.Value)
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Step, b.Step), cmp.Compare(av, bv), cmp.Compare(an, bn))
}

// series gives the measurements of a metric by time, each once, and reads no more segments
// than it has to.
func (s *Store) series(ctx context.Context, q series) ([]record.Point, error) {
	var num int64
	var stateBytes, tail []byte
	err := s.db.QueryRow(ctx, "run", []any{&num, &stateBytes, &tail}, `SELECT s.run, s.state, s.tail FROM run_state s WHERE s.run = (SELECT num FROM run WHERE id = $1)`, q.run)
	if err != nil {
		return nil, nilIfMissing(err)
	}
	st, err := record.DecodeState(stateBytes)
	if err != nil {
		return nil, err
	}
	c := collector{id: st.ID(q.key), series: q, from: math.MinInt64, every: 1}
	if c.id == 0 {
		return nil, nil
	}
	if q.last != nil {
		c.from = q.last.Time
	}
	if err := c.take(tail); err != nil {
		return nil, err
	}
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var earliest int64
		var data sql.RawBytes
		if err := rows.Scan(&earliest, &data); err != nil {
			return err
		}
		if c.enough(earliest) {
			return errEnough
		}
		return c.take(data)
	}, `SELECT earliest, data FROM metric_segment WHERE run = $1 AND latest >= $2 ORDER BY earliest`, num, c.from)
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	c.settle()
	if q.limit > 0 && len(c.found) > q.limit {
		c.found = c.found[:q.limit]
	}
	return c.found, nil
}

func nilIfMissing(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}

// collector gathers the points of a series.
type collector struct {
	series

	id    uint64
	from  int64
	found []record.Point
	next  int // how many it has when it looks again whether that is enough

	seen, every int            // one of every so many is kept
	left        []record.Point // those with the lowest and the highest step of those that were not
}

func (c *collector) take(b []byte) error {
	return record.Points(b, func(p record.Point) {
		if p.ID == c.id && p.Time >= c.from && (c.last == nil || byTime(*c.last, p) < 0) {
			c.keep(p)
		}
	})
}

func (c *collector) keep(p record.Point) {
	if c.seen++; (c.seen-1)%c.every != 0 {
		c.leave(p)
		return
	}
	c.found = append(c.found, p)
	if c.most == 0 || len(c.found) <= c.most {
		return
	}
	half := c.found[:0]
	for i, p := range c.found {
		if i%2 == 0 {
			half = append(half, p)
		} else {
			c.leave(p)
		}
	}
	c.found = half
	c.every *= 2
}

func (c *collector) leave(p record.Point) {
	switch {
	case c.left == nil:
		c.left = []record.Point{p, p}
	case p.Step < c.left[0].Step:
		c.left[0] = p
	case p.Step >= c.left[1].Step:
		c.left[1] = p
	}
}

// settle sorts what was found and drops what was logged twice.
func (c *collector) settle() {
	c.found, c.left = append(c.found, c.left...), nil
	slices.SortFunc(c.found, byTime)
	c.found = slices.CompactFunc(c.found, func(a, b record.Point) bool { return byTime(a, b) == 0 })
}

// enough says whether nothing that begins at a time, or later, can be among the first.
func (c *collector) enough(earliest int64) bool {
	if c.limit == 0 || len(c.found) < max(c.limit, c.next) {
		return false
	}
	c.settle()
	c.next = len(c.found) + len(c.found)/4 + 1
	return len(c.found) >= c.limit && c.found[c.limit-1].Time < earliest
}

// Histories implements tracking.HistoryStore.
func (s *Store) Histories(ctx context.Context, teams []string, runs []string, key string, limit int) ([]tracking.Metric, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	a := &query.Args{}
	var ids []string
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT r.id FROM run r JOIN experiment e ON e.id = r.experiment WHERE r.id IN (`+query.List(a, runs)+`) AND `+visible(teams, a), a.Values...)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	var out []tracking.Metric
	for _, id := range ids { // at most a hundred, and it ends when there is enough
		if len(out) >= limit {
			break
		}
		found, err := s.series(ctx, series{run: id, key: key, limit: limit - len(out)})
		if err != nil {
			return nil, err
		}
		out = append(out, metrics(key, id, found)...)
	}
	return out, nil
}

// Series implements tracking.HistoryStore.
func (s *Store) Series(ctx context.Context, run, key string) ([]tracking.Metric, error) {
	found, err := s.series(ctx, series{run: run, key: key, most: maxSeries})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b record.Point) int { return cmp.Compare(a.Step, b.Step) })
	return metrics(key, run, found), nil
}

// Datasets implements tracking.HistoryStore.
func (s *Store) Datasets(ctx context.Context, teams []string, experiments []string, limit int) ([]tracking.DatasetSummary, error) {
	ids := numbers(experiments)
	if len(ids) == 0 {
		return nil, nil
	}
	a := &query.Args{}
	var out []tracking.DatasetSummary
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var n int64
		var d tracking.DatasetSummary
		err := rows.Scan(&n, &d.Name, &d.Digest, &d.Context)
		d.ExperimentID = strconv.FormatInt(n, 10)
		out = append(out, d)
		return err
	}, `SELECT DISTINCT d.experiment, d.name, d.digest, COALESCE(u.context, '') FROM dataset d JOIN experiment e ON e.id = d.experiment JOIN run_dataset u ON u.dataset = d.num
		WHERE d.experiment IN (`+query.List(a, ids)+`) AND `+visible(teams, a)+` ORDER BY 1, 2, 3, 4 LIMIT `+strconv.Itoa(limit), a.Values...)
	return out, err
}
