package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/backup"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	eventstore "github.com/slipway-ml/slipway/internal/sqlstore/event"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
	rolloutstore "github.com/slipway-ml/slipway/internal/sqlstore/rollout"
)

// Deployments are what names blobs beside versions.
type Deployments interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployments(ctx context.Context, endpoint string, before, limit int) ([]rollout.Deployment, error)
}

const page = 200

// Artifacts are what names blobs besides.
type Artifacts interface {
	// All gives at most limit digests that artifacts name, in order, that come after one.
	All(ctx context.Context, after slipway.Digest, limit int) ([]slipway.Digest, error)
}

// Named lists the blobs that versions, deployments and artifacts name, each once.
func Named(ctx context.Context, models registry.Store, deployments Deployments, artifacts Artifacts) ([]slipway.Digest, error) {
	out, err := ofArtifacts(ctx, artifacts)
	if err != nil {
		return nil, err
	}
	for after := ""; ; {
		list, err := models.Models(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			after = m.Name
			for n := 1; n <= m.Latest; n++ {
				v, err := models.Version(ctx, m.Name, n)
				if err != nil {
					return nil, err
				}
				for _, f := range v.Files {
					out = append(out, f.Digest)
				}
			}
		}
		if len(list) < page {
			break
		}
	}
	endpoints, err := deployments.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		for before := 0; ; {
			list, err := deployments.Deployments(ctx, e.Key, before, page)
			if err != nil {
				return nil, err
			}
			for _, d := range list {
				before = d.Number
				for _, digest := range d.Files {
					out = append(out, digest)
				}
			}
			if len(list) < page {
				break
			}
		}
	}
	return sorted(out), nil
}

func ofArtifacts(ctx context.Context, artifacts Artifacts) (out []slipway.Digest, err error) {
	for after := slipway.Digest(""); ; after = out[len(out)-1] {
		some, err := artifacts.All(ctx, after, page)
		if out = append(out, some...); err != nil || len(some) < page {
			return out, err
		}
	}
}

func failed(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeBackupDamaged, "restore another backup: platform backup list", "the check of what was restored failed: "+format, args...)
}

// check holds what was restored to what the backup says of itself: the database is sound,
// its events have no gap, and every blob and image that it names is there with its bytes.
func (r Restore) check(ctx context.Context, c backup.Contents) (blobs int, err error) {
	db, err := sqlstore.Open(ctx, r.database())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Check(ctx); err != nil {
		return 0, err
	}
	if err := gapless(ctx, eventstore.New(db), c.Seq); err != nil {
		return 0, err
	}
	files := map[string]backup.Entry{}
	for _, f := range c.Files {
		files[f.Path] = f
	}
	home, err := os.OpenRoot(r.Config.Home)
	if err != nil {
		return 0, ioError("read the home directory", err)
	}
	defer home.Close()
	models, deployments := registrystore.New(db), rolloutstore.New(db)
	named, err := Named(ctx, models, deployments, artifactstore.New(db))
	if err != nil {
		return 0, err
	}
	for _, d := range named {
		if slices.Contains(c.Missing, d) || c.Blobs != "" && !has(files, d) { // as the home had it not either
			continue
		}
		if err := ctx.Err(); err != nil {
			return blobs, err
		}
		if err := there(home, files, d, "blobs/"+d.Hex()[:2]+"/"+d.Hex()); err != nil {
			return blobs, err
		}
		blobs++
	}
	endpoints, err := deployments.Endpoints(ctx)
	for _, e := range endpoints {
		if rev := e.Serving(); rev != nil && err == nil {
			err = there(home, files, rev.ImageDigest, "images/blobs/sha256/"+rev.ImageDigest.Hex())
		}
	}
	return blobs, err
}

// has says whether a backup has a blob.
func has(files map[string]backup.Entry, d slipway.Digest) bool {
	name := "blobs/" + d.Hex()[:2] + "/" + d.Hex()
	return files[name].Path != "" || files[name+".sealed"].Path != ""
}

// bucketOf is where blobs are that are not in the home; what keeps them there is that place's
// own business.
func bucketOf(c config.Config) string {
	place, _, _ := strings.Cut(c.Artifacts, "?")
	return place
}

// there reads a file again. Its bytes are those of the backup, which are those of the digest
// unless they are encrypted.
func there(home *os.Root, files map[string]backup.Entry, d slipway.Digest, name string) error {
	for _, path := range []string{name, name + ".sealed"} {
		e, ok := files[path]
		if !ok {
			continue
		}
		if !same(home, e) || path == name && e.Digest != d {
			return failed("%s has other bytes", path)
		}
		return nil
	}
	return failed("%s is missing", filepath.Base(name))
}

// gapless reads all events.
func gapless(ctx context.Context, events *eventstore.Store, want int64) error {
	for seq := int64(0); ; {
		list, err := events.List(ctx, seq, 1000, "")
		if err != nil {
			return err
		}
		for _, e := range list {
			if seq++; e.Seq != seq {
				return failed("event %d is missing", seq)
			}
		}
		if len(list) == 0 && seq != want {
			return failed("there are %d events, and should be %d", seq, want)
		}
		if len(list) == 0 {
			return nil
		}
	}
}
