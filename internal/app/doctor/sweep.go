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
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

const (
	keptReleases = 3                   // of each endpoint, beside what serves: rollbacks find them
	keptLogs     = 30 * 24 * time.Hour // of revisions that are gone
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
	const page = 50
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
func (i Installation) sweep(w wanted, fix bool) (n int, size int64, err error) {
	n, size, err = i.Environments.Sweep(func(d slipway.Digest) bool { return w.environments[d.Hex()] }, fix)
	if err != nil {
		return n, size, err
	}
	images, bytes, err := sweepImages(i.Config.Revisions(), w, fix)
	n, size = n+images, size+bytes
	if err != nil {
		return n, size, err
	}
	logs, bytes, err := sweepLogs(filepath.Join(i.Config.Gateway(), "logs"), w, time.Now().Add(-keptLogs), fix)
	return n + logs, size + bytes, err
}

// sweepImages removes directories into which images were unpacked. The images themselves
// stay: the record names them, and they are unpacked again when they are needed.
func sweepImages(dir string, w wanted, fix bool) (n int, size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), oci.Leaving) // a removal was broken off
		if _, err := slipway.ParseDigest("sha256:" + name); err != nil || name == e.Name() && w.images[name] {
			continue
		}
		n, size = n+1, size+sizeOf(filepath.Join(dir, e.Name()))
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

func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // what cannot be seen has no size
	})
	return size
}
