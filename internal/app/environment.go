package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// saved is a model as its directory describes it, and how it is run.
type saved struct {
	model   *mlmodel.Model
	trees   *mlmodel.Predictor // nil unless it is evaluated natively
	schema  tensor.Schema
	runtime route.Runtime    // without the interpreter, which the environment has
	results []verdict.Result // of its signature, and of the choice
}

// describe reads a model directory and chooses what runs it: what platform.yaml says, else
// the native evaluator if it knows the model exactly, else Python.
func describe(dir fs.FS, s *spec.Spec) (saved, error) {
	m, err := mlmodel.Read(dir)
	if err != nil {
		return saved{}, err
	}
	out := saved{model: m}
	switch x := s.Model.External; {
	case x != nil:
		out.runtime = route.Runtime{Kind: route.RuntimeRemote, URL: x.URL, Protocol: x.Protocol, Name: x.Model}
	case len(s.Model.Command) > 0:
		out.runtime = route.Runtime{Kind: route.RuntimeCommand, Command: s.Model.Command}
	default:
		if err := out.choose(dir, s); err != nil {
			return saved{}, err
		}
	}
	schema, results := evaluate.Signature(m, out.trees)
	out.schema, out.results = schema, append(out.results, results...)
	return out, nil
}

// choose takes the native evaluator where it gives the library's own answers.
func (s *saved) choose(dir fs.FS, sp *spec.Spec) error {
	python := route.Runtime{Kind: route.RuntimePython, Workers: sp.Model.Workers, MaxRows: sp.Model.Batching.MaxRows}
	if s.model.XGBoost == nil && s.model.Loader != "" {
		s.runtime = python
		return nil
	}
	_, trees, err := mlmodel.OpenTree(dir)
	var e *slipway.Error
	switch {
	case err == nil:
		s.trees, s.runtime = trees, route.Runtime{Kind: route.RuntimeTree}
		return nil
	case s.model.Loader != "" && errors.As(err, &e) && e.Code == slipway.CodeModelFormat:
		s.runtime = python
		s.results = []verdict.Result{{Check: "runtime", Verdict: verdict.Warn, Message: "served by Python, which is slower: " + e.Message,
			Next: "save the model without it to have it evaluated natively"}}
		return nil
	default:
		return err
	}
}

// environment builds what a Python model needs: it is a layer of the image.
func (r *runner) environment(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	v, err := r.version(ctx, j)
	if err != nil {
		return nil, err
	}
	files := versionFiles{ctx, r.a.blobs, v}
	s, err := describe(files, j.spec)
	if err != nil {
		return nil, err
	}
	if s.runtime.Kind != route.RuntimePython {
		return passed("environment", "none is needed: the model is served by %s", runtimeName(s.runtime.Kind)), nil
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
	case route.RuntimeCommand:
		return "a server of its own"
	default:
		return "a server elsewhere"
	}
}

// python gives the environment of a Python model, and builds it if it is not there.
func (r *runner) python(ctx context.Context, j *job, dir fs.FS, log *pipeline.Log) (pyenv.Env, error) {
	req, err := pyenv.Read(dir)
	if err != nil {
		return pyenv.Env{}, err
	}
	if j.spec.Model.Python != "" {
		req.Python = j.spec.Model.Python
	}
	out := &logWriter{log: log, shown: func() { r.show(j.d.ID, log) }}
	env, err := r.envs.Build(ctx, req, out)
	out.flush()
	return env, err
}

// packages is where the packages of an environment lie.
func packages(env pyenv.Env) (string, error) {
	found, err := filepath.Glob(filepath.Join(env.Dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the environment %s has no packages: %w", env.Digest.Short(), os.ErrNotExist)
	}
	return found[0], nil
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
