// Package oci makes the files of a version, and what serves them, an OCI image (image-spec
// 1.1) in a layout on disk, without a daemon: it packs them, unpacks them again, pushes
// images to a registry and pulls the images that others build on. The same input gives the
// same bytes on every machine: files are sorted, without times and owners. What changes
// with every version is not compressed, since models hardly shrink; what many images share
// is compressed once.
//
// Many images share one layout, and several processes may work in it at the same time.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
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

// Image is what Build packs. Its layers are those of Base, then the runtime, the
// environment, the files and the spec: what changes least comes first, so that the
// revisions of a model share it.
type Image struct {
	// Files are the model's; they lie in ModelDir.
	Files []File
	// Spec is the configuration that the files are released with; it becomes SpecFile.
	Spec []byte
	// Labels are the labels of the image, org.opencontainers.image.… and others.
	Labels map[string]string
	// Runtime is the program that serves the files; it becomes RuntimePath. An image without
	// one holds data and cannot run, and the fields that follow must be empty.
	Runtime Program
	// Env is what the runtime is told beside the paths in this image; all names begin with
	// SLIPWAY_.
	Env map[string]string
	// Base is an image of the same layout, as Pull gives it, that this one builds on; empty
	// for none. Its environment variables are inherited.
	Base slipway.Digest
	// Environment is what a Python model imports. It needs a Base with the interpreter.
	Environment Environment
}

// Environment is a directory of Python packages, as an installer wrote it: what is called
// site-packages. Key names its contents, which never change; the zero Environment is none.
type Environment struct {
	Dir string
	Key slipway.Digest
}

// Where things are in an image. The runtime finds the model and the spec by the variables
// EnvModelDir and EnvSpec.
const (
	RuntimePath  = "/usr/local/bin/platform"
	ModelDir     = "/opt/slipway/model"
	SpecFile     = "/opt/slipway/platform.json"
	SitePackages = "/opt/slipway/site-packages"

	EnvModelDir = "SLIPWAY_MODEL_DIR"
	EnvSpec     = "SLIPWAY_SPEC"

	// Port is where an image answers, by HTTP.
	Port = "8080"
	// User is the number of the user and of the group that an image runs as.
	User = "65532"
)

// roleKey is the annotation of a layer that says what it is for.
const roleKey = "slipway.layer"

// What a layer is for.
const (
	roleRuntime     = "runtime"
	roleEnvironment = "environment"
	roleModel       = "model"
	roleSpec        = "spec"
)

// Bounds of an image.
const (
	maxFiles    = 10_000
	maxBytes    = 50 << 30 // of all files
	maxLayer    = 64 << 30 // with the headers of the archive
	maxLayers   = 127      // of a container, as overlayfs allows
	maxDocument = 4 << 20  // a manifest or a configuration
	maxIndex    = 64 << 20
)

// within is the path of a place in an image as an archive has it.
func within(place string) string { return strings.TrimPrefix(place, "/") }

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
	if disk.Full(err) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk of the images is full", "free space on it, then try again"
	}
	return e
}
