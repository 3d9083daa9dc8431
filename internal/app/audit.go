package app

import (
	"cmp"
	"context"
	"path/filepath"
	"time"

	"github.com/slipway-ml/slipway/internal/anchor"
	"github.com/slipway-ml/slipway/internal/app/audit"
	eventstore "github.com/slipway-ml/slipway/internal/sqlstore/event"
)

// newAudit joins what makes of the events a log. From here on changes stop while it takes
// none.
func (a *App) newAudit() error {
	c := a.o.Config
	anchors, err := anchor.ParseAll(c.AuditAnchors, c.Audit(), time.Now)
	if err != nil {
		return err
	}
	settings := audit.Config{Dir: c.Audit(), KeyFile: cmp.Or(c.AuditKey, filepath.Join(c.Audit(), "audit.key")), Version: a.o.Version, Events: a.events,
		Recorded: a.db.Recorded(), Deployments: a.rollouts, Observe: a.admin.Observe, Development: a.development, Now: time.Now, Log: a.o.Log}
	for _, x := range anchors {
		settings.Anchors = append(settings.Anchors, x)
	}
	a.audit = audit.New(settings)
	a.db.Gate(a.audit.Gate.Admit)
	return nil
}

// development says whether this is an installation for trials, or the owner's token of the
// machine was used, which is nobody's in particular.
func (a *App) development(ctx context.Context) (bool, error) {
	if a.o.Config.Development() {
		return true, nil
	}
	if err := a.access.Identity.Flush(ctx); err != nil {
		return false, err
	}
	tokens, err := a.access.Identity.Tokens(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range tokens {
		if t.Account == owner && t.Expires.IsZero() && !t.Used.IsZero() {
			return true, nil
		}
	}
	acted, err := a.events.Search(ctx, eventstore.Query{Actor: owner}, 1)
	return len(acted) > 0, err
}
