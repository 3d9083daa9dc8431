package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
)

// Unpack writes the files of an image of the layout at dir to the directory dest, which
// appears whole and durable, or not at all. If dest is there already it is left as it is.
// Every digest is checked and nothing is written outside of dest. It answers NotFound when
// there is no such image, and CodeIO for one that is damaged or not of Build's making.
func Unpack(ctx context.Context, dir string, digest slipway.Digest, dest string) error {
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return err
	}
	if st, err := os.Stat(dest); err == nil && st.IsDir() {
		return nil
	}
	layer, err := findLayer(dir, digest)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dest)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return ioError("unpack the image", err)
	}
	if err := sweep(parent); err != nil {
		return ioError("unpack the image", err)
	}
	draft, err := newDraft(parent, true)
	if err != nil {
		return ioError("unpack the image", err)
	}
	defer discard(draft)
	if err := unpackLayer(ctx, dir, layer, draft.Name()); err != nil {
		return err
	}
	err = syncTree(draft.Name())
	if err == nil {
		err = os.Rename(draft.Name(), dest)
	}
	if errors.Is(err, fs.ErrExist) { // somebody else unpacked it meanwhile
		return nil
	}
	if err == nil {
		err = syncPath(parent)
	}
	return ioError("unpack the image", err)
}

// syncTree makes a directory and all in it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(p)
	})
}

// findLayer reads the manifest and the configuration of an image.
func findLayer(dir string, digest slipway.Digest) (v1.Descriptor, error) {
	none := v1.Descriptor{}
	b, err := readBounded(blobPath(dir, digest), maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return none, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "deploy the version again", "no image %s", digest.Short())
	}
	if err != nil {
		return none, ioError("read the image", err)
	}
	if slipway.DigestOf(b) != digest {
		return none, damaged("its manifest has other bytes")
	}
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return none, damaged("its manifest cannot be read")
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != types.OCIUncompressedLayer || m.Config.MediaType != types.OCIConfigJSON {
		return none, damaged("its manifest is not of our making")
	}
	layer := m.Layers[0]
	for _, d := range []v1.Descriptor{layer, m.Config} {
		if _, err := slipway.ParseDigest(d.Digest.String()); err != nil || d.Size < 0 || d.Size > maxLayer {
			return none, damaged("its manifest names impossible blobs")
		}
	}
	return layer, checkConfig(dir, m.Config, layer)
}

func checkConfig(dir string, config, layer v1.Descriptor) error {
	digest := slipway.Digest(config.Digest.String())
	b, err := readBounded(blobPath(dir, digest), maxDocument)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError("read the image", err)
	}
	if slipway.DigestOf(b) != digest || int64(len(b)) != config.Size {
		return damaged("its configuration has other bytes")
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(b))
	if err != nil || len(c.RootFS.DiffIDs) != 1 || c.RootFS.DiffIDs[0] != layer.Digest {
		return damaged("its configuration is of another image")
	}
	return nil
}

// unpackLayer writes the files of a layer to the directory dest.
func unpackLayer(ctx context.Context, dir string, layer v1.Descriptor, dest string) error {
	f, err := os.Open(blobPath(dir, slipway.Digest(layer.Digest.String())))
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("its layer is not there")
	}
	if err != nil {
		return ioError("read the image", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return ioError("read the image", err)
	} else if st.Size() != layer.Size { // before anything is written
		return damaged("its layer has %d bytes instead of %d", st.Size(), layer.Size)
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return ioError("unpack the image", err)
	}
	defer root.Close()
	h := sha256.New()
	in := io.TeeReader(source{contextReader{ctx, f}}, h)
	if err := extract(in, layer.Size, root); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // what follows the end of the archive
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != layer.Digest.Hex {
		return damaged("its layer has other bytes")
	}
	return nil
}

// source tells the errors of reading from those of the archive.
type source struct{ r io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped end is an error
		err = ioError("read the image", err)
	}
	return n, err
}

// extract writes the files of an archive of the given size under root. It takes nothing
// but what archive writes.
func extract(in io.Reader, size int64, root *os.Root) error {
	var files tree
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if err == io.EOF { // the end as tar gives it, nothing wrapped
			return nil
		}
		if err != nil {
			return ofArchive(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o444 && h.Mode != 0o555 {
			return damaged("%.80q is no plain file", h.Name)
		}
		if err := files.add(h.Name, h.Size); err != nil {
			return damaged("%v", err)
		}
		if files.total > size { // holes that the archive only describes
			return damaged("its files are larger than itself")
		}
		if err := writeFile(root, h, t); err != nil {
			return err
		}
	}
}

// ofArchive tells the errors of the archive from those below it.
func ofArchive(err error) error {
	if known(err) {
		return err
	}
	return damaged("its layer is no whole archive")
}

func writeFile(root *os.Root, h *tar.Header, in io.Reader) error {
	if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return ioError("unpack the image", err)
	}
	f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode))
	if err != nil {
		return ioError("unpack the image", err)
	}
	_, err = io.Copy(sink{f}, in) // as many bytes as the header says
	if err != nil {
		f.Close()
		return ofArchive(err)
	}
	return ioError("unpack the image", f.Close())
}

// sink tells the errors of writing from those of the archive.
type sink struct{ f *os.File }

func (s sink) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	return n, ioError("unpack the image", err)
}
