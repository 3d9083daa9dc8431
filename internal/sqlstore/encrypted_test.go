package sqlstore_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// A database beyond this machine must prove who it is, before anything is sent to it.
func TestDatabaseElsewhereIsVerified(t *testing.T) {
	for query, refused := range map[string]bool{
		"postgres://u@192.0.2.1:1/d": true, "postgres://u@192.0.2.1:1/d?sslmode=disable": true, "postgres://u@192.0.2.1:1/d?sslmode=prefer": true,
		"postgres://u@192.0.2.1:1/d?sslmode=require": true, "postgres://u@192.0.2.1:1/d?sslmode=verify-ca": true,
		"postgres://u@127.0.0.1:1,192.0.2.1:1/d?sslmode=disable":           true,
		"postgres://u@192.0.2.1:1/d?sslmode=verify-full&connect_timeout=1": false, "postgres://u@127.0.0.1:1/d": false, "postgres://u@localhost:1/d?sslmode=disable": false,
		"postgres:///d?host=/nowhere": false,
	} {
		o := sqlstore.Options{URL: query, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		ctx := t.Context()
		_, err := sqlstore.Open(ctx, o)
		if got := errors.Is(err, &slipway.Error{Code: slipway.CodeNeedTLS}); got != refused || err == nil {
			t.Errorf("%s: %v, refused: want %v", query, err, refused)
		}
	}
	o := sqlstore.Options{URL: "postgres://u@192.0.2.1:1/d?connect_timeout=1", Plain: true, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if _, err := sqlstore.Open(t.Context(), o); err == nil || errors.Is(err, &slipway.Error{Code: slipway.CodeNeedTLS}) {
		t.Errorf("allowed: %v", err)
	}
}
