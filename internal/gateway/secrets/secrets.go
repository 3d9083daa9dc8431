// Package secrets holds, in the memory of a gateway, what the processes of models get in
// their environment. It is nowhere on disk: a gateway is only ever started by a server, which
// hands it over again, and lives on without one.
package secrets

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// Handed is what a server hands over.
type Handed struct {
	// Environments are "KEY=value" by the id of a revision.
	Environments map[string][]string `json:"environments"`
	// Keep are revisions whose secrets the server cannot have now: they stay as they are.
	Keep []string `json:"keep,omitempty"`
}

// Holder is safe for concurrent use.
type Holder struct {
	mu   sync.Mutex
	envs map[string][]string
	news chan struct{} // closed when something was handed over
}

// New makes a Holder.
func New() *Holder { return &Holder{envs: map[string][]string{}, news: make(chan struct{})} }

const (
	maxHanded = 64 << 20
	// patience is how long a replica's start waits for the server: a gateway that was started
	// a moment ago is about to be told.
	patience = 10 * time.Second
)

// ServeHTTP takes what a server hands over.
func (h *Holder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in Handed
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHanded)).Decode(&in); err != nil {
		http.Error(w, "the secrets cannot be read", http.StatusBadRequest) // the cause may quote them
		return
	}
	h.Take(in)
	w.WriteHeader(http.StatusNoContent)
}

// Take replaces everything that is not to be kept.
func (h *Holder) Take(in Handed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[string][]string{}
	for id, env := range h.envs {
		if slices.Contains(in.Keep, id) {
			next[id] = env
		}
	}
	for id, env := range in.Environments {
		next[id] = env
	}
	h.envs = next
	close(h.news)
	h.news = make(chan struct{})
}

// Env gives the environment of a revision that names secrets. It answers Unavailable when no
// server hands it over in time.
func (h *Holder) Env(ctx context.Context, rev *route.Revision) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		h.mu.Lock()
		env, ok := h.envs[rev.ID]
		news := h.news
		h.mu.Unlock()
		if ok {
			return env, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeSecret, "platform secrets list", "the server has not handed over the secrets of %s", rev.ID)
		}
	}
}
