package registry

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeldir"
)

// DigestOf is the digest of a version: modeldir.Digest of its files, which are sorted by the
// bytes of their paths.
func DigestOf(files []File) slipway.Digest {
	in := make([]modeldir.File, len(files))
	for i, f := range files {
		in[i] = modeldir.File(f)
	}
	return modeldir.Digest(in)
}

// Bounds of a version.
const (
	maxFiles = 10_000
	maxBytes = 50 << 30
)

func invalid(field, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, next, format, args...)
	e.Field = field
	return e
}

// normalize checks the files of a version and sorts them. Errors name a file by its place
// in the list that was given.
func normalize(given []File) ([]File, error) {
	if len(given) == 0 || len(given) > maxFiles {
		return nil, invalid("files", "give a model directory", "a version has 1 to %d files, not %d", maxFiles, len(given))
	}
	first := make(map[string]int, len(given)) // by path
	var total int64
	for i, f := range given {
		if err := checkFile(f, i); err != nil {
			return nil, err
		}
		if f.Size > maxBytes-total {
			return nil, invalid("files", "keep only the model in its directory", "a version has at most %d GiB", int64(maxBytes)>>30)
		}
		total += f.Size
		if same, twice := first[f.Path]; twice {
			return nil, invalid(field(i, "path"), "list each file once", "is the path of files[%d] too", same)
		}
		first[f.Path] = i
	}
	for i, f := range given {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if file, ok := first[dir]; ok {
				return nil, invalid(field(i, "path"), "rename one of them", "lies in a directory that is files[%d], a file", file)
			}
		}
	}
	files := slices.Clone(given)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func field(i int, name string) string { return fmt.Sprintf("files[%d].%s", i, name) }

func checkFile(f File, i int) error {
	if err := modeldir.CheckPath(f.Path); err != nil {
		return at(field(i, "path"), err)
	}
	if _, err := slipway.ParseDigest(string(f.Digest)); err != nil {
		return at(field(i, "digest"), err)
	}
	if f.Size < 0 {
		return invalid(field(i, "size"), "give the number of bytes", "%d is no size", f.Size)
	}
	return nil
}

// at names the field of an error.
func at(field string, err error) error {
	if e := (*slipway.Error)(nil); errors.As(err, &e) {
		named := *e
		named.Field = field
		return &named
	}
	return err
}
