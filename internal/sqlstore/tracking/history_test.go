package tracking

import (
	"math"
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
)

func TestEvenly(t *testing.T) {
	var all []record.Point
	for i := range int64(103) {
		all = append(all, record.Point{Step: i})
	}
	for _, limit := range []int{1, 2, 10, 102, 103, 200} {
		got := evenly(all, limit)
		if len(got) != min(limit, 103) || got[len(got)-1].Step != 102 || limit > 1 && got[0].Step != 0 {
			t.Errorf("%d of 103: %v", limit, got)
		}
		for i := 1; i < len(got); i++ {
			if gap := got[i].Step - got[i-1].Step; gap < 1 || gap > int64(2*math.Ceil(103/float64(limit))) {
				t.Errorf("%d of 103: %d after %d", limit, got[i].Step, got[i-1].Step)
			}
		}
	}
}
