package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Bounds of an environment.
const (
	maxPackaged      = 300_000  // files
	maxPackagedBytes = 20 << 30 // of all files
	maxRecord        = 64 << 20
)

// recordFile lists the files of an installed package
// (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
const recordFile = "RECORD"

// leftOut tells what an installer writes that would make the image another on every
// machine: compiled modules hold times, the rest holds paths, or times of a cache.
func leftOut(name string, directory bool) bool {
	if directory {
		return name == "__pycache__"
	}
	return slices.Contains([]string{"direct_url.json", "uv_cache.json", "uv_build.json", ".lock"}, name)
}

// layer gives the layer of an environment.
func (e Environment) layer(ctx context.Context, dir string) (layer, error) {
	if _, err := slipway.ParseDigest(string(e.Key)); err != nil {
		return layer{}, err
	}
	l, err := packed(ctx, dir, roleEnvironment, e.Key, func(a *archive) error {
		root, err := os.OpenRoot(e.Dir)
		if err != nil {
			return err
		}
		defer root.Close()
		files, err := packagesIn(ctx, root)
		if err != nil {
			return err
		}
		return a.files(within(SitePackages), files)
	})
	return l, ioError("write the layer of the Python environment", err)
}

// packagesIn lists the files of an environment, sorted. Links to files inside of it are
// followed, others refused.
func packagesIn(ctx context.Context, root *os.Root) ([]File, error) {
	var files []File
	var total int64
	err := fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		switch {
		case e.IsDir() && leftOut(e.Name(), true):
			return fs.SkipDir
		case e.IsDir(), leftOut(e.Name(), false):
			return nil
		}
		f, err := packaged(root, p)
		if err != nil {
			return err
		}
		files = append(files, f)
		total += f.Size
		if len(files) > maxPackaged || total > maxPackagedBytes {
			return badEnvironment(p, "is one too many: an environment has at most %d files and %d GiB", maxPackaged, int64(maxPackagedBytes)>>30)
		}
		return nil
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

func packaged(root *os.Root, p string) (File, error) {
	st, err := root.Stat(p)
	switch {
	case err != nil:
		return File{}, badEnvironment(p, "is a link that leads out of the environment, or cannot be read")
	case !st.Mode().IsRegular():
		return File{}, badEnvironment(p, "is no file, nor a link to one")
	case !fs.ValidPath(p):
		return File{}, badEnvironment(p, "has a name that is no UTF-8")
	}
	f := File{Path: p, Size: st.Size(), Executable: st.Mode()&0o100 != 0, Open: func() (io.ReadCloser, error) { return root.Open(p) }}
	if path.Base(p) == recordFile && strings.HasSuffix(path.Dir(p), ".dist-info") {
		return record(f)
	}
	return f, nil
}

// record is a package's list of its files without those that are not in the image. What
// lies outside of the environment are scripts, which name a directory of this machine.
func record(f File) (File, error) {
	if f.Size > maxRecord {
		return File{}, badEnvironment(f.Path, "is larger than %d MiB", maxRecord>>20)
	}
	in, err := f.Open()
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxRecord))
	if err != nil {
		return File{}, err
	}
	lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(line string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, `"`), ",")
		dir, file := path.Split(name)
		return name == "" || path.IsAbs(name) || strings.HasPrefix(name, "../") || leftOut(file, false) || leftOut(path.Base(dir), true)
	})
	slices.Sort(lines)
	kept := []byte(strings.Join(append(lines, ""), "\n"))
	f.Size, f.Open = int64(len(kept)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	return f, nil
}

func badEnvironment(p, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "remove the environment, so that it is built again", format, args...)
	e.Field = p
	return e
}
