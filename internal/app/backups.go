package app

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/app/backup"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
)

// newBackups joins what backups need; life ends one that is under way.
func (a *App) newBackups(life context.Context) *backup.Service {
	models := registrystore.New(a.db)
	return backup.New(life, backup.Options{Config: a.o.Config, Build: a.o.Version, Getenv: os.Getenv, Database: a.db, Blobs: a.blobs, Record: a.events.Append,
		Named: func(ctx context.Context) ([]slipway.Digest, error) {
			return backup.Named(ctx, models, a.rollouts, artifactstore.New(a.db))
		},
		Allow: func(ctx context.Context, p slipway.Principal, act authz.Action) error {
			return a.access.Check(ctx, p, act, access.Server)
		},
		Hold: a.audit.Hold, Now: time.Now, Log: a.o.Log})
}

// alone keeps pipelines and backups from running until release is called; ok is false while
// one runs.
func (a *App) alone() (release func(), ok bool) {
	backups, ok := a.backups.Alone()
	if !ok {
		return nil, false
	}
	pipelines, ok := a.runner.alone()
	if !ok {
		backups()
		return nil, false
	}
	return func() { pipelines(); backups() }, true
}

// revive makes again what a restore does not bring back: images are unpacked at once, and
// environments of Python models built beside. Replicas wait for them. What cannot be unpacked
// now, since the key service is down, is tried until it can.
func (a *App) revive(ctx context.Context) error {
	endpoints, err := a.rollouts.Endpoints(ctx)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		for _, r := range []*route.Revision{e.Stable, e.Candidate} {
			if r == nil {
				continue
			}
			if err := a.unpack(ctx, r); err != nil {
				a.o.Log.Error("an image cannot be unpacked", "revision", r.ID, "error", err.Error())
				a.wg.Go(func() { a.reviveLater(ctx, e, r) })
				continue
			}
			if a.lacksEnvironment(r) {
				a.wg.Go(func() { a.rebuild(ctx, e, r) })
			}
		}
	}
	return nil
}

// unpack makes the files of a revision, if they are not there.
func (a *App) unpack(ctx context.Context, r *route.Revision) error {
	if _, err := os.Stat(r.Dir); err == nil {
		return nil
	}
	v, err := a.models.Version(ctx, r.Model, registry.Ref{Number: r.Version})
	if err != nil {
		return err
	}
	return oci.Unpack(ctx, a.o.Config.Images(), r.ImageDigest, a.safe.ModelFiles(ctx, v), r.Dir)
}

// reviveAgain is how long what could not be unpacked waits for the next attempt.
const reviveAgain = 5 * time.Second

func (a *App) reviveLater(ctx context.Context, e rollout.Endpoint, r *route.Revision) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(reviveAgain):
		}
		err := a.unpack(ctx, r)
		if err == nil {
			break
		}
		if k := slipway.AsError(err).Kind; k != slipway.Unavailable && k != slipway.Exhausted { // as after a shredding
			return
		}
	}
	a.o.Log.Info("an image could be unpacked", "revision", r.ID)
	if a.lacksEnvironment(r) {
		a.rebuild(ctx, e, r)
	}
}

func (a *App) lacksEnvironment(r *route.Revision) bool {
	_, err := os.Stat(r.Runtime.Python)
	return r.Runtime.Kind == route.RuntimePython && err != nil
}

// rebuild builds the environment of a revision, from what its image says.
func (a *App) rebuild(ctx context.Context, e rollout.Endpoint, r *route.Revision) {
	a.o.Log.Info("building an environment that is not there any more", "revision", r.ID)
	d, err := a.releaseOf(ctx, e.Key, r.ID)
	if err == nil {
		err = func() error {
			s, err := specOf(d)
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(r.Dir)
			if err != nil {
				return err
			}
			defer root.Close()
			env, err := model.Environment(ctx, a.runner.envs, root.FS(), s, io.Discard)
			if err == nil && env.Python != r.Runtime.Python {
				err = slipway.Errorf(slipway.Conflict, slipway.CodeEnvironment, "platform deploy", "this machine builds another environment for %s", r.ID)
			}
			return err
		}()
	}
	if err != nil && ctx.Err() == nil {
		a.o.Log.Error("an environment cannot be built", "revision", r.ID, "error", err.Error())
	}
}
