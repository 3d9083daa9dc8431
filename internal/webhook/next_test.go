package webhook_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/webhook"
)

func result(at time.Time, status int) webhook.Result {
	return webhook.Result{Attempt: webhook.Attempt{Time: at, Took: time.Second, Status: status}}
}

func TestFates(t *testing.T) {
	for status, want := range map[int]webhook.Fate{0: webhook.Later, 200: webhook.Arrived, 204: webhook.Arrived, 301: webhook.Refused, 400: webhook.Refused, 401: webhook.Refused, 404: webhook.Refused,
		408: webhook.Later, 410: webhook.Gone, 425: webhook.Later, 429: webhook.Later, 500: webhook.Broken, 501: webhook.Refused, 502: webhook.Later, 503: webhook.Later, 504: webhook.Later, 505: webhook.Refused, 599: webhook.Broken, 700: webhook.Broken, 100: webhook.Refused} {
		if got := webhook.FateOf(status); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
}

// play makes attempts that are answered with a status, until the delivery is finished or so
// many were made, and tells how long that took.
func play(status, tries int, h webhook.Health) (webhook.Delivery, webhook.Health, string, time.Duration) {
	d := webhook.Delivery{State: webhook.Waiting, Next: start}
	why := ""
	for d.State == webhook.Waiting && why == "" && d.Tries < tries {
		d, h, why = webhook.Decide(d, h, result(d.Next, status), 0)
	}
	return d, h, why, d.Next.Sub(start)
}

func TestDecide(t *testing.T) {
	if d, h, why, _ := play(200, 9, webhook.Health{Failing: start, Failures: 3, Trouble: "x"}); d.State != webhook.Delivered || h != (webhook.Health{}) || why != "" || !d.Finished.Equal(start.Add(time.Second)) {
		t.Errorf("one that arrives: %+v %+v %q", d, h, why)
	}
	if d, h, why, _ := play(404, 9, webhook.Health{}); d.State != webhook.Failed || d.Tries != 1 || h.Failures != 1 || h.Trouble != "status 404" || why != "" {
		t.Errorf("one that is not wanted: %+v %+v %q", d, h, why)
	}
	if d, _, why, _ := play(410, 9, webhook.Health{}); d.State != webhook.Failed || why == "" {
		t.Errorf("a receiver that is gone: %+v %q", d, why)
	}
	if d, _, why, took := play(500, 99, webhook.Health{}); d.State != webhook.Failed || d.Tries != 10 || why != "" || took < 4*time.Minute || took > 10*time.Minute {
		t.Errorf("one on which the receiver fails: %+v %q after %v", d, why, took)
	}
	d, h, why, took := play(503, 9999, webhook.Health{})
	if d.State != webhook.Failed || why == "" || took < 24*time.Hour-5*time.Minute || took > 25*time.Hour || len(d.Attempts) != webhook.MaxAttempts || h.Failures != d.Tries {
		t.Errorf("a receiver that is away: %+v %q after %v", d.State, why, took)
	}
	old := webhook.Health{Failing: start.Add(-48 * time.Hour), Failures: 1}
	if _, _, why, _ := play(404, 1, old); why != "" {
		t.Errorf("disabled for two failures in two days: %q", why)
	}
	r := result(start, 429)
	r.After = 10 * time.Minute
	if d, _, _ := webhook.Decide(webhook.Delivery{State: webhook.Waiting}, webhook.Health{}, r, 0.5); !d.Next.Equal(start.Add(time.Second + 10*time.Minute)) {
		t.Errorf("one that asks for time: %v", d.Next)
	}
	a := webhook.Attempt{Status: 302}
	if a.What() != "status 302: redirections are not followed" {
		t.Error(a.What())
	}
}

// TestDecideAlwaysEnds: whatever a receiver does, a delivery waits for a later time or is
// finished, what is kept of it is bounded, and the caller's value is left as it is.
func TestDecideAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, h := webhook.Delivery{State: webhook.Waiting, Next: start}, webhook.Health{}
		for range 60 {
			was := fmt.Sprint(d)
			r := result(d.Next, rapid.IntRange(0, 600).Draw(t, "status"))
			r.After = time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "asked"))
			next, health, why := webhook.Decide(d, h, r, rapid.Float64Range(0, 1).Draw(t, "random"))
			if fmt.Sprint(d) != was {
				t.Fatal("the delivery that was given is changed")
			}
			now := r.Time.Add(r.Took)
			wait := next.Next.Sub(now)
			switch {
			case len(next.Attempts) > webhook.MaxAttempts || next.Tries != d.Tries+1:
				t.Fatalf("%d attempts, %d tries", len(next.Attempts), next.Tries)
			case next.State == webhook.Waiting && (wait <= 0 || wait > time.Hour || why != ""):
				t.Fatalf("it waits for %v, %q", wait, why)
			case next.State != webhook.Waiting && !next.Finished.Equal(now):
				t.Fatalf("%+v is finished at another time", next)
			case (next.State == webhook.Delivered) != health.Failing.IsZero(), health.Failing.IsZero() != (health.Failures == 0):
				t.Fatalf("%s, and the hook is %+v", next.State, health)
			}
			if h = health; next.State != webhook.Waiting {
				next = webhook.Delivery{State: webhook.Waiting, Next: now}
			}
			d = next
		}
	})
}

func TestPause(t *testing.T) {
	for tries, want := range map[int][2]time.Duration{0: {500 * time.Millisecond, time.Second}, 1: {500 * time.Millisecond, time.Second}, 2: {time.Second, 2 * time.Second}, 9: {128 * time.Second, 256 * time.Second}, 10: {150 * time.Second, 300 * time.Second}, 1 << 40: {150 * time.Second, 300 * time.Second}} {
		if least, most := webhook.Pause(tries, 0, 0), webhook.Pause(tries, 0, 1); least != want[0] || most != want[1] {
			t.Errorf("after %d: %v to %v, want %v", tries, least, most, want)
		}
	}
	if got := webhook.Pause(1, 100*time.Hour, 0); got != time.Hour {
		t.Errorf("one that asks for too much gets %v", got)
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-3": 0, "99999999999999999999": 0, "999999": time.Hour, "Sun, 01 Nov 2026 12:00:30 GMT": 29876544 * time.Microsecond, "Sun, 01 Nov 2020 12:00:30 GMT": 0, "soon": 0, "1.5": 0} {
		if got := webhook.RetryAfter(value, start); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7")
	f.Add("Sun, 01 Nov 2026 12:00:30 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if got := webhook.RetryAfter(value, start); got < 0 || got > time.Hour {
			t.Errorf("%q: %v", value, got)
		}
	})
}
