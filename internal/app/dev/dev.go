// Package dev serves a project on an engineer's own machine, without a platform: in the
// protocols, with the checks and the errors that it will have there, loaded again whenever
// its files change, with a page to try it.
package dev

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/pyenv"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// version is what answers of this server name as the model's version.
const version = "dev"

// Options say what is served, and where.
type Options struct {
	File        string // platform.yaml, absolute
	Environment string
	Port        int    // 0 for any
	Once        bool   // make the first prediction, and end
	Watch       bool   // load again when files change
	Home        string // of the platform: environments of Python models are kept there
	Exe         string // this program
	Version     string
	Env         []string
	Log         *slog.Logger // of the model and of its server
	Out         io.Writer    // what builds of environments say
	Event       func(Event)  // is told what happens
}

// Event is what happened: "serving", "reloaded", "refused" (a newer state is not served) or
// "stopped" (the model has ended by itself).
type Event struct {
	Event   string                     `json:"event"`
	Name    string                     `json:"name"`
	Runtime string                     `json:"runtime,omitempty"`
	URL     string                     `json:"url,omitempty"`
	TookMS  float64                    `json:"took_ms,omitempty"` // of loading
	Checks  []verdict.Result           `json:"checks,omitempty"`
	First   map[string]json.RawMessage `json:"first,omitempty"`    // what the model answers to its own example
	FirstMS float64                    `json:"first_ms,omitempty"` // after how long
	Problem *slipway.Error             `json:"problem,omitempty"`
}

// Run serves until ctx ends, or once. With Once it answers CodeGate if a check failed or no
// example was answered.
func Run(ctx context.Context, o Options) error {
	envs, err := pyenv.New(pyenv.Options{Dir: filepath.Join(o.Home, "environments"), UV: pyenv.FindUV(o.Exe), Env: o.Env, Limit: buildLimit, Now: time.Now})
	if err != nil {
		return err
	}
	r := &runner{o: o, p: project{o.File, o.Environment}, envs: envs}
	if o.Once {
		return r.once(ctx)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		return &slipway.Error{Code: slipway.CodeListen, Kind: slipway.Unavailable, Message: "port " + strconv.Itoa(o.Port) + " is taken", Next: "platform dev --port 0", Cause: err}
	}
	defer ln.Close()
	last := fingerprint(r.paths()) // before they are read
	if err := r.reload(ctx, "serving", "http://"+ln.Addr().String()); err != nil {
		return err
	}
	defer r.server.swap(nil)
	return r.serve(ctx, ln, last)
}

// runner is a run of dev.
type runner struct {
	o      Options
	p      project
	envs   *pyenv.Builder
	server server
	number int
}

// serve answers until ctx ends, and loads again what has changed.
func (r *runner) serve(ctx context.Context, ln net.Listener, last uint64) error {
	h := &http.Server{Handler: &r.server, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(r.o.Log.Handler(), slog.LevelDebug)}
	broken := make(chan error, 1)
	go func() { broken <- h.Serve(ln) }()
	watching := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); <-watching }()
	go func() {
		defer close(watching)
		if r.o.Watch {
			changes(ctx, last, r.paths, func() { _ = r.reload(ctx, "reloaded", "") }) // it was told
		}
	}()
	select {
	case err := <-broken:
		return err
	case <-ctx.Done():
		end, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if err := h.Shutdown(end); err != nil {
			h.Close()
		}
		return nil
	}
}

// paths are the files whose changes count.
func (r *runner) paths() []string {
	out := []string{r.p.file}
	if s, err := r.p.read(); err == nil {
		if s.Model.Source.Dir != "" {
			out = append(out, r.p.path(s.Model.Source.Dir))
		}
		if g := s.Validation.Golden; g != nil {
			out = append(out, r.p.path(g.File))
		}
	}
	return out
}

// reload loads the project and puts it in place of the state before. One that cannot be
// loaded leaves that serving.
func (r *runner) reload(ctx context.Context, event, url string) error {
	began := time.Now()
	l, err := r.p.load(ctx, r.envs, r.o.Log, r.o.Out)
	if ctx.Err() != nil {
		if err == nil {
			l.stop()
		}
		return ctx.Err()
	}
	if err != nil {
		e := slipway.AsError(err)
		r.server.refuse(e)
		if url == "" {
			r.o.Event(Event{Event: "refused", Name: filepath.Base(r.p.file), Problem: e})
		}
		return err
	}
	r.number++
	ev := l.event(ctx, event)
	ev.URL, ev.TookMS = url, milliseconds(time.Since(began))
	r.server.swap(&serving{loaded: l, handler: handlerOf(l, r.o), number: r.number, since: time.Now()})
	r.o.Event(ev)
	if l.failed != nil {
		go r.watchFailure(ctx, l, r.number)
	}
	return nil
}

// watchFailure tells when a model ends by itself.
func (r *runner) watchFailure(ctx context.Context, l *loaded, number int) {
	select {
	case <-ctx.Done():
	case err := <-l.failed:
		now := r.server.take()
		if now == nil {
			return
		}
		defer now.asked.Done()
		if now.number == number && ctx.Err() == nil {
			e := &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Unavailable, Message: err.Error(), Next: "mend it and save: it is loaded again"}
			r.server.refuse(e)
			r.o.Event(Event{Event: "stopped", Name: l.spec.Endpoint(), Problem: e})
		}
	}
}

// once loads the project, asks it and ends it.
func (r *runner) once(ctx context.Context) error {
	began := time.Now()
	l, err := r.p.load(ctx, r.envs, r.o.Log, r.o.Out)
	if err != nil {
		return err
	}
	defer l.stop()
	ev := l.event(ctx, "serving")
	ev.TookMS = milliseconds(time.Since(began))
	r.o.Event(ev)
	if verdict.Fold(l.results) == verdict.Fail || ev.Problem != nil {
		return &slipway.Error{Code: slipway.CodeGate, Kind: slipway.Unprocessable, Message: "a check of " + ev.Name + " failed", Next: "platform dev, and mend the model"}
	}
	return nil
}

// event tells of a state, with what it answers to its own example.
func (l *loaded) event(ctx context.Context, name string) Event {
	ev := Event{Event: name, Name: l.spec.Endpoint(), Runtime: l.saved.Runtime.Kind, Checks: l.results}
	if l.example == nil {
		return ev
	}
	began := time.Now()
	out, err := evaluate.Predict(l.model.Predict)(ctx, l.example)
	ev.FirstMS = milliseconds(time.Since(began))
	if err != nil {
		ev.Problem = slipway.AsError(err)
		return ev
	}
	ev.First = values(out)
	return ev
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
