package access

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// attempt is what was tried in vain, as far as attempts are told apart.
type attempt struct {
	actor, action, subject string
	token                  string // its id
	did                    string // the action that was tried
	source                 string // the address of one who is not known
}

// Limits of what is recorded in one minute: attempts of one kind are recorded once at their
// beginning and once, with their number, at the end of their minute. Beyond so many kinds
// they are counted together, so that a flood costs a bounded part of the disk.
const (
	attemptAge  = time.Minute
	maxAttempts = 500
)

// attempts counts what was tried in vain since a minute began.
type attempts struct {
	mu    sync.Mutex
	since time.Time
	again map[attempt]int // beyond the first
}

// note says whether an attempt is the first of its kind in its minute, and shall be
// recorded by itself.
func (a *attempts) note(at attempt, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.again == nil {
		a.again, a.since = map[attempt]int{}, now
	}
	if _, known := a.again[at]; known {
		a.again[at]++
		return false
	}
	if len(a.again) >= maxAttempts {
		a.again[attempt{actor: "unknown", action: at.action, subject: "many others"}]++
		return false
	}
	a.again[at] = 0
	return true
}

// take gives the counts of a minute that is over, or of the one under way with force.
func (a *attempts) take(now time.Time, force bool) (map[attempt]int, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !force && now.Sub(a.since) < attemptAge {
		return nil, a.since
	}
	out, since := a.again, a.since
	a.again, a.since = nil, now
	return out, since
}

// back counts what could not be recorded with the minute under way.
func (a *attempts) back(counted map[attempt]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.again == nil {
		a.again = map[attempt]int{}
	}
	for at, n := range counted {
		a.again[at] += n
	}
}

// record makes an attempt durable, or counts it when it is one of many.
func (c *Control) record(ctx context.Context, a attempt, reason string) error {
	now := c.Now()
	if err := c.settle(ctx, now, false); err != nil {
		return err
	}
	if !c.attempts.note(a, now) {
		return nil
	}
	return c.Recorder.Append(ctx, a.event(now, "reason", reason))
}

func (a *attempt) event(now time.Time, more ...string) slipway.Event {
	detail := map[string]string{"action": a.did, "token": a.token, "source": a.source}
	for i := 0; i+1 < len(more); i += 2 {
		detail[more[i]] = more[i+1]
	}
	maps.DeleteFunc(detail, func(_, v string) bool { return v == "" })
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: a.actor, Action: a.action, Subject: a.subject, Detail: detail}
}

// Settle records how often attempts were repeated in the minute that is over; at the end,
// in the one under way.
func (c *Control) Settle(ctx context.Context, end bool) error { return c.settle(ctx, c.Now(), end) }

func (c *Control) settle(ctx context.Context, now time.Time, end bool) error {
	counted, since := c.attempts.take(now, end)
	var events []slipway.Event
	for a, n := range counted {
		if n > 0 {
			events = append(events, a.event(now, "again", strconv.Itoa(n), "since", since.UTC().Format(time.RFC3339)))
		}
	}
	if len(events) == 0 {
		return nil
	}
	err := c.Recorder.Append(ctx, events...)
	if err != nil {
		c.attempts.back(counted)
	}
	return err
}

// Refused records that somebody came without a token that is good. Source is the address
// that he came from; of the token's text nothing is kept. That it cannot be recorded is no
// reason to let him wait: he gets no answer but that.
func (c *Control) Refused(ctx context.Context, text, source string) error {
	a := attempt{actor: "unknown", action: "access.unauthenticated", subject: "the API", source: slipway.OneLine(source, 100)}
	reason := "no token"
	if text != "" {
		reason = "a token that nobody knows"
		t, err := c.Identity.ByText(ctx, text)
		if err == nil {
			a.token, reason = t.ID, t.State(c.Now())+" of "+t.Account
		}
	}
	return c.record(ctx, a, reason)
}
