package oci

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
)

// Build writes an image into the layout at dir, which it makes if it is missing, and gives
// the digest of its manifest. Files are streamed, each opened once. It may be repeated; a
// crash leaves no image or a whole one. It answers Invalid for files that cannot be one
// directory, and the error of a file that cannot be read.
func Build(ctx context.Context, dir string, img Image) (slipway.Digest, error) {
	files := slices.Clone(img.Files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var t tree
	for _, f := range files {
		if err := t.add(f.Path, f.Size); err != nil {
			return "", slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "give the files of one model directory", "the files do not fit an image: %v", err)
		}
	}
	if err := prepare(dir); err != nil {
		return "", ioError("make the directory of images", err)
	}
	layer, err := writeBlob(dir, func(w io.Writer) error { return archive(ctx, w, files) })
	if err != nil {
		return "", ioError("write the files of the image", err)
	}
	layer.MediaType = types.OCIUncompressedLayer
	manifest, err := describe(dir, img, layer)
	if err != nil {
		return "", ioError("write the image", err)
	}
	if err := syncPath(blobs(dir)); err != nil {
		return "", ioError("write the image", err)
	}
	if err := addToIndex(dir, manifest); err != nil {
		return "", ioError("write the index of images", err)
	}
	return slipway.Digest(manifest.Digest.String()), nil
}

func blobs(dir string) string { return filepath.Join(dir, "blobs", "sha256") }

func blobPath(dir string, digest slipway.Digest) string {
	return filepath.Join(blobs(dir), digest.Hex())
}

// prepare makes what every layout has, and removes what crashes left.
func prepare(dir string) error {
	if err := os.MkdirAll(blobs(dir), 0o700); err != nil {
		return err
	}
	if err := sweep(dir); err != nil {
		return err
	}
	marker := filepath.Join(dir, "oci-layout")
	if _, err := os.Stat(marker); err == nil {
		return nil
	}
	if err := errors.Join(syncPath(filepath.Join(dir, "blobs")), syncPath(dir), syncPath(filepath.Dir(dir))); err != nil {
		return err
	}
	return replace(dir, marker, []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// replace writes a file of the layout so that a reader sees the old or the new one.
func replace(dir, name string, content []byte) error {
	f, err := newDraft(dir, false)
	if err != nil {
		return err
	}
	defer discard(f)
	if _, err := f.Write(content); err != nil {
		return err
	}
	return finish(f, name)
}

// writeBlob hashes what write writes, and names it so. The name is durable when the
// directory of the blobs is synced.
func writeBlob(dir string, write func(io.Writer) error) (v1.Descriptor, error) {
	f, err := newDraft(dir, false)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer discard(f)
	h := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(f, h), 256<<10)
	if err := write(b); err != nil {
		return v1.Descriptor{}, err
	}
	if err := b.Flush(); err != nil {
		return v1.Descriptor{}, err
	}
	st, err := f.Stat()
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{Size: st.Size(), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	return d, finish(f, filepath.Join(blobs(dir), d.Digest.Hex))
}

// archive writes the files as a tar archive (POSIX pax).
func archive(ctx context.Context, w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, Mode: modeOf(f), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if err := appendFile(ctx, t, f); err != nil {
			return err
		}
	}
	return t.Close()
}

func modeOf(f File) int64 {
	if f.Executable {
		return 0o555
	}
	return 0o444
}

func appendFile(ctx context.Context, w io.Writer, f File) error {
	in, err := f.Open()
	if err != nil {
		return fmt.Errorf("open %q: %w", f.Path, err)
	}
	defer in.Close()
	n, err := io.Copy(w, io.LimitReader(contextReader{ctx, in}, f.Size))
	if err == nil && n == f.Size { // the end may still tell that the bytes are others
		var more int64
		more, err = io.Copy(io.Discard, io.LimitReader(in, 1))
		n += more
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", f.Path, err)
	}
	if n != f.Size {
		return slipway.Errorf(slipway.Conflict, slipway.CodeUploadDigest, "register the version again", "%q does not have %d bytes", f.Path, f.Size)
	}
	return nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// describe writes the configuration and the manifest of an image of one layer.
func describe(dir string, img Image, layer v1.Descriptor) (v1.Descriptor, error) {
	labels := maps.Clone(img.Labels)
	if img.Spec != nil {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[SpecLabel] = string(img.Spec)
	}
	// The files are data: they are for every platform that the runtime is for.
	config, err := writeDocument(dir, v1.ConfigFile{Architecture: "unknown", OS: "unknown", Config: v1.Config{Labels: labels},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{layer.Digest}}}, types.OCIConfigJSON)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return writeDocument(dir, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer}},
		types.OCIManifestSchema1)
}

func writeDocument(dir string, document any, media types.MediaType) (v1.Descriptor, error) {
	b, err := json.Marshal(document)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if len(b) > maxDocument {
		return v1.Descriptor{}, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "shorten the labels", "the labels of an image have at most %d MiB", maxDocument>>20)
	}
	d, err := writeBlob(dir, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	d.MediaType = media
	return d, err
}

// addToIndex names an image in index.json, whose order is that of the digests.
func addToIndex(dir string, image v1.Descriptor) error {
	lock, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // held for as long as a small file is written
		return err
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	name := filepath.Join(dir, "index.json")
	b, err := readBounded(name, maxIndex)
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, err)
	}
	order := func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) }
	at, there := slices.BinarySearchFunc(index.Manifests, image, order)
	if there {
		return nil
	}
	index.Manifests = slices.Insert(index.Manifests, at, image)
	if b, err = json.Marshal(index); err != nil {
		return err
	}
	if err := replace(dir, name, b); err != nil {
		return err
	}
	return syncPath(dir)
}

// readBounded reads a small file.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("has more than %d bytes", most)
	}
	return b, err
}
