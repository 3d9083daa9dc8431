package oci

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Unpack writes the files of the model of an image of the layout at dir to the directory
// dest, which appears whole and durable, or not at all. If dest is there already it is left
// as it is. What lies there is compared with the digest in the image, and nothing is written
// outside of dest. It answers NotFound when there is no such image, CodeIO for one that is
// damaged, not of Build's making, or built of other files, and the error of a file that
// cannot be read.
func Unpack(ctx context.Context, dir string, digest slipway.Digest, files []File, dest string) error {
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return err
	}
	if st, err := os.Stat(dest); err == nil && st.IsDir() {
		return nil
	}
	files, err := inOrder(files)
	if err != nil {
		return err
	}
	layer, err := findLayer(dir, digest)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dest)
	if err = os.MkdirAll(parent, 0o700); err == nil {
		err = sweep(parent)
	}
	var draft *os.File
	if err == nil {
		draft, err = newDraft(parent, true)
	}
	if err != nil {
		return ioError("unpack the image", err)
	}
	defer discard(draft)
	err = writeFiles(ctx, files, layer, draft.Name())
	if err == nil {
		err = syncTree(draft.Name())
	}
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

// writeFiles writes files to a directory, and holds what lies there then to the digest of
// the layer that they make.
func writeFiles(ctx context.Context, files []File, want v1.Descriptor, dest string) error {
	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer root.Close()
	written := make([]File, len(files))
	for i, f := range files {
		if err := writeFile(ctx, root, f); err != nil {
			return err
		}
		f.Open = func() (io.ReadCloser, error) { return root.Open(f.Path) }
		written[i] = f
	}
	got, err := modelOf(ctx, written, io.Discard)
	if err == nil && got.Blob.Digest != want.Digest {
		err = otherFiles()
	}
	return err
}

// writeFile writes a file below root.
func writeFile(ctx context.Context, root *os.Root, f File) error {
	mode := fs.FileMode(0o444)
	if f.Executable {
		mode = 0o555
	}
	if dir := filepath.Dir(f.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	to, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	return errors.Join(appendFile(ctx, to, f), to.Close())
}
