package app

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/artifacts"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	artifactsapi "github.com/slipway-ml/slipway/internal/mlflowapi/artifacts"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
)

// readable is artifact.Blobs.
type readable struct{ *blob.Dir }

// Open implements artifact.Blobs.
func (r readable) Open(ctx context.Context, d slipway.Digest) (artifact.Bytes, error) {
	return r.OpenAt(ctx, d)
}

// newArtifacts joins what keeps artifacts.
func (a *App) newArtifacts() {
	store := artifactstore.New(a.db)
	files := artifact.New(artifact.Config{Store: store, Roots: store, Ledger: store, Uploads: store, Blobs: readable{a.blobs}, Adopt: a.safe.Adopt, Named: a.named,
		Alone: func() (func(), bool) { return a.backups.Alone() }, Now: time.Now})
	a.safe.Files = store
	a.safe.Ring.Register(artifacts.KindPass, passing{})
	a.artifacts = &artifacts.Service{Artifacts: files, Access: a.access, Tracking: a.tracking, Versions: versions{a}, Sealer: a.safe.Ring, Now: time.Now}
}

// passing moves what is sealed and kept nowhere: nothing.
type passing struct{}

// Reseal implements keys.Resealer.
func (passing) Reseal(context.Context, keys.Space, int) (int, error) { return 0, nil }

// named says which digests versions and deployments name.
func (a *App) named(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error) {
	all, err := a.doctor().Named(ctx)
	out := map[slipway.Digest]bool{}
	for _, d := range digests {
		out[d] = all[d]
	}
	return out, err
}

// artifactRoutes are those of MLflow's artifact proxy.
func (a *App) artifactRoutes() []mlflowapi.Route {
	s := a.artifacts
	return artifactsapi.Routes(artifactsapi.Config{Files: s, Parts: s, Places: s, Signer: s, Base: a.baseOf})
}

// baseOf is the address by which a client knows this server: the one that it asked. Whether
// that is encrypted, a proxy before this machine knows, and who has named it.
func (a *App) baseOf(r *http.Request) string {
	base := url.URL{Scheme: "http", Host: r.Host}
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		base.Scheme = "https"
	}
	if public, err := url.Parse(a.publicURL()); err == nil && public.Host == r.Host {
		base.Scheme = public.Scheme
	}
	return base.String()
}

// withSigned puts addresses that are good without a token before the front doors.
func (a *App) withSigned(others http.Handler) http.Handler {
	signed := artifactsapi.Handler(a.artifacts, a.o.Log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if artifactsapi.IsSigned(r.URL.Path) {
			signed.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// sweepPace is how often what is not used any more is looked for.
const sweepPace = time.Minute

// sweepArtifacts frees what nothing names any more, and ends uploads that nobody has, until
// ctx ends.
func (a *App) sweepArtifacts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepPace):
		}
		if err := a.artifacts.Artifacts.Sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
			a.o.Log.Warn("what artifacts have left is not removed", "error", err.Error())
		}
	}
}
