package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

const (
	maxSource  = 1 << 20 // bytes of a platform.yaml that are read
	buildLimit = 20 * time.Minute
	startLimit = 2 * time.Minute
)

// loaded is one state of a project, served.
type loaded struct {
	spec    *spec.Spec
	saved   model.Saved
	example *tensor.Batch // a few rows, nil if there are none
	model   standalone.Predictor
	failed  <-chan error
	stop    func()
	results []verdict.Result // of the checks that need no hold-out rows
}

// project is what is served: a platform.yaml and what it names.
type project struct {
	file        string // absolute
	environment string
}

// read reads the project's file for its environment.
func (p project) read() (*spec.Spec, error) {
	f, err := os.Open(p.file)
	if err != nil {
		return nil, &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: "there is no " + p.file, Next: "platform init DIRECTORY", Cause: err}
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxSource))
	if err != nil {
		return nil, err
	}
	s, err := spec.Load(filepath.Base(p.file), src)
	if err != nil {
		return nil, err
	}
	return s.In(p.environment)
}

func (p project) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(p.file), name)
}

// load makes a project answer.
func (p project) load(ctx context.Context, b *pyenv.Builder, log *slog.Logger, out io.Writer) (*loaded, error) {
	s, err := p.read()
	if err != nil {
		return nil, err
	}
	if s.Model.Source.Dir == "" && s.Model.External == nil {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "name a directory as model.source, such as one that has it: mlflow artifacts download -u "+s.Model.Source.URI()+" -d model",
			"model.source is not a directory, and dev serves one")
	}
	dir := p.path(s.Model.Source.Dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &slipway.Error{Code: slipway.CodeModelDir, Kind: slipway.Unprocessable, Message: "there is no model in " + dir,
			Next: "train it: python train.py", Cause: err}
	}
	defer root.Close()
	l := &loaded{spec: s}
	if l.saved, err = model.Describe(root.FS(), s); err != nil {
		return nil, err
	}
	cfg, err := p.config(ctx, l, dir, root.FS(), b, out)
	if err != nil {
		return nil, err
	}
	if l.model, l.failed, l.stop, err = runtime.Load(ctx, cfg, log); err != nil {
		return nil, &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Unprocessable, Message: err.Error(), Next: "read what it printed above", Cause: err}
	}
	if err := p.check(ctx, l, root.FS()); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

// config says how the model is run: as a replica of it would be.
func (p project) config(ctx context.Context, l *loaded, dir string, files fs.FS, b *pyenv.Builder, out io.Writer) (runtime.Config, error) {
	s := l.spec
	if l.saved.Runtime.Kind == route.RuntimePython {
		s = s.InPython()
		env, err := model.Environment(ctx, b, files, s, out)
		if err != nil {
			return runtime.Config{}, err
		}
		l.saved.Runtime.Python = env.Python
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return runtime.Config{}, err
	}
	reach, err := config.Config{}.Reach() // of an engineer's own machine
	return runtime.Config{Reach: reach, Socket: filepath.Join(os.TempDir(), fmt.Sprintf("slipway-dev-%d.sock", os.Getpid())), Dir: dir, Runtime: l.saved.Runtime, Model: s.Endpoint(),
		Revision: version, Replica: version, Log: os.DevNull, MilliCPU: s.Resources.MilliCPU, StartTimeout: startLimit}, err
}

// check asks the model what can be asked without an owner's data: its own example, and the
// golden rows. A check that fails is a result, not an error.
func (p project) check(ctx context.Context, l *loaded, dir fs.FS) error {
	m := evaluate.Model{Schema: l.saved.Schema, Predict: l.model.Predict}
	results, err := evaluate.Example(ctx, dir, l.saved.Model, m)
	if err != nil {
		return err
	}
	l.results = append(l.saved.Results, results...)
	l.example = evaluate.ExampleRows(dir, l.saved.Model, &l.saved.Schema)
	g := l.spec.Validation.Golden
	if g == nil {
		return nil
	}
	text, err := os.ReadFile(p.path(g.File))
	if errors.Is(err, fs.ErrNotExist) {
		l.results = append(l.results, verdict.Result{Check: "golden", Verdict: verdict.Unknown, Message: g.File + " is not there", Next: "train the model: python train.py"})
		return nil
	}
	if err != nil {
		return err
	}
	if results, err = evaluate.Goldens(ctx, bytes.NewReader(text), *g, m); err != nil {
		return err
	}
	l.results = append(l.results, results...)
	if l.example == nil {
		l.example = firstGolden(text, &l.saved.Schema)
	}
	return nil
}
