// Package oci packs the files of a version into an OCI image (image-spec 1.1) in a layout
// on disk, without a daemon, and unpacks them again. The same input gives the same bytes
// on every machine: files are sorted, without times and owners, and not compressed, since
// the output of compressors differs between their versions and models hardly shrink.
//
// Many images share one layout, and several processes may work in it at the same time.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeldir"
)

// File is one file of an image. Path is as modeldir.CheckPath wants it. Open gives exactly
// Size bytes.
type File struct {
	Path       string
	Size       int64
	Executable bool
	Open       func() (io.ReadCloser, error)
}

// Image is what Build packs. Spec is the configuration that the files are released with;
// it becomes the label SpecLabel.
type Image struct {
	Files  []File
	Labels map[string]string
	Spec   []byte
}

// SpecLabel is the label of an image that holds its Spec.
const SpecLabel = "slipway.spec"

// Bounds of an image.
const (
	maxFiles    = 10_000
	maxBytes    = 50 << 30                // of all files
	maxLayer    = maxBytes + maxFiles<<14 // with the headers of the archive
	maxDocument = 4 << 20                 // a manifest or a configuration
	maxIndex    = 64 << 20
)

// tree checks that paths are those of one directory, in the order in which Build writes
// them.
type tree struct {
	files map[string]bool
	last  string
	total int64
}

func (t *tree) add(name string, size int64) error {
	if err := modeldir.CheckPath(name); err != nil {
		return err
	}
	if t.files == nil {
		t.files = map[string]bool{}
	}
	if name <= t.last {
		return fmt.Errorf("%q is there twice, or not in its place", name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if t.files[dir] {
			return fmt.Errorf("%q is a file and a directory", dir)
		}
	}
	t.files[name], t.last = true, name
	if size < 0 || size > maxBytes-t.total || len(t.files) > maxFiles {
		return fmt.Errorf("more than %d files or %d GiB, at %q", maxFiles, int64(maxBytes)>>30, name)
	}
	t.total += size
	return nil
}

// damaged is the error of an image that Build cannot have made like this.
func damaged(format string, args ...any) error {
	return slipway.Errorf(slipway.Internal, slipway.CodeIO, "deploy the version again", "the image is damaged: "+format, args...)
}

// known are errors that say enough.
func known(err error) bool {
	return errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func ioError(what string, err error) error {
	if err == nil || known(err) {
		return err
	}
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "cannot " + what, Next: "check the disk and the permissions of the directory of images",
		Cause: fmt.Errorf("oci: %w", err)}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk of the images is full", "free space on it, then try again"
	}
	return e
}
