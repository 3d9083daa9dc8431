package upgrade

import (
	"errors"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	protectstore "github.com/slipway-ml/slipway/internal/sqlstore/protect"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// TestKeepsProtection: a build that would let anybody move a protected alias is not given the
// database.
func TestKeepsProtection(t *testing.T) {
	db := storetest.SQLite(t)
	older := About{Version: "v0", Schema: protectionSchema - 1}
	if err := keepsProtection(t.Context(), db, older); err != nil {
		t.Errorf("without rules: %v", err)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r := protect.Rule{ID: "rul_1", Model: "fraud", Alias: "champion", Approvals: 1, Created: now, Lifted: now}
	if err := protectstore.New(db).PutRule(t.Context(), r, slipway.Event{ID: "evt_1", Time: now, Action: "alias.protected", Subject: "fraud@champion"}); err != nil {
		t.Fatal(err)
	}
	if err := keepsProtection(t.Context(), db, older); !errors.Is(err, &slipway.Error{Code: slipway.CodeDowngrade}) {
		t.Errorf("with one: %v", err)
	}
	if err := keepsProtection(t.Context(), db, About{Version: "v1", Schema: protectionSchema}); err != nil {
		t.Errorf("a build that knows them: %v", err)
	}
}
