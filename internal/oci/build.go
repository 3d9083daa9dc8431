package oci

import (
	"bufio"
	"bytes"
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
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Build writes an image into the layout at dir, which it makes if it is missing, and gives
// the digest of its manifest. Files are streamed, each opened once, and are not kept: the
// layer of the model is known by its digest, and made again of the same files by whoever
// needs it. It may be repeated; a crash leaves no image or a whole one. It answers Invalid
// for files that cannot be one directory and for parts that cannot be one image, and the
// error of a file that cannot be read.
func Build(ctx context.Context, dir string, img Image) (slipway.Digest, error) {
	if err := img.check(); err != nil {
		return "", err
	}
	files, err := inOrder(img.Files)
	if err != nil {
		return "", err
	}
	if err := prepare(dir); err != nil {
		return "", ioError("make the directory of images", err)
	}
	config, layers, err := img.below(ctx, dir)
	if err != nil {
		return "", err
	}
	above, err := img.own(ctx, dir, files)
	if err != nil {
		return "", ioError("write the files of the image", err)
	}
	manifest, err := describe(dir, img, config, append(layers, above...))
	if err != nil {
		return "", ioError("write the image", err)
	}
	if err := disk.Sync(blobs(dir)); err != nil {
		return "", ioError("write the image", err)
	}
	if err := addToIndex(dir, manifest); err != nil {
		return "", ioError("write the index of images", err)
	}
	return slipway.Digest(manifest.Digest.String()), nil
}

// check holds that the parts make one image.
func (img *Image) check() error {
	misfit := func(next, format string, args ...any) error {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
	}
	if len(img.Spec) > maxDocument {
		return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "shorten platform.yaml", "the spec of an image has at most %d MiB", maxDocument>>20)
	}
	if img.Runtime == (Program{}) && (img.Base != "" || img.Environment != Environment{} || len(img.Env) > 0) {
		return misfit("give the runtime too", "an image without a runtime has no base, no environment and no variables")
	}
	if p := img.Runtime; p != (Program{}) && (p.Architecture == "" || p.Digest == "") {
		return misfit("prepare the runtime first", "the runtime of an image is not known")
	}
	if img.Environment != (Environment{}) && img.Base == "" {
		return misfit("choose a base image with the model's Python", "the image of a Python model needs a base image")
	}
	for name, value := range img.Env {
		if !variable.MatchString(name) || name == EnvModelDir || name == EnvSpec || strings.ContainsRune(value, 0) {
			return misfit("use another name", "%.80q cannot be a variable of an image", name)
		}
	}
	return nil
}

// variable is what the names of our variables look like.
var variable = regexp.MustCompile(`^SLIPWAY_[A-Z0-9_]{1,80}$`)

// below gives the layers that many images share, and the configuration that they call for.
func (img *Image) below(ctx context.Context, dir string) (v1.ConfigFile, []layer, error) {
	// Files alone are data: they are for every platform that a runtime is for.
	none := v1.ConfigFile{Architecture: "unknown", OS: "unknown"}
	if img.Runtime == (Program{}) {
		return none, nil, nil
	}
	architecture := img.Runtime.Architecture
	program, err := img.Runtime.layer(ctx, dir)
	if err != nil {
		return none, nil, err
	}
	var base v1.Config
	var layers []layer
	if img.Base != "" {
		if base, layers, err = baseOf(dir, img.Base, architecture); err != nil {
			return none, nil, err
		}
	}
	layers = append(layers, program)
	if img.Environment != (Environment{}) {
		packages, err := img.Environment.layer(ctx, dir)
		if err != nil {
			return none, nil, err
		}
		layers = append(layers, packages)
	}
	return v1.ConfigFile{Architecture: architecture, OS: "linux", Config: img.run(base.Env)}, layers, nil
}

// own gives the layers that are this image's alone.
func (img *Image) own(ctx context.Context, dir string, files []File) ([]layer, error) {
	model, err := modelOf(ctx, files, io.Discard)
	if err != nil || img.Spec == nil {
		return []layer{model}, err
	}
	spec := File{Path: SpecFile, Size: int64(len(img.Spec)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(img.Spec)), nil }}
	blob, err := writeBlob(dir, func(w io.Writer) error {
		return writeArchive(ctx, w, func(a *archive) error { return a.file(within(SpecFile), 0o444, spec) })
	})
	blob.MediaType, blob.Annotations = types.OCIUncompressedLayer, map[string]string{roleKey: roleSpec}
	return []layer{model, {blob, blob.Digest}}, err
}

// run is how a container of the image runs, given the variables of its base.
func (img *Image) run(inherited []string) v1.Config {
	ours := map[string]string{EnvModelDir: ModelDir, EnvSpec: SpecFile, "HOME": "/tmp"}
	maps.Copy(ours, img.Env)
	if img.Environment != (Environment{}) {
		ours["PYTHONPATH"], ours["PYTHONDONTWRITEBYTECODE"] = SitePackages, "1"
	}
	env := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, replaced := ours[name]
		return replaced
	})
	if !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		ours["PATH"] = "/usr/local/bin:/usr/bin:/bin"
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		env = append(env, name+"="+ours[name])
	}
	return v1.Config{Entrypoint: []string{RuntimePath, "runtime", "serve"}, Env: env, User: User + ":" + User, WorkingDir: ModelDir,
		ExposedPorts: map[string]struct{}{Port + "/tcp": {}}}
}

func blobs(dir string) string { return filepath.Join(dir, "blobs", "sha256") }

func blobPath(dir string, digest slipway.Digest) string {
	return filepath.Join(blobs(dir), digest.Hex())
}

// prepare makes what every layout has, and removes what crashes left.
func prepare(dir string) error {
	if err := errors.Join(os.MkdirAll(blobs(dir), 0o700), os.MkdirAll(notes(dir), 0o700)); err != nil {
		return err
	}
	if err := sweep(dir); err != nil {
		return err
	}
	marker := filepath.Join(dir, "oci-layout")
	if _, err := os.Stat(marker); err == nil {
		return nil
	}
	if err := errors.Join(disk.Sync(filepath.Join(dir, "blobs")), disk.Sync(dir), disk.Sync(filepath.Dir(dir))); err != nil {
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
	return writeBlobAs(dir, "", write)
}

// writeBlobAs is writeBlob for bytes that must have a digest, unless it is empty.
func writeBlobAs(dir, want string, write func(io.Writer) error) (v1.Descriptor, error) {
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
	if want != "" && want != d.Digest.Hex {
		return v1.Descriptor{}, unusable("a part of it has other bytes than its digest says")
	}
	return d, finish(f, filepath.Join(blobs(dir), d.Digest.Hex))
}

// describe writes the configuration and the manifest of an image.
func describe(dir string, img Image, c v1.ConfigFile, layers []layer) (v1.Descriptor, error) {
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	if img.Base != "" {
		m.Annotations = map[string]string{"org.opencontainers.image.base.digest": string(img.Base)}
	}
	c.Created, c.Config.Labels, c.RootFS.Type = v1.Time{Time: time.Unix(0, 0).UTC()}, img.Labels, "layers"
	for _, l := range layers {
		m.Layers = append(m.Layers, l.Blob)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, l.Diff)
	}
	if len(layers) > maxLayers {
		return v1.Descriptor{}, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "choose another base image", "an image has at most %d layers", maxLayers)
	}
	config, err := writeDocument(dir, c, types.OCIConfigJSON)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m.Config = config
	return writeDocument(dir, m, types.OCIManifestSchema1)
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
	return disk.Sync(dir)
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
