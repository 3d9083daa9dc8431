package app

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// environment builds what a Python model needs: it is a layer of the image.
func (r *runner) environment(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	v, err := r.version(ctx, j)
	if err != nil {
		return nil, err
	}
	files := versionFiles{ctx, r.a.blobs, v}
	s, err := model.Describe(files, j.spec)
	if err != nil {
		return nil, err
	}
	if s.Runtime.Kind != route.RuntimePython {
		return passed("environment", "none is needed: the model is served by %s", runtimeName(s.Runtime.Kind)), nil
	}
	env, err := r.python(ctx, j, files, log)
	if err != nil {
		return nil, err
	}
	how := "built in " + env.Took.Round(100*time.Millisecond).String()
	if env.Cached {
		how = "built before"
	}
	return passed("environment", "%s, %s", env.Digest.Short(), how), nil
}

func runtimeName(kind string) string {
	switch kind {
	case route.RuntimeTree:
		return "the native evaluator"
	case route.RuntimeONNX:
		return "ONNX Runtime"
	case route.RuntimeCommand:
		return "a server of its own"
	default:
		return "a server elsewhere"
	}
}

// python gives the environment of a Python model, and builds it if it is not there.
func (r *runner) python(ctx context.Context, j *job, dir fs.FS, log *pipeline.Log) (pyenv.Env, error) {
	out := &logWriter{log: log, shown: func() { r.show(j.d.ID, log) }}
	defer out.flush()
	return model.Environment(ctx, r.envs, dir, j.spec, out)
}

// versionFiles is a version that is not unpacked, as a file system that only opens files.
type versionFiles struct {
	ctx   context.Context
	blobs *blob.Dir
	v     registry.Version
}

// Open opens a file of the version.
func (f versionFiles) Open(name string) (fs.File, error) {
	for _, file := range f.v.Files {
		if file.Path != name {
			continue
		}
		in, size, err := f.blobs.Open(f.ctx, file.Digest)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &versionFile{in, versionInfo{name, size}}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type versionFile struct {
	io.ReadCloser
	info versionInfo
}

// Stat describes the file.
func (f *versionFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type versionInfo struct {
	path string
	size int64
}

func (i versionInfo) Name() string     { return filepath.Base(i.path) }
func (i versionInfo) Size() int64      { return i.size }
func (versionInfo) Mode() fs.FileMode  { return 0o600 }
func (versionInfo) ModTime() time.Time { return time.Time{} }
func (versionInfo) IsDir() bool        { return false }
func (versionInfo) Sys() any           { return nil }

// logWriter makes lines of what a build prints.
type logWriter struct {
	log   *pipeline.Log
	shown func() // called after each write
	rest  []byte
}

// maxBuildLine bounds a line that has no end.
const maxBuildLine = 2 << 10

// Write adds the whole lines.
func (w *logWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 && len(w.rest) > maxBuildLine {
			i = maxBuildLine
		}
		if i < 0 {
			break
		}
		w.line(w.rest[:i])
		w.rest = w.rest[i+1:]
	}
	w.shown()
	return len(p), nil
}

func (w *logWriter) line(b []byte) {
	if text := slipway.OneLine(strings.TrimSpace(string(b)), maxBuildLine); text != "" {
		w.log.Printf("%s", text)
	}
}

func (w *logWriter) flush() {
	w.line(w.rest)
	w.rest = nil
}
