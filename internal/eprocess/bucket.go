package eprocess

// Arm is the revision that a request was routed to.
type Arm uint8

// The arms.
const (
	Stable Arm = iota
	Candidate
)

// Outcome is how a first attempt ended. Retries and hedges are not randomised and are
// never reported.
type Outcome uint8

// The outcomes.
const (
	OK        Outcome = iota
	Failed            // connection, 5xx, time cut-off
	Rejected          // 4xx by the model
	Cancelled         // by the client
)

// Counts are the requests of one arm.
type Counts struct {
	Requests  uint64 `json:"requests"`  // all that were routed
	Failed    uint64 `json:"failed"`    // of these, failed, or without outcome at the cut-off
	Slow      uint64 `json:"slow"`      // of these, slower than the time limit, whatever the outcome
	Rejected  uint64 `json:"rejected"`  // of these, answered with 4xx by the model
	Cancelled uint64 `json:"cancelled"` // of these, given up by the client
}

// decided is the number of requests of which it is known whether they failed.
func (c Counts) decided() uint64 { return c.Requests - c.Cancelled }

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.Failed += d.Failed
	c.Slow += d.Slow
	c.Rejected += d.Rejected
	c.Cancelled += d.Cancelled
}

func (c Counts) sound() bool {
	return c.Failed <= c.Requests && c.Slow <= c.Requests && c.Rejected <= c.Requests && c.Cancelled <= c.Requests
}

// maxRhos bounds the probabilities that are told apart in one bucket. What comes after
// them counts as not randomised: a rule that knows neither arm nor outcome costs power,
// never validity.
const maxRhos = 16

// cell counts the requests of a bucket that were routed with the same probability.
type cell struct {
	rho     float64
	pending [2]uint64
	counts  [2]Counts
}

// bucket holds the requests of one stretch of routing time.
type bucket struct {
	index   int64
	pending uint64
	cells   []cell
}

// cell finds or makes the cell of a probability.
func (b *bucket) cell(rho float64) int {
	if !(rho > 0 && rho < 1) {
		rho = 0
	}
	for i := range b.cells {
		if b.cells[i].rho == rho {
			return i
		}
	}
	if len(b.cells) == maxRhos && rho != 0 {
		return b.cell(0)
	}
	b.cells = append(b.cells, cell{rho: rho})
	return len(b.cells) - 1
}

// expire gives every request without outcome its outcome: failed, and slow.
func (b *bucket) expire() {
	for i := range b.cells {
		c := &b.cells[i]
		for arm := range c.counts {
			c.counts[arm].add(Counts{Requests: c.pending[arm], Failed: c.pending[arm], Slow: c.pending[arm]})
		}
	}
}
