package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/pipeline"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// runner runs the pipelines of deployments: those that are created, and after a start those
// that the last server left.
type runner struct {
	a        *App
	stages   []pipeline.Stage[*job]
	trials   *trials
	envs     *pyenv.Builder
	program  func() (oci.Program, error) // this executable as images hold it
	starting chan string
	slots    chan struct{}

	mu      sync.Mutex
	running map[string]context.CancelFunc
	logs    map[string]*pipeline.Log // of stages that take long, by deployment
	waits   map[string]string        // why a pipeline does not go on, by deployment
	closing sync.Once
}

const (
	parallel      = 4 // pipelines at once
	pipelineLimit = 30 * time.Minute
	buildLimit    = 20 * time.Minute // of an environment
)

func newRunner(a *App) (*runner, error) {
	envs, err := pyenv.New(pyenv.Options{Dir: filepath.Join(a.o.Config.Home, "environments"), UV: pyenv.FindUV(a.o.Exe), Env: os.Environ(), Limit: buildLimit, Now: time.Now})
	if err != nil {
		return nil, err
	}
	program := sync.OnceValues(func() (oci.Program, error) { return oci.Prepare(context.Background(), a.o.Config.Images(), a.o.Exe) })
	r := &runner{a: a, envs: envs, program: program, trials: &trials{a: a}, starting: make(chan string, 1000), slots: make(chan struct{}, parallel), running: map[string]context.CancelFunc{}, logs: map[string]*pipeline.Log{}, waits: map[string]string{}}
	r.stages = []pipeline.Stage[*job]{{Name: "resolve", Run: r.resolve}, {Name: "environment", Run: r.environment},
		{Name: "package", Run: r.pack}, {Name: "validate", Run: r.validate}, {Name: "release", Run: r.release}}
	return r, nil
}

// begin lets the pipeline of a deployment begin. If too many wait, the next start of the
// server finds it.
func (r *runner) begin(id string) {
	select {
	case r.starting <- id:
	default:
		r.a.o.Log.Error("too many deployments wait", "deployment", id)
	}
}

// run works until ctx ends.
func (r *runner) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = r.program() }) // takes a second the first time; who needs it gets its error
	if err := r.resume(ctx); err != nil && ctx.Err() == nil {
		r.a.o.Log.Error("deployments of the last server were not found", "error", err.Error())
	}
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-r.starting:
			wg.Go(func() { r.drive(ctx, id) })
		}
	}
}

// resume finds the deployments that were in their pipeline when the last server ended.
func (r *runner) resume(ctx context.Context) error {
	if err := r.trials.sweep(ctx); err != nil {
		return err
	}
	endpoints, err := r.a.rollouts.Endpoints(ctx)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		if e.Active == "" {
			continue
		}
		d, err := r.a.rollouts.Deployment(ctx, e.Active)
		if err != nil {
			return err
		}
		if d.Status == rollout.Running && d.State.Phase == "" && d.Revision == nil {
			r.begin(d.ID)
		}
	}
	return nil
}

// drive runs one pipeline. What it cannot finish because the server ends, the next one
// finishes.
func (r *runner) drive(ctx context.Context, id string) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return
	}
	own, cancel := context.WithTimeout(ctx, pipelineLimit)
	defer cancel()
	if !r.enter(id, cancel) {
		return
	}
	defer r.leave(id)
	err := r.execute(own, id)
	if err == nil || ctx.Err() != nil {
		return
	}
	e := slipway.AsError(err)
	r.a.o.Log.LogAttrs(ctx, slog.LevelWarn, "deployment failed", slog.String("deployment", id), slog.String("code", e.Code), slog.String("error", e.Error()), slog.Any("cause", e.Cause))
	r.fail(ctx, id, err)
}

// recordAgain is how long a pipeline waits that could not record its end.
const recordAgain = time.Second

// fail records that a pipeline has failed. While that cannot be recorded, as on a full
// disk, the deployment says why it waits.
func (r *runner) fail(ctx context.Context, id string, cause error) {
	for {
		err := r.a.controller.Fail(ctx, id, cause)
		if err == nil || ctx.Err() != nil {
			return
		}
		if why := "its end cannot be recorded: " + err.Error(); r.wait(id, why) {
			r.a.o.Log.Error("the end of a deployment was not recorded", "deployment", id, "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recordAgain):
		}
	}
}

// alone keeps pipelines waiting until release is called; ok is false while one runs.
func (r *runner) alone() (release func(), ok bool) {
	taken := 0
	release = func() {
		for range taken {
			<-r.slots
		}
	}
	for range cap(r.slots) {
		select {
		case r.slots <- struct{}{}:
			taken++
		default:
			release()
			return nil, false
		}
	}
	return release, true
}

func (r *runner) enter(id string, cancel context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[id] != nil {
		return false
	}
	r.running[id] = cancel
	return true
}

func (r *runner) leave(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, id)
	delete(r.logs, id)
	delete(r.waits, id)
}

// wait remembers why a pipeline does not go on, and tells whether that is new.
func (r *runner) wait(id, why string) bool {
	r.mu.Lock()
	known := r.waits[id]
	r.waits[id] = why
	r.mu.Unlock()
	if known != why {
		r.a.controller.Announce()
	}
	return known != why
}

// show lets people read what a stage has logged so far.
func (r *runner) show(id string, log *pipeline.Log) {
	r.mu.Lock()
	r.logs[id] = log
	r.mu.Unlock()
	r.a.controller.Announce()
}

// shown is what the stage that runs has logged so far, nil if it does not say, and why the
// pipeline does not go on, if it does not.
func (r *runner) shown(id string) (lines []string, waits string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if log := r.logs[id]; log != nil {
		lines = log.Lines()
	}
	return lines, r.waits[id]
}

// interrupt stops a pipeline whose deployment was told to end.
func (r *runner) interrupt(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.running[id]; cancel != nil {
		cancel()
	}
}

// part is the part of the layout of images that the next image will hold too.
func (r *runner) part() slipway.Digest {
	p, _ := r.program() // who needs it gets its error
	return p.Layer
}

// close stops the processes of validations.
func (r *runner) close() { r.closing.Do(r.trials.close) }

// execute runs the stages that have not passed yet.
func (r *runner) execute(ctx context.Context, id string) error {
	d, err := r.a.rollouts.Deployment(ctx, id)
	if err != nil || d.Status != rollout.Running || d.Revision != nil {
		return err
	}
	j := &job{d: d}
	if j.spec, err = specOf(d); err != nil {
		return err
	}
	done := map[string]verdict.Verdict{}
	for _, s := range d.Stages {
		done[s.Stage] = s.Verdict
		if s.Made != "" {
			j.image = s.Made
		}
	}
	if _, err := os.Stat(r.dir(j.image)); err != nil {
		delete(done, "package") // made before a crash, or lost since: it is made again
	}
	record := func(ctx context.Context, rec pipeline.Record) error {
		run := stageRun(rec)
		if rec.Stage == "package" && !rec.Finished.IsZero() {
			run.Made = j.image
		}
		return r.a.controller.Stage(ctx, id, run)
	}
	return pipeline.Execute(ctx, r.stages, j, done, record, time.Now)
}

// dir is where an image is unpacked.
func (r *runner) dir(image slipway.Digest) string {
	return filepath.Join(r.a.o.Config.Revisions(), image.Hex())
}
