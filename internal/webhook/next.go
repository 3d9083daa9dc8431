package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// State is what became of a delivery.
type State string

// The states. Only a delivery that waits changes by itself.
const (
	Waiting   State = "waiting"
	Delivered State = "delivered"
	Failed    State = "failed"
)

// Delivery is one event for one hook. Its place in the hook's order is (Seq, Part): the event's
// sequence number, and which of the things that this event means.
type Delivery struct {
	Hook     string
	Seq      int64
	Part     int
	ID       string // a UUID, the same in every attempt
	Event    Event
	Body     []byte
	State    State
	Next     time.Time // of the next attempt
	Created  time.Time
	Finished time.Time
	Tries    int       // attempts since it was queued, or asked for again
	Attempts []Attempt // the newest MaxAttempts
}

// Attempt is one time that a delivery was sent.
type Attempt struct {
	Time   time.Time     `json:"time"`
	Took   time.Duration `json:"took"`
	Status int           `json:"status,omitempty"` // of the response; 0: there was none
	Error  string        `json:"error,omitempty"`  // without anything that the receiver has said
}

// Limits of the outbox.
const (
	// MaxAttempts is how many attempts of a delivery are kept.
	MaxAttempts = 20
	// MaxWaiting is how many deliveries of one hook may wait before it is disabled.
	MaxWaiting = 10_000
	// KeepDelivered and KeepFailed are how many finished deliveries of a hook are kept.
	KeepDelivered = 1000
	KeepFailed    = MaxWaiting

	firstPause  = time.Second
	longPause   = 5 * time.Minute
	longAdvice  = time.Hour // that a receiver may ask for
	maxBroken   = 10        // attempts that the receiver answers with its own failure
	giveUpAfter = 24 * time.Hour
	giveUpTries = 10
)

// Fate is what an attempt says of the delivery.
type Fate int

// The fates.
const (
	Arrived Fate = iota
	// Later is of a receiver that is not there, or busy: all that waits for it has to wait.
	Later
	// Broken is of a receiver that fails. That may be because of this one delivery, which does
	// not hold up the others for ever.
	Broken
	// Refused is of a receiver that does not want this delivery, now or later.
	Refused
	// Gone is of a receiver that wants nothing any more.
	Gone
)

// FateOf reads the status of a response, 0 for none.
func FateOf(status int) Fate {
	switch {
	case status >= 200 && status <= 299:
		return Arrived
	case status == http.StatusGone:
		return Gone
	case status == 0, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests,
		status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return Later
	case status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported:
		return Broken
	default:
		return Refused
	}
}

// Result is what came of one attempt.
type Result struct {
	Attempt
	After time.Duration // how long the receiver asks to be left alone, 0 if it does not
}

// What says in a few words how an attempt went.
func (a *Attempt) What() string {
	switch {
	case a.Error != "":
		return a.Error
	case a.Status >= 300 && a.Status <= 399:
		return fmt.Sprintf("status %d: redirections are not followed", a.Status)
	default:
		return fmt.Sprintf("status %d", a.Status)
	}
}

// Decide says what becomes of a delivery and its hook after an attempt, and why the hook is
// disabled, if it is. Random is uniform in [0, 1): receivers that come back are not all asked
// at once.
func Decide(d Delivery, h Health, r Result, random float64) (Delivery, Health, string) {
	now := r.Time.Add(r.Took)
	d.Tries++
	d.Attempts = append(d.Attempts[max(0, len(d.Attempts)-MaxAttempts+1):len(d.Attempts):len(d.Attempts)], r.Attempt)
	fate := FateOf(r.Status)
	if fate == Arrived {
		d.State, d.Finished = Delivered, now
		return d, Health{}, ""
	}
	h.Failures++
	h.Trouble = r.What()
	if h.Failing.IsZero() {
		h.Failing = now
	}
	switch {
	case fate == Gone:
		d.State, d.Finished = Failed, now
		return d, h, "the receiver says that it is gone (status 410)"
	case now.Sub(h.Failing) >= giveUpAfter && h.Failures >= giveUpTries:
		d.State, d.Finished = Failed, now
		return d, h, fmt.Sprintf("every attempt of %.0f hours has failed: %s", now.Sub(h.Failing).Hours(), h.Trouble)
	case fate == Refused, fate == Broken && d.Tries >= maxBroken:
		d.State, d.Finished = Failed, now
	default:
		d.Next = now.Add(Pause(d.Tries, r.After, random))
	}
	return d, h, ""
}

// Pause is how long to wait after so many attempts: twice as long each time, up to five
// minutes, of which the second half is random; or as long as the receiver asks, up to an hour.
func Pause(tries int, asked time.Duration, random float64) time.Duration {
	wait := longPause
	if tries < 10 {
		wait = min(firstPause<<max(tries-1, 0), longPause)
	}
	wait = wait/2 + time.Duration(random*float64(wait/2))
	return max(wait, min(asked, longAdvice))
}

// RetryAfter reads the header's two forms (RFC 9110 §10.2.3); 0 for neither.
func RetryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(n, 0), int(longAdvice/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), longAdvice)
	}
	return 0
}
