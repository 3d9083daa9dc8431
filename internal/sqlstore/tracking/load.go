package tracking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
	"github.com/slipway-ml/slipway/internal/tracking"
)

func isMissing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

// lot is how many numbers one statement asks for.
const lot = 10_000

// numbered is a list of numbers that is one parameter, for both databases: a
// thousand parameters cost SQLite more than the rows that they lead to.
const numbered = `(SELECT CAST(key AS INTEGER) FROM json_each($1))`

// inLots runs a statement for numbers, which it has as numbered.
func (s *Store) inLots(ctx context.Context, nums []int64, scan func(*sql.Rows) error, statement string) error {
	for part := range slices.Chunk(nums, lot) {
		b := []byte{'{'}
		for i, n := range part {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), strconv.FormatInt(n, 10)...), `":0`...)
		}
		if err := s.db.Query(ctx, scan, statement, string(append(b, '}'))); err != nil {
			return err
		}
	}
	return nil
}

// fill gives runs of a page their states and links.
func (s *Store) fill(ctx context.Context, page []*runRow) error {
	byNum := make(map[int64]*runRow, len(page))
	nums := make([]int64, len(page))
	for i, r := range page {
		byNum[r.num], nums[i] = r, r.num
	}
	err := s.inLots(ctx, nums, func(rows *sql.Rows) error {
		var num int64
		var b sql.RawBytes
		if err := rows.Scan(&num, &b); err != nil {
			return err
		}
		st, err := record.DecodeState(b)
		byNum[num].State = st.State
		return err
	}, `SELECT run, state FROM run_state WHERE run IN `+numbered)
	if err != nil {
		return err
	}
	return s.link(ctx, page)
}

// link gives runs their data sets and models.
func (s *Store) link(ctx context.Context, page []*runRow) error {
	byNum := map[int64]*runRow{}
	var nums []int64
	for _, r := range page {
		if r.linked != 0 {
			byNum[r.num] = r
			nums = append(nums, r.num)
		}
	}
	if len(nums) == 0 {
		return nil
	}
	err := s.inLots(ctx, nums, func(rows *sql.Rows) error {
		var num int64
		var kind string
		var m tracking.ModelOutput
		if err := rows.Scan(&num, &kind, &m.ModelID, &m.Step); err != nil {
			return err
		}
		if r := byNum[num]; kind == input {
			r.ModelInputs = append(r.ModelInputs, m.ModelID)
		} else {
			r.ModelOutputs = append(r.ModelOutputs, m)
		}
		return nil
	}, `SELECT run, kind, model, step FROM run_model WHERE run IN `+numbered+` ORDER BY run, kind, step, model`)
	if err != nil {
		return err
	}
	return s.linkDatasets(ctx, nums, byNum)
}

// use is a data set's use in a run.
type use struct {
	run, dataset int64
	tags         []tracking.Tag
}

func (s *Store) linkDatasets(ctx context.Context, nums []int64, byNum map[int64]*runRow) error {
	var uses []use
	var wanted []int64
	seen := map[int64]bool{}
	err := s.inLots(ctx, nums, func(rows *sql.Rows) error {
		var u use
		var tags string
		if err := rows.Scan(&u.run, &u.dataset, &tags); err != nil {
			return err
		}
		if !seen[u.dataset] {
			wanted, seen[u.dataset] = append(wanted, u.dataset), true
		}
		err := json.Unmarshal([]byte(tags), &u.tags)
		uses = append(uses, u)
		return err
	}, `SELECT run, dataset, tags FROM run_dataset WHERE run IN `+numbered+` ORDER BY run, dataset`)
	if err != nil {
		return err
	}
	sets := make(map[int64]tracking.Dataset, len(wanted))
	err = s.inLots(ctx, wanted, func(rows *sql.Rows) error {
		var num int64
		var d tracking.Dataset
		err := rows.Scan(&num, &d.Name, &d.Digest, &d.SourceType, &d.Source, &d.Schema, &d.Profile)
		sets[num] = d
		return err
	}, `SELECT num, name, digest, source_type, source, schema, profile FROM dataset WHERE num IN `+numbered)
	for _, u := range uses {
		r := byNum[u.run]
		r.Datasets = append(r.Datasets, tracking.DatasetInput{Dataset: sets[u.dataset], Tags: u.tags})
	}
	return err
}

// inputTags is how the tags of an input are stored, and its context, nil if it has none.
func inputTags(tags []tracking.Tag) (document string, context any, err error) {
	b, err := json.Marshal(tags)
	for _, t := range tags {
		if t.Key == tracking.ContextTag && context == nil {
			context = t.Value
		}
	}
	return string(b), context, err
}
