package oci

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Leaving is the ending of the name of an unpacked image whose removal has begun.
const Leaving = ".gone"

// RemoveUnpacked takes away what Unpack has made, whose parts may not be written. Its name
// goes first, so that a half is never taken for the whole.
func RemoveUnpacked(dest string) error {
	if err := os.Rename(dest, dest+Leaving); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dest += Leaving
	err := filepath.WalkDir(dest, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dest))
}

// RemoveModel takes the files of the model out of the layout. The image is known still, and
// Build makes them again of the same files. One that is not there is no error.
func RemoveModel(dir string, digest slipway.Digest) error {
	layer, err := findLayer(dir, digest)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(blobPath(dir, slipway.Digest(layer.Digest.String()))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError("remove the files of the image", err)
	}
	return ioError("remove the files of the image", disk.Sync(blobs(dir)))
}
