package oci

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
