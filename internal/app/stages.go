package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/app/safe"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// job is one deployment on its way through the pipeline.
type job struct {
	d     rollout.Deployment
	spec  *spec.Spec
	image slipway.Digest // once packaged
}

func passed(check, format string, args ...any) []verdict.Result {
	return []verdict.Result{{Check: check, Verdict: verdict.Pass, Message: fmt.Sprintf(format, args...)}}
}

// version finds the version that is deployed, and holds it to the digest that was asked
// for.
func (r *runner) version(ctx context.Context, j *job) (registry.Version, error) {
	v, err := r.a.models.Version(ctx, j.d.Model, registry.Ref{Number: j.d.Version})
	if err == nil && v.Digest != j.d.Digest {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "deploy again", "version %d is not what was asked for", v.Number)
	}
	return v, err
}

// resolve says what exactly is deployed.
func (r *runner) resolve(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	v, err := r.version(ctx, j)
	if err != nil {
		return nil, err
	}
	if err := r.a.safe.HasSecrets(ctx, j.spec.Owner.Team, j.spec.Secrets); err != nil {
		return nil, err
	}
	var total int64
	for _, f := range v.Files {
		total += f.Size
		log.Printf("%s %s %d bytes", f.Digest.Short(), f.Path, f.Size)
	}
	signed, err := r.signature(ctx, j, v)
	if err != nil {
		return nil, err
	}
	return append(passed("version", "%s:%d, %s, %d files, %d bytes", v.Model, v.Number, v.Digest.Short(), len(v.Files), total), signed), nil
}

// pack makes the image and unpacks it: what is judged from here on is what will run.
func (r *runner) pack(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	v, err := r.version(ctx, j)
	if err != nil {
		return nil, err
	}
	files := r.a.safe.ModelFiles(ctx, v)
	img := oci.Image{Files: files, Spec: j.spec.Canonical(), Labels: map[string]string{
		safe.LabelModel: v.Model, safe.LabelDigest: string(v.Digest),
		"org.opencontainers.image.title": v.Model, safe.LabelVersion: strconv.Itoa(v.Number)}}
	if err := r.runnable(ctx, j, v, &img, log); err != nil {
		return nil, err
	}
	image, err := oci.Build(ctx, r.a.o.Config.Images(), img)
	if err != nil {
		return nil, err
	}
	if err := oci.Unpack(ctx, r.a.o.Config.Images(), image, files, r.dir(image)); err != nil {
		return nil, err
	}
	j.image = image
	log.Printf("image %s", image)
	return passed("image", "%s", image.Short()), nil
}

// read opens the unpacked image, and finds its environment.
func (r *runner) read(ctx context.Context, j *job, log *pipeline.Log) (model.Saved, error) {
	root, err := os.OpenRoot(r.dir(j.image))
	if err != nil {
		return model.Saved{}, homeError(err)
	}
	defer root.Close()
	s, err := model.Describe(root.FS(), j.spec)
	if err != nil || s.Runtime.Kind != route.RuntimePython {
		return s, err
	}
	env, err := r.python(ctx, j, root.FS(), log)
	s.Runtime.Python = env.Python
	return s, err
}

// revision is what would run; the endpoint gives it its number and name.
func (r *runner) revision(j *job, s model.Saved) route.Revision {
	return route.Revision{Model: j.d.Model, Version: j.d.Version, VersionDigest: j.d.Digest, ImageDigest: j.image, Dir: r.dir(j.image),
		Runtime: s.Runtime, Schema: s.Schema, Replicas: j.spec.Replicas, MemoryBytes: j.spec.Resources.MemoryBytes, MilliCPU: j.spec.Resources.MilliCPU}
}

// validate runs the packaged digest, apart from all traffic, and judges it.
func (r *runner) validate(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	s, err := r.read(ctx, j, log)
	if err != nil {
		return nil, err
	}
	results := s.Results
	compatible, err := r.compatible(ctx, j, s)
	if err != nil {
		return results, err
	}
	if results = append(results, compatible...); verdict.Fold(results) == verdict.Fail {
		return results, nil
	}
	rev := r.revision(j, s)
	rev.ID = trialID(j.d.ID, 1)
	live := r.live(ctx, j) // it loads while the candidate does
	defer live.stop()
	predict, err := r.trials.start(ctx, &rev)
	defer r.trials.stop(rev.ID)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeDiskFull}) {
		return results, err
	}
	if err != nil {
		return append(results, verdict.Result{Check: "start", Verdict: verdict.Fail, Message: slipway.AsError(err).Message, Next: slipway.AsError(err).Next}), nil
	}
	log.Printf("runs as %s", s.Runtime.Kind)
	candidate := evaluate.Model{Schema: s.Schema, Predict: predict}
	more, err := r.judge(ctx, j, s, candidate, live.model(candidate, log))
	return append(results, more...), err
}

// judge makes every check that the platform.yaml and the model give cause for.
func (r *runner) judge(ctx context.Context, j *job, s model.Saved, candidate evaluate.Model, live *evaluate.Model) ([]verdict.Result, error) {
	root, err := os.OpenRoot(r.dir(j.image))
	if err != nil {
		return nil, homeError(err)
	}
	defer root.Close()
	results, err := evaluate.Example(ctx, root.FS(), s.Model, candidate)
	if err != nil {
		return results, err
	}
	if want := j.spec.Validation.Latency; want != nil {
		rows, err := r.sample(ctx, j, s, root.FS())
		if err != nil {
			return results, err
		}
		more, err := evaluate.Latency(ctx, rows, *want, candidate, time.Now)
		if results = append(results, more...); err != nil {
			return results, err
		}
	}
	if g := j.spec.Validation.Golden; g != nil {
		in, _, err := r.a.blobs.Open(ctx, j.d.Files[roleGolden])
		if err != nil {
			return results, err
		}
		defer in.Close()
		more, err := evaluate.Goldens(ctx, in, *g, candidate)
		if results = append(results, more...); err != nil {
			return results, err
		}
	}
	if j.spec.Validation.Dataset == nil {
		return results, nil
	}
	in, _, err := r.a.blobs.Open(ctx, j.d.Files[roleDataset])
	if err != nil {
		return results, err
	}
	defer in.Close()
	more, err := evaluate.Holdout(ctx, in, j.spec.Validation, candidate, live)
	return append(results, more...), err
}

// compatible holds the schema to that of what serves, unless platform.yaml allows a break.
func (r *runner) compatible(ctx context.Context, j *job, s model.Saved) ([]verdict.Result, error) {
	if j.spec.Validation.Compatible != spec.CompatibleBackward {
		return nil, nil
	}
	e, err := r.a.rollouts.Endpoint(ctx, j.d.Endpoint)
	if err != nil || e.Serving() == nil {
		return nil, err
	}
	return evaluate.Compatible(e.Serving().Schema, s.Schema), nil
}

// sample is some rows to ask for: of the hold-out file, else of the model's example.
func (r *runner) sample(ctx context.Context, j *job, s model.Saved, dir fs.FS) (*tensor.Batch, error) {
	if j.spec.Validation.Dataset == nil {
		return evaluate.ExampleRows(dir, s.Model, &s.Schema), nil
	}
	in, _, err := r.a.blobs.Open(ctx, j.d.Files[roleDataset])
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return evaluate.HoldoutRows(in, j.spec.Validation, &s.Schema)
}

// counterpart is the version that serves now, to compare a candidate with.
type counterpart struct {
	stop    func()
	started chan struct{} // closed once it answers, or is known not to
	schema  tensor.Schema
	predict evaluate.Predict
	err     error
	same    bool // it is the candidate's version
}

// live starts the version that serves now, if the hold-out rows are to be given to both.
func (r *runner) live(ctx context.Context, j *job) *counterpart {
	c := &counterpart{stop: func() {}}
	e, err := r.a.rollouts.Endpoint(ctx, j.d.Endpoint)
	if err != nil || e.Serving() == nil || j.spec.Validation.Dataset == nil {
		return c
	}
	rev := *e.Serving()
	if c.same = rev.VersionDigest == j.d.Digest; c.same {
		return c
	}
	rev.ID, rev.Replicas = trialID(j.d.ID, 2), 1
	c.started, c.schema = make(chan struct{}), rev.Schema
	starting, giveUp := context.WithCancel(ctx)
	c.stop = func() {
		giveUp()
		<-c.started
		r.trials.stop(rev.ID)
	}
	go func() {
		defer close(c.started)
		c.predict, c.err = r.trials.start(starting, &rev)
	}()
	return c
}

// model waits until it answers. Without one there is nothing to compare; one that does not
// start answers every question with why.
func (c *counterpart) model(candidate evaluate.Model, log *pipeline.Log) *evaluate.Model {
	if c.same {
		return &candidate
	}
	if c.started == nil {
		return nil
	}
	<-c.started
	if c.err != nil {
		log.Printf("the live version was not started for a comparison: %s", slipway.AsError(c.err).Message)
		c.predict = func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return nil, c.err }
	}
	return &evaluate.Model{Schema: c.schema, Predict: c.predict}
}

// release hands the revision to the endpoint.
func (r *runner) release(ctx context.Context, j *job, log *pipeline.Log) ([]verdict.Result, error) {
	told, err := r.a.controller.Commanded(ctx, j.d.ID)
	if err != nil {
		return nil, err
	}
	if told {
		return nil, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform deploy", "the deployment was told to stop")
	}
	s, err := r.read(ctx, j, log)
	if err != nil {
		return nil, err
	}
	if err := r.a.controller.Release(ctx, j.d.ID, r.revision(j, s), j.spec.Tier.P0()); err != nil {
		return nil, err
	}
	return passed("rollout", "begins"), nil
}

// checkLive sends the goldens of a first deployment through the gateway, to the revision
// that has no traffic yet.
func (a *App) checkLive(ctx context.Context, d rollout.Deployment) (bool, string, error) {
	s, err := specOf(d)
	if err != nil {
		return false, "", err
	}
	if s.Validation.Golden == nil {
		return true, "there are no goldens", nil
	}
	in, _, err := a.blobs.Open(ctx, d.Files[roleGolden])
	if err != nil {
		return false, "", err
	}
	defer in.Close()
	predict := func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		body, err := a.admin.Predict(ctx, d.Endpoint, d.Revision.ID, tensor.AppendInferRequest(nil, in))
		if err != nil {
			return nil, err
		}
		return tensor.ParseInferResponse(body)
	}
	results, err := evaluate.Goldens(ctx, in, *s.Validation.Golden, evaluate.Model{Schema: d.Revision.Schema, Predict: predict})
	if err != nil {
		return false, "", err
	}
	for _, res := range results {
		if res.Verdict != verdict.Pass && res.Verdict != verdict.Warn {
			return false, "on the live path: " + res.Message, nil
		}
	}
	return true, fmt.Sprintf("%d checks passed on the live path", len(results)), nil
}
