// Package model says of a model directory what it is and how it is run, for the pipeline and
// for an engineer's own machine.
package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/spec/strict"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Saved is a model as its directory describes it, and how it is run.
type Saved struct {
	Model   *mlmodel.Model
	Trees   *mlmodel.Predictor // nil unless it is evaluated natively
	Schema  tensor.Schema
	Runtime route.Runtime    // without the interpreter, which the environment has
	Results []verdict.Result // of its signature, and of the choice
}

// Describe reads a model directory and chooses what runs it: what platform.yaml says, else
// the native evaluator if it knows the model exactly, else Python.
func Describe(dir fs.FS, s *spec.Spec) (Saved, error) {
	m, err := mlmodel.Read(dir)
	if err != nil {
		return Saved{}, err
	}
	out := Saved{Model: m}
	switch x := s.Model.External; {
	case x != nil:
		out.Runtime = route.Runtime{Kind: route.RuntimeRemote, URL: x.URL, Protocol: x.Protocol, Name: x.Model, Health: s.Model.Health, Proxy: s.Model.Proxy}
	case len(s.Model.Command) > 0:
		out.Runtime = route.Runtime{Kind: route.RuntimeCommand, Command: s.Model.Command, Protocol: s.Model.Protocol, Health: s.Model.Health, Proxy: s.Model.Proxy}
	default:
		if err := out.choose(dir, s); err != nil {
			return Saved{}, err
		}
		out.alone(s)
	}
	if len(s.Secrets) > 0 {
		if k := out.Runtime.Kind; k != route.RuntimePython && k != route.RuntimeCommand {
			return Saved{}, slipway.Errorf(slipway.Invalid, slipway.CodeSecret, "remove secrets from platform.yaml",
				"the platform evaluates this model itself: no code of its own runs that could use a secret")
		}
		out.Runtime.Secrets, out.Runtime.Team = s.Secrets, s.Owner.Team
	}
	schema, results := evaluate.Signature(out.Model, out.Trees)
	out.Results = append(out.Results, results...)
	if len(schema.Inputs) > 0 { // else there is nothing to declare something of
		out.Results = append(out.Results, declare(&schema, s.Inputs)...)
	}
	out.Schema = schema
	return out, nil
}

// declare puts what platform.yaml says of inputs into the schema; what cannot be of this model
// fails.
func declare(schema *tensor.Schema, inputs tensor.Declared) []verdict.Result {
	var results []verdict.Result
	names := make([]string, len(schema.Inputs))
	for i := range schema.Inputs {
		names[i] = schema.Inputs[i].Name
	}
	for _, e := range schema.Declare(inputs) {
		next := e.Next
		if near := strict.Nearest(e.Field, names); near != "" && !slices.Contains(names, e.Field) {
			next = "did you mean " + near + "?"
		}
		results = append(results, verdict.Result{Check: "inputs", Verdict: verdict.Fail, Message: fmt.Sprintf("inputs.columns.%s %s", e.Field, e.Message), Next: next})
	}
	return results
}

// choose takes the native evaluator where it gives the library's own answers.
func (s *Saved) choose(dir fs.FS, sp *spec.Spec) error {
	if s.Model.ONNX != nil {
		return s.chooseONNX(dir, sp)
	}
	python := route.Runtime{Kind: route.RuntimePython, Workers: sp.Model.Workers, MaxRows: sp.Model.Batching.MaxRows}
	native := s.Model.XGBoost != nil || s.Model.LightGBM != nil && s.Model.LightGBM.Native()
	if !native && s.Model.Loader != "" {
		s.Runtime = python
		if s.Model.LightGBM != nil {
			s.Results = []verdict.Result{{Check: "runtime", Verdict: verdict.Pass,
				Message: "served by Python: the file is an object of it; its Booster alone (model.booster_) would be evaluated natively, which is faster"}}
		}
		return nil
	}
	_, trees, err := mlmodel.OpenTree(dir)
	var e *slipway.Error
	switch {
	case err == nil:
		s.Trees, s.Runtime = trees, route.Runtime{Kind: route.RuntimeTree}
		s.share(sp)
		return nil
	case s.Model.Loader != "" && errors.As(err, &e) && e.Code == slipway.CodeModelFormat:
		s.Runtime = python
		s.Results = []verdict.Result{{Check: "runtime", Verdict: verdict.Warn, Message: "served by Python, which is slower: " + e.Message,
			Next: "save the model without it to have it evaluated natively"}}
		return nil
	default:
		return err
	}
}

// pinnedTier is the last tier whose models stay loaded in a pool.
const pinnedTier = 2

// share puts the model into the pool of its team and environment if platform.yaml says so.
func (s *Saved) share(sp *spec.Spec) {
	if sp.Model.Placement == spec.PlacementShared {
		s.Runtime.Shared = sp.Owner.Team + "." + cmp.Or(sp.Environment, slipway.Production)
		s.Runtime.Pinned = sp.Tier <= pinnedTier
	}
}

// alone says of a model that cannot share that it does not.
func (s *Saved) alone(sp *spec.Spec) {
	if sp.Model.Placement == spec.PlacementShared && s.Runtime.Kind == route.RuntimePython {
		s.Results = append(s.Results, verdict.Result{Check: "placement", Verdict: verdict.Warn, Message: "runs in processes of its own: only models that the platform evaluates itself share one",
			Next: "remove model.placement from platform.yaml"})
	}
}

// chooseONNX takes ONNX Runtime where this machine has it and it gives MLflow's answers. Python is no
// silent second: what is slower says why.
func (s *Saved) chooseONNX(dir fs.FS, sp *spec.Spec) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err = find.Check(exe, os.Getenv); err == nil {
		m, bad := mlmodel.OpenONNX(dir)
		if bad == nil {
			s.Model, s.Runtime = m, route.Runtime{Kind: route.RuntimeONNX}
			if ignored := m.ONNX.Ignored(); ignored != "" {
				s.Results = []verdict.Result{{Check: "runtime", Verdict: verdict.Warn, Message: "served by ONNX Runtime on the processor; " + ignored + " change nothing"}}
			}
			return nil
		}
		err = bad
	}
	var e *slipway.Error
	if !errors.As(err, &e) || e.Code != slipway.CodeReplicaStart && e.Code != slipway.CodeModelFormat || s.Model.Loader == "" {
		return err
	}
	s.Runtime = route.Runtime{Kind: route.RuntimePython, Workers: sp.Model.Workers, MaxRows: sp.Model.Batching.MaxRows}
	s.Results = []verdict.Result{{Check: "runtime", Verdict: verdict.Warn, Message: "served by Python, which is slower: " + e.Message, Next: e.Next}}
	return nil
}

// Environment gives the environment of a Python model, and builds it if it is not there; out
// gets what the builder says. Errors are those of pyenv.
func Environment(ctx context.Context, b *pyenv.Builder, dir fs.FS, s *spec.Spec, out io.Writer) (pyenv.Env, error) {
	req, err := pyenv.Read(dir)
	if err != nil {
		return pyenv.Env{}, err
	}
	if s.Model.Python != "" {
		req.Python = s.Model.Python
	}
	return b.Build(ctx, req, out)
}

// Packages is where the packages of an environment lie.
func Packages(env pyenv.Env) (string, error) {
	found, err := filepath.Glob(filepath.Join(env.Dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the environment %s has no packages: %w", env.Digest.Short(), os.ErrNotExist)
	}
	return found[0], nil
}
