package tracking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/tracking"
)

func isMissing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

// lots are how many numbers one statement asks for: few sizes, so that there are few
// different statements.
var lots = []int{1000, 100, 10, 1}

// inLots runs a statement for numbers, which it gets as the list of an IN.
func (s *Store) inLots(ctx context.Context, nums []int64, scan func(*sql.Rows) error, statement func(list string) string) error {
	for len(nums) > 0 {
		size := lots[0]
		for _, l := range lots {
			if l >= len(nums) {
				size = l
			}
		}
		part := slices.Clone(nums[:min(size, len(nums))])
		nums = nums[len(part):]
		for len(part) < size {
			part = append(part, part[0])
		}
		a := &query.Args{}
		list := query.List(a, part)
		if err := s.db.Query(ctx, scan, statement(list), a.Values...); err != nil {
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
		st, err := decodeState(b)
		byNum[num].State = st.State
		return err
	}, func(list string) string { return `SELECT run, state FROM run_state WHERE run IN (` + list + `)` })
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
	}, func(list string) string {
		return `SELECT run, kind, model, step FROM run_model WHERE run IN (` + list + `) ORDER BY run, kind, step, model`
	})
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
	}, func(list string) string {
		return `SELECT run, dataset, tags FROM run_dataset WHERE run IN (` + list + `) ORDER BY run, dataset`
	})
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
	}, func(list string) string {
		return `SELECT num, name, digest, source_type, source, schema, profile FROM dataset WHERE num IN (` + list + `)`
	})
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
