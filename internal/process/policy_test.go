package process

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/route"
)

func TestBackoff(t *testing.T) {
	for restarts, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		if got := Backoff(restarts); got != want*time.Millisecond {
			t.Errorf("Backoff(%d) = %v", restarts, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int().Draw(t, "restarts")
		if d := Backoff(n); d < minBackoff || d > maxBackoff {
			t.Fatalf("Backoff(%d) = %v", n, d)
		}
	})
}

// step is one event, some time after the one before.
type step struct {
	after time.Duration
	what  happening
}

func TestHistory(t *testing.T) {
	const s = time.Second
	quick := []step{{0, started}, {0, exited}}[:2:2]
	crash := append(append(append(append(quick, quick...), quick...), quick...), quick...)
	crash = crash[:len(crash):len(crash)] // an append copies it
	tests := map[string]struct {
		steps    []step
		state    string
		restarts int
		wait     time.Duration // to the next start
	}{
		"starting":                {[]step{{0, started}}, route.ReplicaStarting, 0, 0},
		"ready":                   {[]step{{0, started}, {s, ready}}, route.ReplicaReady, 0, 0},
		"first exit":              {quick, route.ReplicaBackoff, 1, 100 * time.Millisecond},
		"second exit":             {append(quick, quick...), route.ReplicaBackoff, 2, 200 * time.Millisecond},
		"connection lost":         {[]step{{0, started}, {s, ready}, {s, lost}}, route.ReplicaStarting, 0, 0},
		"fifth exit in a minute":  {crash, route.ReplicaCrashLoop, 5, maxBackoff},
		"fifth exit, slowly":      {append(crash[:8:8], step{61 * s, exited}), route.ReplicaBackoff, 5, 1600 * time.Millisecond},
		"loop goes on when tried": {append(crash, step{20 * s, started}), route.ReplicaCrashLoop, 5, maxBackoff - 20*s},
		"loop goes on when slow":  {append(crash, step{300 * s, started}, step{0, exited}), route.ReplicaCrashLoop, 6, maxBackoff},
		"loop, then ready": {append(crash, step{30 * s, started}, step{s, ready}, step{s, healthy}, step{0, exited}),
			route.ReplicaCrashLoop, 6, maxBackoff},
		"loop, then stable": {append(crash, step{30 * s, started}, step{s, ready}, step{60 * s, healthy}, step{0, exited}),
			route.ReplicaBackoff, 6, 100 * time.Millisecond},
		"no room":          {[]step{{0, started}, {0, held}}, route.ReplicaHeld, 0, heldRetry},
		"no room for long": {[]step{{0, held}, {9, held}, {9, held}, {9, held}, {9, held}, {9, held}}, route.ReplicaHeld, 0, heldRetry},
		"room again":       {[]step{{0, held}, {heldRetry, started}, {s, ready}}, route.ReplicaReady, 0, -s},
		"no room, dropped": {[]step{{0, held}, {0, dropped}, {0, held}}, route.ReplicaDraining, 0, heldRetry},
		"dropped":          {append(crash, step{0, dropped}), route.ReplicaDraining, 5, maxBackoff},
		"dropped, exited":  {append(quick, step{0, dropped}, step{0, exited}), route.ReplicaDraining, 1, 100 * time.Millisecond},
		"dropped at start": {[]step{{0, started}, {0, dropped}, {0, ready}}, route.ReplicaDraining, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			var h history
			for _, st := range tt.steps {
				now = now.Add(st.after)
				h = h.next(event{what: st.what, reason: "why"}, now)
			}
			if h.State != tt.state || h.Restarts != tt.restarts {
				t.Errorf("%s after %d restarts, want %s after %d", h.State, h.Restarts, tt.state, tt.restarts)
			}
			if h.Retry.IsZero() != (tt.wait == 0) || !h.Retry.IsZero() && h.Retry.Sub(now) != tt.wait {
				t.Errorf("next start in %v, want %v", h.Retry.Sub(now), tt.wait)
			}
		})
	}
}

func TestHistoryForgetsTroubleOnceStable(t *testing.T) {
	now := time.Unix(1000, 0)
	h := history{}.next(event{what: exited, reason: "why"}, now).next(event{what: started}, now).next(event{what: ready}, now)
	if h.Reason != "why" {
		t.Errorf("reason %q while young", h.Reason)
	}
	if h = h.next(event{what: healthy}, now.Add(stableAfter)); h.Reason != "" || h.Restarts != 1 {
		t.Errorf("once stable: %+v", h)
	}
}

func TestRetryIsSpreadWithinTheBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		var h history
		for i := range rapid.IntRange(1, 20).Draw(t, "exits") {
			h = h.next(event{what: exited, jitter: rapid.Float64Range(0, 0.999).Draw(t, "jitter")}, now)
			full := Backoff(i)
			if h.State == route.ReplicaCrashLoop {
				full = maxBackoff
			}
			wait := h.Retry.Sub(now)
			if wait < full*3/4 || wait > full {
				t.Fatalf("exit %d: %v of %v", i, wait, full)
			}
			now = h.Retry
		}
	})
}
