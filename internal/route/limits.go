package route

import (
	"strings"
	"time"
)

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

// ThroughExt ends the path of the socket, beside a replica's own, on which the server behind
// the replica is spoken to as it is.
const ThroughExt = ".h"

// Passes says whether callers reach a path of the server, as it stands in an address: one of
// Proxy, or one below what ends in /* there. One that a server could read in more than one
// way never passes: empty or dotted parts, backslashes, and whatever is escaped that divides
// paths or is a dot.
func (r *Runtime) Passes(escaped string) bool {
	if !plain(escaped) {
		return false
	}
	for _, p := range r.Proxy {
		below, all := strings.CutSuffix(p, "*")
		if escaped == p && !all || all && len(escaped) > len(below) && strings.HasPrefix(escaped, below) {
			return true
		}
	}
	return false
}

// plain says whether a path in an address means the same to everybody.
func plain(escaped string) bool {
	if !strings.HasPrefix(escaped, "/") {
		return false
	}
	for i := range len(escaped) {
		switch c := escaped[i]; {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '?' || c == '#' || c == ';':
			return false
		case c == '/' && i+1 < len(escaped) && (escaped[i+1] == '/' || escaped[i+1] == '.'):
			return false
		case c == '%':
			if i+2 >= len(escaped) {
				return false
			}
			switch strings.ToLower(escaped[i+1 : i+3]) {
			case "2e", "2f", "5c", "25", "3b", "3f", "23", "00":
				return false
			}
		}
	}
	return true
}
