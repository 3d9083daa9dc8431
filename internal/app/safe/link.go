package safe

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/gateway/secrets"
	"github.com/slipway-ml/slipway/internal/route"
)

// Link hands the gateway tables and, apart from them, the secrets of models.
type Link struct {
	*gateway.AdminClient
	safe *Safe

	mu    sync.Mutex
	needs []*route.Revision // of the last table, those that name secrets
	tried map[string]bool   // revisions whose secrets were handed over, or could not be had
	due   chan struct{}     // holds a token when they have to be handed over again
}

// NewLink makes a Link. Run has to follow.
func NewLink(g *gateway.AdminClient, s *Safe) *Link {
	return &Link{AdminClient: g, safe: s, due: make(chan struct{}, 1)}
}

const (
	handLimit = 3 * time.Second  // for all secrets of one table
	handPace  = 60 * time.Second // in which a value that has changed in its backend is noticed
	handAgain = 5 * time.Second  // after what could not be had
)

// Apply implements rollout.Gateway. A revision that is new gets its secrets before the table
// that starts it; nothing else, and no rollback, waits for secrets.
func (l *Link) Apply(ctx context.Context, t route.Table) error {
	l.mu.Lock()
	l.needs = nil
	fresh := false
	for _, rev := range t.Revisions() {
		if len(rev.Runtime.Secrets) > 0 {
			l.needs = append(l.needs, rev)
			fresh = fresh || !l.tried[rev.ID]
		}
	}
	l.mu.Unlock()
	if fresh {
		l.hand(ctx)
	}
	return l.AdminClient.Apply(ctx, t)
}

// hand gives the gateway the secrets that can be had; of the others it keeps what it has. It
// answers whether that was all.
func (l *Link) hand(ctx context.Context) bool {
	l.mu.Lock()
	needs := l.needs
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	all, tried := secrets.Handed{Environments: map[string][]string{}}, map[string]bool{}
	for _, rev := range needs {
		tried[rev.ID] = true
		env, err := l.safe.Environment(ctx, rev)
		if err != nil {
			l.safe.log.WarnContext(ctx, "the secrets of a model cannot be had", "revision", rev.ID, "error", slipway.AsError(err).Message)
			all.Keep = append(all.Keep, rev.ID)
			continue
		}
		all.Environments[rev.ID] = env
	}
	body, err := json.Marshal(all)
	if err == nil {
		err = l.Secrets(ctx, body)
	}
	if err != nil {
		l.safe.log.WarnContext(ctx, "the gateway did not take the secrets of models", "error", slipway.AsError(err).Message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried = tried
	return err == nil && len(all.Keep) == 0
}

// Refresh has the secrets handed over again: one was set, or a gateway has started.
func (l *Link) Refresh() {
	select {
	case l.due <- struct{}{}:
	default:
	}
}

// Run hands secrets over when they are due, and now and then, until ctx ends.
func (l *Link) Run(ctx context.Context) {
	for pace := handPace; ; {
		select {
		case <-ctx.Done():
			return
		case <-l.due:
		case <-time.After(pace):
		}
		l.mu.Lock()
		idle := len(l.needs) == 0
		l.mu.Unlock()
		pace = handPace
		if !idle && !l.hand(ctx) {
			pace = handAgain
		}
	}
}
