package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Collect finds the images of models in the layout at dir that keep does not want and that
// were built before a time, and gives their number, with that of parts which no image has,
// and the bytes that only they need; with take it removes them. Keep is asked for images and
// for single parts. The images that others build on stay. Nobody may build in the layout meanwhile. A collection that is broken off
// may be repeated: an image is named by the layout whole, or not at all.
func Collect(ctx context.Context, dir string, keep func(slipway.Digest) bool, before time.Time, take bool) (found int, size int64, err error) {
	lock, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, ioError("read the images", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // as addToIndex does
		return 0, 0, ioError("read the images", err)
	}
	c := &collection{dir: dir, keep: keep, before: before, wanted: map[string]bool{}, part: map[string]bool{}}
	if err := c.mark(ctx); err != nil {
		return 0, 0, ioError("read the images", err)
	}
	old, err := c.unwanted()
	if err != nil {
		return 0, 0, ioError("read the images", err)
	}
	found = c.dropped
	for _, b := range old {
		if size += b.size; !c.part[b.hex] {
			found++
		}
	}
	if !take {
		return found, size, nil
	}
	return found, size, ioError("remove images", c.remove(ctx, old))
}

// collection is what Collect learns of a layout.
type collection struct {
	dir     string
	keep    func(slipway.Digest) bool
	before  time.Time
	index   v1.IndexManifest
	wanted  map[string]bool // blobs of images that stay
	part    map[string]bool // blobs of images that go
	dropped int             // images that go
}

// mark reads the index, takes the images out of it that go, and notes the parts of all.
func (c *collection) mark(ctx context.Context) error {
	b, err := readBounded(filepath.Join(c.dir, "index.json"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c.index)
	}
	if err != nil {
		return err
	}
	var stay []v1.Descriptor
	for _, m := range c.index.Manifests {
		if err := ctx.Err(); err != nil {
			return err
		}
		digest, err := slipway.ParseDigest(m.Digest.String())
		if err != nil {
			return damaged("its index names an impossible digest")
		}
		img, err := open(c.dir, digest)
		stays := c.young(digest) || c.keep(digest) || err == nil && !isModel(img)
		if stays && err != nil { // what else it needs is not known
			return err
		}
		parts := c.part
		if stays {
			parts, stay = c.wanted, append(stay, m)
		}
		parts[digest.Hex()] = true
		if err == nil {
			for _, d := range append([]v1.Descriptor{img.manifest.Config}, img.manifest.Layers...) {
				parts[d.Digest.Hex] = true
			}
		}
	}
	c.dropped, c.index.Manifests = len(c.index.Manifests)-len(stay), stay
	return nil
}

// isModel tells an image that Build has made from one that was pulled to build on.
func isModel(img *stored) bool {
	return slices.ContainsFunc(img.manifest.Layers, func(l v1.Descriptor) bool { return l.Annotations[roleKey] == roleModel })
}

func (c *collection) young(digest slipway.Digest) bool {
	st, err := os.Lstat(blobPath(c.dir, digest))
	return err == nil && !st.ModTime().Before(c.before)
}

// part is a blob that goes.
type part struct {
	hex  string
	size int64
}

// unwanted lists the old blobs that no image that stays has, the documents first.
func (c *collection) unwanted() ([]part, error) {
	entries, err := os.ReadDir(blobs(c.dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []part
	for _, e := range entries {
		digest, err := slipway.ParseDigest("sha256:" + e.Name())
		if err != nil || c.wanted[e.Name()] || c.keep(digest) {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return nil, err
		}
		if !st.Mode().IsRegular() || !st.ModTime().Before(c.before) || !c.part[e.Name()] && c.leads(digest, st.Size()) {
			continue
		}
		out = append(out, part{e.Name(), st.Size()})
	}
	slices.SortFunc(out, func(a, b part) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.hex, b.hex)) })
	return out, nil
}

// leads tells whether a blob is the index of images by which one that stays is found.
func (c *collection) leads(digest slipway.Digest, size int64) bool {
	if size > maxDocument {
		return false
	}
	b, err := readBounded(blobPath(c.dir, digest), maxDocument)
	if err != nil {
		return true
	}
	var index v1.IndexManifest
	if json.Unmarshal(b, &index) != nil {
		return false
	}
	return slices.ContainsFunc(index.Manifests, func(m v1.Descriptor) bool { return c.wanted[m.Digest.Hex] })
}

// remove takes the images out of the index, and then their parts away.
func (c *collection) remove(ctx context.Context, old []part) error {
	if c.dropped > 0 {
		b, err := json.Marshal(c.index)
		if err != nil {
			return err
		}
		if err := replace(c.dir, filepath.Join(c.dir, "index.json"), b); err != nil {
			return err
		}
		if err := disk.Sync(c.dir); err != nil {
			return err
		}
	}
	for _, p := range old {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(blobs(c.dir), p.hex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
