package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Unpack writes the model's files of an image of the layout at dir to the directory dest, which
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
		err = disk.Sync(parent)
	}
	return ioError("unpack the image", err)
}

// syncTree makes a directory and all in it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return disk.Sync(p)
	})
}

// findLayer finds the layer of an image that holds the model.
func findLayer(dir string, digest slipway.Digest) (v1.Descriptor, error) {
	none := v1.Descriptor{}
	img, err := open(dir, digest)
	if err != nil {
		return none, err
	}
	found := -1
	for i, l := range img.manifest.Layers {
		if l.Annotations[roleKey] != roleModel {
			continue
		}
		if found >= 0 {
			return none, damaged("it has two models")
		}
		found = i
	}
	if found < 0 {
		return none, damaged("it has no model")
	}
	l := img.manifest.Layers[found]
	if l.MediaType != types.OCIUncompressedLayer || img.config.RootFS.DiffIDs[found] != l.Digest {
		return none, damaged("its model is not of our making")
	}
	return l, nil
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
	from := &source{r: contextReader{ctx, f}}
	in := io.TeeReader(from, h)
	err = extract(in, layer.Size, root)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // what follows the end of the archive
	}
	if from.err != nil { // nothing that came of it says more
		return ioError("read the image", from.err)
	}
	if err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != layer.Digest.Hex {
		return damaged("its layer has other bytes")
	}
	return nil
}

// source remembers the error of its reader, to tell it from those of writing.
type source struct {
	r   io.Reader
	err error
}

// Read reads.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// extract writes the model's files of an archive of the given size under root. It takes
// nothing but what Build writes: before each file the directories that it is the first to
// need, and before all the directory of the model.
func extract(in io.Reader, size int64, root *os.Root) error {
	files := tree{}
	var got []string
	want := files.parents(within(ModelDir) + "/x")
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if err == io.EOF { // the end as tar gives it, nothing wrapped
			return directories(got, want)
		}
		if err != nil {
			return ofArchive(err)
		}
		if h.Typeflag == tar.TypeDir {
			if got = append(got, h.Name); h.Mode != 0o755 || len(got) > len(want)+maxNesting {
				return damaged("%.80q is no plain directory", h.Name)
			}
			continue
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o444 && h.Mode != 0o555 {
			return damaged("%.80q is no plain file", h.Name)
		}
		name, ok := strings.CutPrefix(h.Name, within(ModelDir)+"/")
		if !ok {
			return damaged("%.80q is no file of the model", h.Name)
		}
		if err := files.add(name, h.Size); err != nil {
			return damaged("%v", err)
		}
		if files.total > size { // holes that the archive only describes
			return damaged("its files are larger than itself")
		}
		if err := directories(got, append(want, files.parents(h.Name)...)); err != nil {
			return err
		}
		got, want = nil, nil
		if err := writeFile(root, name, h, t); err != nil {
			return err
		}
	}
}

// maxNesting bounds the directories between two files.
const maxNesting = 64

// directories compares those that came with those that should.
func directories(got, want []string) error {
	if !slices.EqualFunc(got, want, func(g, w string) bool { return g == w+"/" }) {
		return damaged("its directories are not those of its files")
	}
	return nil
}

// ofArchive tells the errors of the archive from those below it.
func ofArchive(err error) error {
	if known(err) {
		return err
	}
	return damaged("its layer is no whole archive")
}

func writeFile(root *os.Root, name string, h *tar.Header, in io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return ioError("unpack the image", err)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode))
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
