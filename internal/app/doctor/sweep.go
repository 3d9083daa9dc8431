package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	keptReleases = 3                   // of each endpoint, beside what serves: rollbacks find them
	keptLogs     = 30 * 24 * time.Hour // of revisions that are gone
	keptUnused   = 24 * time.Hour      // images, and uploads that nothing names: who sent them may not be done
)

// wanted is what must stay.
type wanted struct {
	images       map[string]bool // by the hexadecimal digits of their digests
	environments map[string]bool
	revisions    map[string]bool // ids
}

func (w wanted) add(r *route.Revision) {
	if r == nil {
		return
	}
	w.revisions[r.Host()] = true
	w.revisions[r.ID], w.images[r.ImageDigest.Hex()] = true, true
	for _, part := range strings.Split(r.Runtime.Python, string(filepath.Separator)) {
		if _, err := slipway.ParseDigest("sha256:" + part); err == nil { // …/environments/DIGEST/bin/python
			w.environments[part] = true
		}
	}
}

// wanted finds what serves, what a deployment under way has made, and what a rollback
// could bring back.
func (i Installation) wanted(ctx context.Context) (wanted, error) {
	w := wanted{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	endpoints, err := i.Store.Endpoints(ctx)
	if err != nil {
		return w, err
	}
	for _, e := range endpoints {
		w.add(e.Stable)
		w.add(e.Candidate)
		if e.Active != "" {
			d, err := i.Store.Deployment(ctx, e.Active)
			if err != nil {
				return w, err
			}
			w.add(d.Revision)
		}
		if err := i.releases(ctx, e, w); err != nil {
			return w, err
		}
	}
	return w, nil
}

// releases adds the revisions that a rollback would choose, one after the other.
func (i Installation) releases(ctx context.Context, e rollout.Endpoint, w wanted) error {
	serving := e.Serving()
	for before, kept := 0, 0; kept < keptReleases; {
		ds, err := i.Store.Deployments(ctx, e.Key, before, page)
		if err != nil {
			return err
		}
		for _, d := range ds {
			before = d.Number
			if d.Status != rollout.Succeeded || d.Revision == nil || serving != nil && d.Digest == serving.VersionDigest {
				continue
			}
			refused, err := i.Store.Refusal(ctx, e.Key, d.Digest)
			if err != nil {
				return err
			}
			if refused == nil && kept < keptReleases {
				w.add(d.Revision)
				kept++
			}
		}
		if len(ds) < page {
			return nil
		}
	}
	return nil
}

// sweep counts what is not wanted, and removes it with fix.
func (i Installation) sweep(ctx context.Context, w wanted, fix bool) (n int, size int64, err error) {
	now := time.Now()
	for _, part := range []func() (int, int64, error){
		func() (int, int64, error) {
			return i.Environments.Sweep(func(d slipway.Digest) bool { return w.environments[d.Hex()] }, fix)
		},
		func() (int, int64, error) { return sweepUnpacked(i.Config.Revisions(), w, fix) },
		func() (int, int64, error) {
			program := i.Program()
			return oci.Collect(ctx, i.Config.Images(), func(d slipway.Digest) bool { return w.images[d.Hex()] || d == program }, now.Add(-keptUnused), fix)
		},
		func() (int, int64, error) { return i.sweepUploads(ctx, now.Add(-keptUnused), fix) },
		func() (int, int64, error) {
			return sweepLogs(filepath.Join(i.Config.Gateway(), "logs"), w, now.Add(-keptLogs), fix)
		},
	} {
		found, bytes, err := part()
		if n, size = n+found, size+bytes; err != nil {
			return n, size, err
		}
	}
	return n, size, nil
}

// sweepUploads removes blobs that were uploaded for a version, a deployment or an artifact that
// never came. One that comes while this runs has asked for its blobs, which makes them young.
func (i Installation) sweepUploads(ctx context.Context, before time.Time, fix bool) (int, int64, error) {
	named, err := i.Named(ctx)
	if err != nil {
		return 0, 0, err
	}
	var failed error
	n, size, err := i.Blobs.Sweep(ctx, func(d slipway.Digest) bool {
		if named[d] || failed != nil {
			return true
		}
		artifacts, err := i.Artifacts(ctx, []slipway.Digest{d}) // there may be millions
		failed = err
		return err != nil || artifacts[d]
	}, before, fix)
	return n, size, errors.Join(err, failed)
}

// sweepUnpacked removes directories into which images were unpacked.
func sweepUnpacked(dir string, w wanted, fix bool) (n int, size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), oci.Leaving) // a removal was broken off
		if _, err := slipway.ParseDigest("sha256:" + name); err != nil || name == e.Name() && w.images[name] {
			continue
		}
		n, size = n+1, size+disk.Size(filepath.Join(dir, e.Name()))
		if fix {
			if err := oci.RemoveUnpacked(filepath.Join(dir, name)); err != nil {
				return n, size, err
			}
		}
	}
	return n, size, nil
}

// sweepLogs removes the logs of revisions that nothing needs, once they are old.
func sweepLogs(dir string, w wanted, before time.Time, fix bool) (n int, size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	for _, e := range entries {
		at := strings.LastIndex(e.Name(), "-r") // fraud-3-r0.log.1
		info, err := e.Info()
		if at < 0 || err != nil || !info.Mode().IsRegular() || w.revisions[e.Name()[:at]] || info.ModTime().After(before) {
			continue
		}
		n, size = n+1, size+info.Size()
		if fix {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return n, size, err
			}
		}
	}
	return n, size, nil
}
