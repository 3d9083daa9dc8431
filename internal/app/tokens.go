package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/identity"
	identitystore "github.com/slipway-ml/slipway/internal/sqlstore/identity"
	policysetstore "github.com/slipway-ml/slipway/internal/sqlstore/policyset"
	reviewstore "github.com/slipway-ml/slipway/internal/sqlstore/review"
)

// owner is the account of the token that the first start makes.
const owner = "owner"

// system is who acts when the platform does so by itself.
const system = "system"

// newAccess joins what decides who may do what.
func (a *App) newAccess(ctx context.Context) error {
	store := identitystore.New(a.db)
	if err := ensureOwner(ctx, a.o.Config.OwnerToken(), store); err != nil {
		return err
	}
	engine, err := authz.New(authz.Policies(), time.Now)
	if err != nil {
		return err
	}
	a.access = &access.Control{Identity: identity.New(store, time.Now), Resources: a.rollouts, Models: a.models, Recorder: a.events,
		Site: access.Site{Development: a.o.Config.Development(), URL: a.publicURL}, Changed: func() { a.controller.Poke() }, Now: time.Now}
	a.access.Engine.Store(engine)
	a.policies = &access.Policies{Control: a.access, Store: policysetstore.New(a.db), Development: a.o.Config.Development()}
	a.reviews = &access.Reviews{Control: a.access, Store: reviewstore.New(a.db)}
	if err := a.policies.Load(ctx); err != nil {
		return err
	}
	return a.newSignIn()
}

// ensureOwner makes the owner's token: first the file, 0600, then the account, and its hash
// in the store, so that a crash between them is mended by the next start.
func ensureOwner(ctx context.Context, path string, store identity.Store) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(identity.NewText() + "\n")
		err = disk.Replace(path, b, true)
	}
	if err != nil {
		return homeError(err)
	}
	now := time.Now()
	event := func(action string) slipway.Event {
		return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: system, Action: action, Subject: owner}
	}
	if _, err := store.Account(ctx, owner); errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		err = store.SaveAccount(ctx, identity.Account{Name: owner, Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleOwner}}, Created: now, By: system}, event("account.created"))
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	hash := identity.HashText(strings.TrimSpace(string(b)))
	if _, err := store.TokenByHash(ctx, hash); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return err
	}
	return store.AddToken(ctx, identity.Token{ID: slipway.NewID("tok", now), Hash: hash, Account: owner, Note: "of this home, for this machine", By: system, Created: now},
		"", time.Time{}, event("token.issued"))
}

// flushPace is how often the last uses of tokens are written down.
const flushPace = 30 * time.Second

// flushUses writes down when tokens were last used, until ctx ends, and then once more. What
// people signed in with and has long expired goes on the way.
func (a *App) flushUses(ctx context.Context) {
	tick := time.NewTicker(flushPace)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
		}
		if used, err := a.admin.Uses(context.WithoutCancel(ctx)); err == nil { // a gateway that is away says it later
			for id, at := range used {
				a.access.Identity.Use(id, at)
			}
		}
		if err := a.access.Identity.Flush(context.WithoutCancel(ctx)); err != nil {
			a.o.Log.Warn("the last uses of tokens were not written down", "error", err.Error())
		}
		if err := a.access.Settle(context.WithoutCancel(ctx), over); err != nil {
			a.o.Log.Warn("denied attempts that were repeated were not counted in the record", "error", err.Error())
		}
		if err := a.access.SignIn.Sweep(context.WithoutCancel(ctx)); err != nil {
			a.o.Log.Warn("expired sessions were not removed", "error", err.Error())
		}
	}
}
