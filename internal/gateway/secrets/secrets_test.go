package secrets_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/secrets"
	"github.com/slipway-ml/slipway/internal/route"
)

func revision(id string) *route.Revision { return &route.Revision{ID: id} }

// A start waits for the server, not for ever, and is given the newest.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := secrets.New()
		_, err := h.Env(t.Context(), revision("fraud-1"))
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeSecret}) {
			t.Errorf("nobody handed anything over: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			h.Take(secrets.Handed{Environments: map[string][]string{"other-1": {"A=x"}}})
			time.Sleep(time.Second)
			h.Take(secrets.Handed{Environments: map[string][]string{"fraud-1": {"A=1"}, "fraud-2": {"A=2"}}})
		}()
		if env, err := h.Env(t.Context(), revision("fraud-1")); err != nil || !slices.Equal(env, []string{"A=1"}) {
			t.Errorf("%v, %v", env, err)
		}
		h.Take(secrets.Handed{Environments: map[string][]string{"fraud-2": {"A=3"}}, Keep: []string{"fraud-1"}})
		for id, want := range map[string]string{"fraud-1": "A=1", "fraud-2": "A=3"} {
			if env, err := h.Env(t.Context(), revision(id)); err != nil || !slices.Equal(env, []string{want}) {
				t.Errorf("%s: %v, %v", id, env, err)
			}
		}
		h.Take(secrets.Handed{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Env(ctx, revision("fraud-1")); err == nil {
			t.Error("what is no longer needed was kept")
		}
	})
}

func FuzzHanded(f *testing.F) {
	f.Add(`{"environments":{"fraud-1":["A=b"]},"keep":["x"]}`)
	f.Add(`{"environments":{"fraud-1":[1]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		secrets.New().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/secrets", strings.NewReader(body)))
		if w.Code != http.StatusNoContent && w.Code != http.StatusBadRequest {
			t.Errorf("%d", w.Code)
		}
	})
}
