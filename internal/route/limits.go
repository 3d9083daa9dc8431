package route

import "time"

// Limits bound what callers may ask of an endpoint. Where a field is zero the gateway has a
// default, but for the rates, which are then not limited, and Queue, which then has no room.
type Limits struct {
	RatePerSecond       float64       `json:"rate_per_second,omitempty"` // requests, of all callers together
	Burst               int           `json:"burst,omitempty"`           // that may come at once
	CallerRatePerSecond float64       `json:"caller_rate_per_second,omitempty"`
	CallerBurst         int           `json:"caller_burst,omitempty"`
	Concurrency         int           `json:"concurrency,omitempty"` // requests that are answered at once
	Queue               int           `json:"queue,omitempty"`       // requests that wait
	QueueWait           time.Duration `json:"queue_wait,omitempty"`  // ns
	MaxBody             int64         `json:"max_body,omitempty"`    // bytes of a request
}

// Traffic is what an endpoint is doing now, and how many requests a gateway has refused
// since it first saw the endpoint, by reason.
type Traffic struct {
	Inside  int               `json:"inside"`  // requests that are answered
	Waiting int               `json:"waiting"` // for a place
	Limit   int               `json:"limit"`   // places, now
	Refused map[string]uint64 `json:"refused,omitempty"`
}
