// Package oci packs the files of a version into an OCI image (image-spec 1.1) in a layout
// on disk, without a daemon, and unpacks them again. The same files give the same digest
// on every machine: sorted, without times or owners, not compressed, since compressors
// differ between their versions and models hardly shrink.
package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
)

// File is one file of an image. Open may be called several times and gives Size bytes.
type File struct {
	Path       string
	Size       int64
	Executable bool
	Open       func() (io.ReadCloser, error)
}

// Build writes the image of some files and labels into the layout, unless it is there, and
// gives the digest of its manifest. A crash leaves no image, or a whole one.
func Build(ctx context.Context, dir string, files []File, labels map[string]string) (slipway.Digest, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return stream(ctx, files), nil },
		tarball.WithMediaType(types.OCIUncompressedLayer), tarball.WithCompression(compression.None))
	if err != nil {
		return "", ioError("read the files", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, layer); err == nil {
		// The files are data: they run on every platform that the runtime runs on.
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "unknown", OS: "unknown", Config: v1.Config{Labels: labels},
			RootFS: rootFS(img)})
	}
	if err != nil {
		return "", ioError("describe the image", err)
	}
	hash, err := img.Digest()
	if err != nil {
		return "", ioError("hash the image", err)
	}
	if err := store(dir, img, hash); err != nil {
		return "", ioError("write the image", err)
	}
	return slipway.Digest(hash.String()), nil
}

func rootFS(img v1.Image) v1.RootFS {
	c, err := img.ConfigFile()
	if err != nil {
		return v1.RootFS{}
	}
	return c.RootFS
}

// stream gives the files as a tar archive.
func stream(ctx context.Context, files []File) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		t := tar.NewWriter(w)
		for _, f := range files {
			if err := appendFile(ctx, t, f); err != nil {
				w.CloseWithError(err)
				return
			}
		}
		w.CloseWithError(t.Close())
	}()
	return r
}

func appendFile(ctx context.Context, t *tar.Writer, f File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mode := int64(0o444)
	if f.Executable {
		mode = 0o555
	}
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(t, in)
	return err
}

// store writes the blobs, then the index that names them.
func store(dir string, img v1.Image, hash v1.Hash) error {
	lock, err := lockLayout(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	l, err := layout.FromPath(dir)
	if err != nil {
		if l, err = layout.Write(dir, empty.Index); err != nil {
			return err
		}
	}
	index, err := l.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool { return d.Digest == hash }) {
		return nil
	}
	if err := l.WriteImage(img); err != nil {
		return err
	}
	if err := syncAll(dir); err != nil { // the blobs reach the disk before their name
		return err
	}
	size, err := img.Size()
	if err != nil {
		return err
	}
	manifest.Manifests = append(manifest.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: size, Digest: hash})
	b, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	draft := filepath.Join(dir, "index.json.new")
	if err := os.WriteFile(draft, b, 0o600); err != nil {
		return err
	}
	if err := syncAll(dir); err != nil {
		return err
	}
	return os.Rename(draft, filepath.Join(dir, "index.json"))
}

func lockLayout(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// syncAll waits until everything written to the file system of dir is on disk.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// maxManifest bounds a manifest, in bytes.
const maxManifest = 4 << 20

// Unpack writes the files of an image to dest, which appears whole or not at all. What is
// there already is left. Every digest is checked, and nothing leaves dest: CodeIO answers
// an image that is damaged or that Build cannot have made.
func Unpack(ctx context.Context, dir string, digest slipway.Digest, dest string) error {
	if _, err := os.Stat(dest); err == nil {
		return nil
	}
	m, err := readManifest(dir, digest)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o700); err != nil {
		return ioError("unpack the image", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dest), ".unpack-*")
	if err != nil {
		return ioError("unpack the image", err)
	}
	defer os.RemoveAll(draft)
	for _, l := range m.Layers {
		if err := unpackLayer(ctx, blobPath(dir, slipway.Digest(l.Digest.String())), slipway.Digest(l.Digest.String()), draft); err != nil {
			return err
		}
	}
	if err := syncAll(draft); err != nil {
		return ioError("unpack the image", err)
	}
	if err := os.Rename(draft, dest); err != nil && !errors.Is(err, fs.ErrExist) {
		return ioError("unpack the image", err)
	}
	return nil
}

func blobPath(dir string, d slipway.Digest) string {
	return filepath.Join(dir, "blobs", "sha256", d.Hex())
}

func readManifest(dir string, digest slipway.Digest) (*v1.Manifest, error) {
	f, err := os.Open(blobPath(dir, digest))
	if err != nil {
		return nil, ioError("open the image", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, ioError("read the image", err)
	}
	if slipway.DigestOf(b) != digest {
		return nil, damaged("its manifest has another digest")
	}
	m, err := v1.ParseManifest(strings.NewReader(string(b)))
	if err != nil {
		return nil, damaged("its manifest cannot be read")
	}
	for _, l := range m.Layers {
		if _, err := slipway.ParseDigest(l.Digest.String()); err != nil || l.MediaType != types.OCIUncompressedLayer {
			return nil, damaged("it has a layer of another kind")
		}
	}
	return m, nil
}

func damaged(why string) error {
	return slipway.Errorf(slipway.Internal, slipway.CodeIO, "deploy the version again", "the image is damaged: %s", why)
}

func unpackLayer(ctx context.Context, path string, want slipway.Digest, dest string) error {
	f, err := os.Open(path)
	if err != nil {
		return ioError("open a layer", err)
	}
	defer f.Close()
	root, err := os.OpenRoot(dest)
	if err != nil {
		return ioError("unpack a layer", err)
	}
	defer root.Close()
	h := sha256.New()
	in := io.TeeReader(f, h)
	if err := extract(ctx, in, root); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // the end of the archive
		return ioError("read a layer", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != want.Hex() {
		return damaged("a layer has another digest")
	}
	return nil
}

// extract writes the regular files of an archive under root.
func extract(ctx context.Context, in io.Reader, root *os.Root) error {
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged("a layer is no archive")
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || filepath.Clean(name) != name {
			return damaged("it holds something else than files inside it")
		}
		if err := writeFile(root, name, h, t); err != nil {
			return ioError("unpack a file", err)
		}
	}
}

func writeFile(root *os.Root, name string, h *tar.Header, in io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode&0o555))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in) // as many bytes as the header says
	return errors.Join(err, f.Close())
}

func ioError(what string, err error) error {
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "cannot " + what, Next: "see the server's log", Cause: fmt.Errorf("oci: %w", err)}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk is full", "free space on the disk of the home directory"
	}
	return e
}
