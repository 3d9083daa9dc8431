package app

import (
	"context"
	"errors"
	goruntime "runtime"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime"
)

// runnable adds to an image what makes it a container image: this program and, for Python,
// the base with the interpreter and the environment. An image of a Python model without a
// base, or of a server elsewhere, holds data: it is served here, and cannot run by itself.
func (r *runner) runnable(ctx context.Context, j *job, v registry.Version, img *oci.Image, log *pipeline.Log) error {
	files := versionFiles{ctx, r.a.blobs, v}
	s, err := model.Describe(files, j.spec)
	if err != nil {
		return err
	}
	base := r.a.o.Config.PythonBase
	if s.Runtime.Kind == route.RuntimeONNX {
		log.Printf("the image cannot run by itself: it holds the model, and not ONNX Runtime")
		return nil
	}
	if s.Runtime.Kind == route.RuntimeRemote || s.Runtime.Kind == route.RuntimePython && base == "" {
		return nil
	}
	program, err := r.program()
	if errors.Is(err, &slipway.Error{Code: slipway.CodeInvalid}) {
		log.Printf("the image cannot run by itself: %s", slipway.AsError(err).Message) // a build for development
		return nil
	}
	if err != nil {
		return err
	}
	img.Runtime = program
	img.Env = map[string]string{runtime.EnvModel: v.Model, runtime.EnvVersion: strconv.Itoa(v.Number), runtime.EnvKind: s.Runtime.Kind}
	if s.Runtime.Kind != route.RuntimePython {
		return nil
	}
	env, err := r.python(ctx, j, files, log)
	if err != nil {
		return err
	}
	dir, err := model.Packages(env)
	if err != nil {
		return err
	}
	img.Environment = oci.Environment{Dir: dir, Key: env.Digest}
	img.Base, err = oci.Pull(ctx, r.a.o.Config.Images(), base, goruntime.GOARCH, oci.Remote{})
	return err
}
