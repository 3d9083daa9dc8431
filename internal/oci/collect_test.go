package oci_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// lookedAt is a context that ends when it was looked at so often: a collection that is
// killed there has done no more and no less.
type lookedAt struct {
	context.Context
	left int
}

func (c *lookedAt) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// grow makes everything in a layout old.
func grow(t rapid.TB, dir string, when time.Time) {
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chtimes(f, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCollect: whatever is kept, is young or builds on what, the images that stay are whole,
// the others are gone with all that only they had, and each can be built again. A collection
// that was broken off anywhere is finished by the next.
func TestCollect(t *testing.T) {
	now := time.Now()
	before := now.Add(-24 * time.Hour)
	keepNone := func(slipway.Digest) bool { return false }
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		image := func(i int) oci.Image { // two of them share the layer of their files
			return oci.Image{Files: []oci.File{file("model", fmt.Sprint("weights ", i/2))}, Spec: fmt.Append(nil, "revision ", i)}
		}
		n := rapid.IntRange(0, 4).Draw(r, "images")
		digests, kept := make([]slipway.Digest, n), map[slipway.Digest]bool{}
		for i := range digests {
			if digests[i], err = oci.Build(t.Context(), dir, image(i)); err != nil {
				r.Fatal(err)
			}
			complete(t, dir, digests[i], image(i).Files)
		}
		base := baseImage(t, dir, nil, types.OCIUncompressedLayer)
		grow(r, dir, now.Add(-25*time.Hour))
		want, dropped := map[slipway.Digest]bool{base: true}, 0
		for i, d := range digests {
			switch rapid.SampledFrom([]string{"kept", "built again", "unwanted"}).Draw(r, "image") {
			case "kept":
				want[d], kept[d] = true, true
			case "built again":
				if _, err := oci.Build(t.Context(), dir, image(i)); err != nil {
					r.Fatal(err)
				}
				want[d] = true
			default:
				dropped++
			}
		}
		keep := func(d slipway.Digest) bool { return kept[d] }
		found, size, err := oci.Collect(t.Context(), dir, keep, before, false)
		if found != dropped || err != nil || (size > 0) != (dropped > 0) {
			r.Fatalf("found %d of %d bytes, %v; want %d", found, size, err, dropped)
		}
		whole := func() {
			for d := range want {
				checkImage(t, r, dir, d)
			}
		}
		had := weigh(t, dir)
		if _, _, err := oci.Collect(&lookedAt{t.Context(), rapid.IntRange(0, 30).Draw(r, "steps")}, dir, keep, before, true); err != nil && !errors.Is(err, context.Canceled) {
			r.Fatal(err)
		}
		whole()
		if _, _, err := oci.Collect(t.Context(), dir, keep, before, true); err != nil {
			r.Fatal(err)
		}
		whole()
		if got := had - weigh(t, dir); got != size {
			r.Fatalf("%d bytes are gone, and %d were announced", got, size)
		}
		index, err := layout.ImageIndexFromPath(dir)
		if err != nil {
			r.Fatal(err)
		}
		if m, err := index.IndexManifest(); err != nil || len(m.Manifests) != len(want) {
			r.Fatalf("%v, want %d images, %v", m, len(want), err)
		}
		for i, d := range digests {
			if err := oci.Unpack(t.Context(), dir, d, image(i).Files, filepath.Join(dir, "out", d.Hex())); (err == nil) != want[d] {
				r.Fatalf("unpacked %v, want %v: %v", err == nil, want[d], err)
			}
			if again, err := oci.Build(t.Context(), dir, image(i)); again != d || err != nil {
				r.Fatalf("built again as %s, %v", again, err)
			}
		}
		if found, _, err := oci.Collect(t.Context(), dir, keepNone, before, true); err != nil || found > 0 {
			r.Fatalf("%d that are young are found, %v", found, err)
		}
	})
}

// checkImage holds an image to its digests, as other tools do.
func checkImage(t *testing.T, r *rapid.T, dir string, d slipway.Digest) {
	t.Helper()
	img, _ := read(t, dir, d)
	if err := validate.Image(img, validate.Fast); err != nil {
		r.Fatal(err)
	}
}

// weigh is the bytes of the blobs of a layout.
func weigh(t *testing.T, dir string) (size int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	return size
}

// TestCollectParts: a part that no image has goes, one that is asked for stays, and the
// program of the next image is written again.
func TestCollectParts(t *testing.T) {
	dir := t.TempDir()
	img := runnable(t, dir)
	if n, size, err := oci.Collect(t.Context(), filepath.Join(dir, "nowhere"), nil, time.Now(), true); n+int(size) > 0 || err != nil {
		t.Errorf("a layout that is not there: %d, %v", n, err)
	}
	later := time.Now().Add(time.Hour)
	if n, _, err := oci.Collect(t.Context(), dir, func(d slipway.Digest) bool { return d == img.Runtime.Layer }, later, true); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	none := func(slipway.Digest) bool { return false }
	if n, size, err := oci.Collect(t.Context(), dir, none, later, true); n != 1 || size == 0 || err != nil {
		t.Errorf("%d of %d bytes, %v", n, size, err)
	}
	d := build(t, dir, img)
	checkWhole(t, dir, d)
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", strings.Repeat("0", 63)+"x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, _, err := oci.Collect(t.Context(), dir, func(want slipway.Digest) bool { return want == d }, later, true); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	checkWhole(t, dir, d)
}

func checkWhole(t *testing.T, dir string, d slipway.Digest) {
	t.Helper()
	img, _ := read(t, dir, d)
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
}

// TestCollectDamaged: nothing is removed beside an image that is wanted and cannot be read,
// for what it needs is not known.
func TestCollectDamaged(t *testing.T) {
	dir := t.TempDir()
	a, b := build(t, dir, oci.Image{Files: []oci.File{file("a", "1")}}), build(t, dir, oci.Image{Files: []oci.File{file("b", "2")}})
	at := filepath.Join(dir, "blobs", "sha256", a.Hex())
	if err := errors.Join(os.Chmod(at, 0o600), os.WriteFile(at, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	_, _, err := oci.Collect(t.Context(), dir, func(d slipway.Digest) bool { return d == a }, later, true)
	wantCode(t, "a damaged image that is wanted", err, slipway.CodeIO)
	checkWhole(t, dir, b)
	if n, _, err := oci.Collect(t.Context(), dir, func(d slipway.Digest) bool { return d == b }, later, true); err != nil || n < 1 {
		t.Errorf("a damaged image that is not: %d, %v", n, err)
	}
	checkWhole(t, dir, b)
}
