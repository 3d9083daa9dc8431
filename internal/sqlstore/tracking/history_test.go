package tracking

import (
	"testing"

	"github.com/slipway-ml/slipway/internal/sqlstore/tracking/record"
)

// TestCollectorIsBounded: of a series that is longer than may be held some are kept, from all
// of it, with the first and the last.
func TestCollectorIsBounded(t *testing.T) {
	for _, n := range []int64{1, 99, 100, 101, 1000, 12_345} {
		c := collector{series: series{most: 100}, every: 1}
		for i := range n { // the newest come first, as they do from a tail
			c.keep(record.Point{Time: (i + n/2) % n, Step: (i + n/2) % n})
		}
		c.settle()
		if len(c.found) > 102 || len(c.found) < int(min(n, 50)) || c.found[0].Step != 0 || c.found[len(c.found)-1].Step != n-1 {
			t.Errorf("of %d: %d, from %d to %d", n, len(c.found), c.found[0].Step, c.found[len(c.found)-1].Step)
		}
		for i := 1; i < len(c.found); i++ {
			if gap := c.found[i].Step - c.found[i-1].Step; gap > n/50+1 {
				t.Errorf("of %d: %d after %d", n, c.found[i].Step, c.found[i-1].Step)
			}
		}
		if n <= 100 && len(c.found) != int(n) {
			t.Errorf("of %d only %d are kept", n, len(c.found))
		}
	}
}
