package tracking

import (
	"slices"
	"testing"
)

// TestSampled compares with what MLflow's server answers for the same steps.
func TestSampled(t *testing.T) {
	steps := func(n int64) (out []int64) {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	all := [2]int64{0, 1 << 62}
	for _, c := range []struct {
		name    string
		runs    [][]int64
		between [2]int64
		limit   int
		want    []int64
	}{
		{"one run", [][]int64{steps(10)}, all, 5, []int64{0, 2, 4, 6, 8, 9}},
		{"two runs", [][]int64{steps(10), steps(20)}, all, 5, []int64{0, 4, 8, 9, 12, 16, 19}},
		{"few", [][]int64{{3, 7}, {5}}, all, 5, []int64{3, 5, 7}},
		{"between", [][]int64{steps(10)}, [2]int64{2, 4}, 2, []int64{2, 3, 4}},
		{"before the first", [][]int64{{-5, 3}}, all, 5, []int64{3}},
		{"none", [][]int64{nil}, all, 5, nil},
	} {
		if got := sampled(c.runs, c.between, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEvenly(t *testing.T) {
	all := make([]Metric, 103)
	for i := range all {
		all[i].Step = int64(i)
	}
	for _, limit := range []int{1, 2, 10, 102, 103, 200} {
		got := evenly(all, limit)
		if len(got) != min(limit, 103) || got[0].Step != 0 || limit > 1 && got[len(got)-1].Step != 102 {
			t.Errorf("%d of 103: %v", limit, got)
		}
		if !slices.IsSortedFunc(got, func(a, b Metric) int { return int(a.Step - b.Step) }) {
			t.Errorf("%d of 103 are not in order", limit)
		}
	}
}
