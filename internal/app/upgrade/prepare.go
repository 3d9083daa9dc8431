package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	rolloutstore "github.com/slipway-ml/slipway/internal/sqlstore/rollout"
)

// backupsKept is how many copies of a database are kept.
const backupsKept = 5

// Prepared is what was done with a database for another build.
type Prepared struct {
	From   int64  `json:"from"` // schema
	To     int64  `json:"to"`
	Backup string `json:"backup,omitempty"` // a copy of a SQLite database
}

// Prepare makes the database of a home one that another build can open: it copies it, and
// takes it back to an older schema if that build knows no newer one. No server may run. It
// answers CodeDowngrade, and has changed nothing, where something would be lost.
func Prepare(ctx context.Context, c config.Config, target About) (p Prepared, err error) {
	o := sqlstore.Options{Path: c.Database(), URL: c.PostgreSQL, Plain: c.PostgreSQLUnverified, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if c.PostgreSQL != "" && !slices.Contains(target.Databases, postgresql) {
		return p, refused("%s keeps its state in SQLite alone, and yours is in PostgreSQL", target.Version)
	}
	if p.From, err = sqlstore.SchemaOf(ctx, o); err != nil {
		return p, err
	}
	if p.To = p.From; p.From > sqlstore.Schema() {
		return p, slipway.Errorf(slipway.Conflict, slipway.CodeDowngrade, "run upgrade with the program that serves now",
			"the database has schema %d, and this program knows %d", p.From, sqlstore.Schema())
	}
	if target.Schema < p.From {
		if err := losesNothing(ctx, o, target); err != nil {
			return p, err
		}
	} else if p.From == sqlstore.Schema() { // or looking would change it
		if err := servesOn(ctx, o, target); err != nil {
			return p, err
		}
	}
	if c.PostgreSQL == "" {
		if p.Backup, err = backup(ctx, c, p.From); err != nil {
			return p, err
		}
	}
	if target.Schema < p.From {
		p.To = target.Schema
		err = sqlstore.Downgrade(ctx, o, target.Schema)
	}
	return p, err
}

// servesOn refuses a build that lacks what a model runs on.
func servesOn(ctx context.Context, o sqlstore.Options, target About) error {
	db, err := sqlstore.Open(ctx, o)
	if err != nil {
		return err
	}
	defer db.Close()
	endpoints, err := rolloutstore.New(db).Endpoints(ctx)
	for _, e := range endpoints {
		err = errors.Join(err, canRun(e, target))
	}
	return err
}

// losesNothing refuses a downgrade that an endpoint would not survive as it is.
func losesNothing(ctx context.Context, o sqlstore.Options, target About) error {
	db, err := sqlstore.Open(ctx, o)
	if err != nil {
		return err
	}
	defer db.Close()
	endpoints, err := rolloutstore.New(db).Endpoints(ctx)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		if err := survives(e, target); err != nil {
			return err
		}
	}
	if err := keepsModels(ctx, db, target); err != nil {
		return err
	}
	if err := keepsArtifacts(ctx, db, target); err != nil {
		return err
	}
	if err := keepsWebhooks(ctx, db, target); err != nil {
		return err
	}
	if err := keepsProtection(ctx, db, target); err != nil {
		return err
	}
	return keepsAccess(ctx, db, target)
}

// survives says whether an older build can go on with an endpoint.
func survives(e rollout.Endpoint, target About) error {
	if err := canRun(e, target); err != nil {
		return err
	}
	if e.Active != "" { // the older one would write its record without what it does not know
		return slipway.Errorf(slipway.Conflict, slipway.CodeDowngrade, "platform status "+e.Key+" --watch, then again; or: platform abort "+e.Key,
			"a deployment of %s is under way, and %s would lose a part of its record", e.Key, target.Version)
	}
	return nil
}

// canRun says whether a build has the runtimes of an endpoint.
func canRun(e rollout.Endpoint, target About) error {
	for _, r := range []*route.Revision{e.Stable, e.Candidate} {
		if r != nil && !target.runs(r.Runtime.Kind) {
			return refused("%s runs on the runtime %s, which %s does not have", e.Key, r.Runtime.Kind, target.Version)
		}
	}
	return nil
}

func refused(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeDowngrade, "stay with this version, or withdraw what needs it", format, args...)
}

// backup copies a SQLite database and removes the oldest copies.
func backup(ctx context.Context, c config.Config, schema int64) (string, error) {
	if err := os.MkdirAll(c.Backups(), 0o700); err != nil {
		return "", err
	}
	old, err := filepath.Glob(filepath.Join(c.Backups(), "state-*.db"))
	if err != nil {
		return "", err
	}
	slices.Sort(old)
	for _, name := range old[:max(0, len(old)-backupsKept+1)] {
		if err := os.Remove(name); err != nil {
			return "", err
		}
	}
	now := strings.ReplaceAll(time.Now().UTC().Format("20060102T150405.000"), ".", "")
	file := filepath.Join(c.Backups(), fmt.Sprintf("state-%s-schema%d.db", now, schema))
	return file, sqlstore.Backup(ctx, c.Database(), file)
}
