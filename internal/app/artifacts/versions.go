package artifacts

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
)

// versions is the first segment of the tree of what was registered, versions/MODEL/NUMBER/…,
// which is read only: exactly the files of a version, as they were then.
const versions = "versions"

// version gives the files of the version that a path names, and the path in it.
func (s *Service) version(ctx context.Context, c mlflowapi.Caller, p string) (files []registry.File, rest string, err error) {
	parts := strings.SplitN(p, "/", 4)
	if len(parts) < 3 {
		return nil, "", missing(p)
	}
	number, err := strconv.Atoi(parts[2])
	if err != nil {
		return nil, "", missing(p)
	}
	if len(parts) == 4 {
		rest = parts[3]
	}
	files, err = s.Versions.VersionFiles(ctx, c, parts[1], number)
	return files, rest, err
}

func (s *Service) openVersion(ctx context.Context, c mlflowapi.Caller, p string) (artifact.File, artifact.Bytes, error) {
	files, rest, err := s.version(ctx, c, p)
	if err != nil {
		return artifact.File{}, nil, err
	}
	for _, f := range files {
		if f.Path == rest {
			b, err := s.Artifacts.Blobs.Open(ctx, f.Digest)
			return artifact.File{Path: p, Digest: f.Digest, Size: f.Size, Type: artifact.TypeOf("", p)}, b, err
		}
		if rest == "" || strings.HasPrefix(f.Path, rest+"/") {
			return artifact.File{}, nil, directory(p)
		}
	}
	return artifact.File{}, nil, missing(p)
}

func (s *Service) listVersion(ctx context.Context, c mlflowapi.Caller, dir string) ([]artifact.Entry, error) {
	files, rest, err := s.version(ctx, c, dir)
	if e := slipway.AsError(err); err != nil && e.Kind == slipway.NotFound {
		return nil, nil // as a directory that is not there
	}
	if err != nil {
		return nil, err
	}
	if rest != "" {
		rest += "/"
	}
	var out []artifact.Entry
	for _, f := range files {
		below, ok := strings.CutPrefix(f.Path, rest)
		if !ok {
			continue
		}
		name, _, isDir := strings.Cut(below, "/")
		e := artifact.Entry{Name: name, Dir: isDir}
		if !isDir {
			e.Size = f.Size
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b artifact.Entry) bool { return a.Name == b.Name }), nil
}

// maxFiles bounds what becomes a version.
const maxFiles = 10_000

// Below gives the files at a path, with paths relative to it, for a version that is made of
// them. It is NotFound what the caller may not read.
func (s *Service) Below(ctx context.Context, c mlflowapi.Caller, path string) ([]registry.File, error) {
	p, err := artifact.ParsePath(path)
	if err != nil {
		return nil, err
	}
	if artifact.Root(p) == versions {
		return s.belowVersion(ctx, c, p)
	}
	if _, err := s.may(ctx, c, authz.ExperimentRead, p); err != nil {
		return nil, err
	}
	files, err := s.Artifacts.Files(ctx, p, maxFiles)
	out := make([]registry.File, len(files))
	for i, f := range files {
		out[i] = registry.File{Path: relative(f.Path, p), Digest: f.Digest, Size: f.Size}
	}
	return out, err
}

func (s *Service) belowVersion(ctx context.Context, c mlflowapi.Caller, p string) (out []registry.File, err error) {
	files, rest, err := s.version(ctx, c, p)
	for _, f := range files {
		if rest == "" || f.Path == rest || strings.HasPrefix(f.Path, rest+"/") {
			f.Path = relative(f.Path, rest)
			out = append(out, f)
		}
	}
	return out, err
}

// relative is the path of a file below a directory; that of a file below itself is its name.
func relative(file, dir string) string {
	if file == dir {
		return file[strings.LastIndexByte(file, '/')+1:]
	}
	return strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
}
