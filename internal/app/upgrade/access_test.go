package upgrade

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/review"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	identitystore "github.com/slipway-ml/slipway/internal/sqlstore/identity"
	policysetstore "github.com/slipway-ml/slipway/internal/sqlstore/policyset"
	reviewstore "github.com/slipway-ml/slipway/internal/sqlstore/review"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// TestKeepsAccess: a build that would forget who may do what is not given the database.
func TestKeepsAccess(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	ev := func() slipway.Event {
		return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "test", Action: "thing.changed", Subject: "x"}
	}
	owner := identity.Account{Name: "owner", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleOwner}}}
	policies := func(db *sqlstore.DB, text string) error {
		s, v := policysetstore.New(db), policyset.Version{Number: 1, Status: policyset.Proposed, Text: text, Created: now}
		err := s.Propose(t.Context(), v, ev())
		v.Status = policyset.Approved
		return errors.Join(err, s.Decide(t.Context(), v, ev()))
	}
	for name, tt := range map[string]struct {
		change func(db *sqlstore.DB) error
		schema int64 // the newest that is refused, 0 for none
		want   string
	}{
		"as it was born": {func(*sqlstore.DB) error { return nil }, 0, ""},
		"another account": {func(db *sqlstore.DB) error {
			return identitystore.New(db).SaveAccount(t.Context(), identity.Account{Name: "ada", Kind: slipway.Person}, ev())
		}, accountsSchema - 1, "ada and its roles"},
		"another role": {func(db *sqlstore.DB) error {
			a := owner
			a.Roles = append(a.Roles[:1:1], slipway.Role{Name: slipway.RoleEngineer, Team: "risk"})
			return identitystore.New(db).SaveAccount(t.Context(), a, ev())
		}, accountsSchema - 1, "owner and its roles"},
		"a disabled owner": {func(db *sqlstore.DB) error {
			a := owner
			a.Disabled = now
			return identitystore.New(db).SaveAccount(t.Context(), a, ev())
		}, accountsSchema - 1, "owner and its roles"},
		"a limited token": {func(db *sqlstore.DB) error {
			tok := identity.Token{ID: "tok_1", Hash: strings.Repeat("a", 64), Account: "owner", Created: now, Limit: slipway.Limit{Endpoints: []string{"fraud"}}}
			return identitystore.New(db).AddToken(t.Context(), tok, "", time.Time{}, ev())
		}, accountsSchema - 1, "limits of tokens"},
		"policies":      {func(db *sqlstore.DB) error { return policies(db, "// of ours\n") }, policiesSchema - 1, "version 1 is in force"},
		"none any more": {func(db *sqlstore.DB) error { return policies(db, "") }, 0, ""},
		"a review": {func(db *sqlstore.DB) error {
			return reviewstore.New(db).SaveReview(t.Context(), review.Review{ID: "rev_1", Number: 1, Status: review.Closed, Quarter: "2026-Q4"}, ev())
		}, policiesSchema - 1, "2026-Q4 would be lost"},
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			if err := errors.Join(identitystore.New(db).SaveAccount(t.Context(), owner, ev()), tt.change(db)); err != nil {
				t.Fatal(err)
			}
			for schema := int64(1); schema <= policiesSchema; schema++ {
				err := keepsAccess(t.Context(), db, About{Version: "v0", Schema: schema})
				if refused := errors.Is(err, &slipway.Error{Code: slipway.CodeDowngrade}); refused != (schema <= tt.schema) || refused && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("schema %d: %v", schema, err)
				}
			}
		})
	}
}
