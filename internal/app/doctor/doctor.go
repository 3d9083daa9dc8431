package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// Store is what the doctor reads of the state.
type Store interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployments(ctx context.Context, endpoint string, before, limit int) ([]rollout.Deployment, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	Refusal(ctx context.Context, endpoint string, digest slipway.Digest) (*rollout.Refusal, error)
}

// Installation is a running one.
type Installation struct {
	Config       config.Config
	Store        Store
	Environments *pyenv.Builder
	Blobs        *blob.Dir
	Registry     Registry
	// Artifacts says which digests artifacts and uploads of them name.
	Artifacts func(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error)
	// Program is the part of the layout of images that the next image will hold too; it may
	// be empty.
	Program func() slipway.Digest
	// Alone keeps pipelines and backups from running until release is called; ok is false
	// while one runs.
	Alone    func() (release func(), ok bool)
	Database func(ctx context.Context) error
	Keys     func(ctx context.Context) []api.Finding
	Backup   func(ctx context.Context) api.Finding // how the backups are
	Gateway  func(ctx context.Context) (route.Observation, error)
	Audit    func(ctx context.Context) []api.Finding
	Webhooks func(ctx context.Context) []api.Finding
}

const askLimit = 10 * time.Second

// Examine looks at everything; with fix it mends what it can without asking anybody.
func (i Installation) Examine(ctx context.Context, fix bool) []api.Finding {
	out := Machine(ctx, i.Config, fix)
	out = append(out, i.database(ctx), i.backup(ctx))
	out = append(out, i.Keys(ctx)...)
	out = append(out, i.python(ctx), onnx(ctx))
	obs, gateway := i.gateway(ctx)
	out = append(out, gateway)
	out = append(out, certificate(ctx, i.Config, time.Now())...)
	out = append(out, i.endpoints(ctx, obs)...)
	out = append(out, i.Audit(ctx)...)
	out = append(out, i.Webhooks(ctx)...)
	return append(out, i.leftovers(ctx, fix))
}

func (i Installation) database(ctx context.Context) api.Finding {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	name, began := "SQLite", time.Now()
	if i.Config.PostgreSQL != "" {
		name = "PostgreSQL"
	}
	if err := i.Database(ctx); err != nil {
		return finding("database", fail, "platform explain SLIP-E0608, or bring back a copy from "+i.Config.Backups(), "%s: %s", name, slipway.AsError(err).Message)
	}
	return finding("database", pass, "", "%s is sound, looked at in %v", name, time.Since(began).Round(time.Millisecond))
}

func (i Installation) backup(ctx context.Context) api.Finding {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return i.Backup(ctx)
}

func (i Installation) python(ctx context.Context) api.Finding {
	version, found, err := i.Environments.Tools(ctx)
	switch {
	case err != nil:
		return finding("python", warn, slipway.AsError(err).Next, "%s; models of other kinds are not concerned", slipway.AsError(err).Message)
	case len(found) == 0:
		return finding("python", warn, "install a Python: uv python install 3.11", "%s finds no Python on this machine", version)
	default:
		return finding("python", pass, "", "%s, with Python %s", version, strings.Join(found, ", "))
	}
}

func (i Installation) gateway(ctx context.Context) (*route.Observation, api.Finding) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	obs, err := i.Gateway(ctx)
	if err != nil {
		return nil, finding("gateway", fail, "platform logs, or "+i.Config.Logs()+"/gateway.log", "it does not answer: %s", slipway.AsError(err).Message)
	}
	return &obs, finding("gateway", pass, "", "it answers")
}

// endpoints names those that are not well.
func (i Installation) endpoints(ctx context.Context, obs *route.Observation) []api.Finding {
	all, err := i.Store.Endpoints(ctx)
	if err != nil {
		return []api.Finding{finding("endpoints", fail, "try again", "they cannot be listed: %s", slipway.AsError(err).Message)}
	}
	var out []api.Finding
	for _, e := range all {
		next := "platform explain " + e.Key
		if e.State == route.Withdrawn {
			out = append(out, finding("endpoint", warn, next, "%s is withdrawn: %s", e.Key, e.Reason))
			continue
		}
		r := e.Serving()
		if r == nil || obs == nil {
			continue
		}
		if st := obs.Revision(r.ID); st == nil || st.Ready < st.Want {
			ready := 0
			if st != nil {
				ready = st.Ready
			}
			out = append(out, finding("endpoint", fail, next, "%s has %d of %d replicas ready", e.Key, ready, r.Replicas))
		}
	}
	if len(out) == 0 {
		out = append(out, finding("endpoints", pass, "", "%d of %d are well", len(all), len(all)))
	}
	return out
}

// leftovers are what nothing needs any more.
func (i Installation) leftovers(ctx context.Context, fix bool) api.Finding {
	const check = "leftovers"
	release, ok := i.Alone()
	if !ok {
		return finding(check, pass, "", "not looked at while a pipeline or a backup runs")
	}
	defer release()
	w, err := i.wanted(ctx)
	var n int
	var size int64
	if err == nil {
		n, size, err = i.sweep(ctx, w, fix)
	}
	text := fmt.Sprintf("%d environments, images, uploads and logs that nothing needs, %.1f MiB", n, float64(size)/(1<<20))
	switch {
	case err != nil:
		return finding(check, warn, "platform doctor --fix", "%s", slipway.AsError(err).Message)
	case n == 0:
		return finding(check, pass, "", "there are none")
	case fix:
		return finding(check, pass, "", "removed %s", text)
	default:
		f := finding(check, warn, "platform doctor --fix", "%s", text)
		f.Fixable = true
		return f
	}
}
