// Package disk changes files so that a crash leaves the old or the new, and says why a disk
// refuses.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Full tells whether something failed for want of space, or of the space that its user may
// take.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Sync makes a file, or the names in a directory, durable.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Replace puts new content in place of a private file in one step. With durable it survives
// a power cut when Replace returns. A file has one writer at a time.
func Replace(path string, content []byte, durable bool) error {
	draft := path + ".new"
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(draft, path)
	}
	switch {
	case err != nil:
		return errors.Join(err, os.Remove(draft))
	case durable:
		return Sync(filepath.Dir(path))
	default:
		return nil
	}
}

// Size is the bytes of the files below a directory; what cannot be seen has none.
func Size(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}
