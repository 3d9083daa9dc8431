package eprocess

import (
	"github.com/slipway-ml/slipway"
)

// Config is fixed when a rollout starts: changing any of it later would be a new test
// that spends alpha again.
type Config struct {
	Alpha  float64 `json:"alpha"`   // probability of a false rollback, over the whole rollout
	Beta   float64 `json:"beta"`    // probability of a false confirmation
	R0     float64 `json:"r0"`      // times as many failed or rejected requests as stable that are fine
	R0Slow float64 `json:"r0_slow"` // times as many slow ones
	P0     float64 `json:"p0"`      // allowed share of failed requests
	// MinBuckets is how many buckets must at least agree to reach Alpha, 0 for one.
	MinBuckets int `json:"min_buckets"`
	// CutOff is after how many buckets a request without outcome has failed. A request
	// of bucket b is waited for until bucket b+CutOff is over.
	CutOff int64 `json:"cut_off"`
	// Epoch is the number of buckets after which the tests are started once more.
	Epoch int64 `json:"epoch"`
	First bool  `json:"first"` // a first deployment: there is no stable
}

// Defaults are for buckets of half a second, requests of at most five seconds and epochs
// of one hour.
func Defaults() Config {
	return Config{Alpha: .001, Beta: .05, R0: 1, R0Slow: 1.5, P0: .01, MinBuckets: 3, CutOff: 10, Epoch: 7200}
}

func (c Config) validate() error {
	const (
		maxCutOff  = 10_000 // open buckets are held in memory
		maxBuckets = 1_000
		maxRatio   = 1_000
	)
	share := func(p float64) bool { return p > 0 && p < 1 }
	ratio := func(r float64) bool { return r > 0 && r <= maxRatio }
	for _, f := range []struct {
		name  string
		ok    bool
		wants string
	}{
		{"alpha", share(c.Alpha), "between 0 and 1"},
		{"beta", share(c.Beta), "between 0 and 1"},
		{"p0", share(c.P0), "between 0 and 1"},
		{"r0", ratio(c.R0), "above 0 and at most 1000"},
		{"r0_slow", ratio(c.R0Slow), "above 0 and at most 1000"},
		{"min_buckets", c.MinBuckets >= 0 && c.MinBuckets <= maxBuckets, "from 0 to 1000"},
		{"cut_off", c.CutOff >= 1 && c.CutOff <= maxCutOff, "from 1 to 10000"},
		{"epoch", c.Epoch >= 1, "at least 1"},
	} {
		if !f.ok {
			return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: f.name,
				Message: "is out of range for judging a rollout", Next: "set a value " + f.wants}
		}
	}
	return nil
}
