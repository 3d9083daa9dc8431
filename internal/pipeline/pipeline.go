// Package pipeline runs the stages that bring a version to a release: values in a slice,
// each idempotent and recorded, so that a server killed in any of them goes on after its
// next start.
package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Stage is one step of the pipeline. Run judges or makes something of the subject; it may
// be run again after a crash, and must then find what it made. An error ends the pipeline
// as much as a failing or unknown verdict does.
type Stage[S any] struct {
	Name string
	Run  func(ctx context.Context, subject S, log *Log) ([]verdict.Result, error)
}

// Record is what is kept of one run of one stage.
type Record struct {
	Stage    string
	Verdict  verdict.Verdict
	Results  []verdict.Result
	Log      []string
	Started  time.Time
	Finished time.Time // zero while it runs
}

// Recorder keeps the records. A record with the same stage replaces the earlier one.
type Recorder func(ctx context.Context, r Record) error

// Execute runs the stages in order and stops at the first that does not pass. Stages
// whose verdict in done is pass or warn are not run again. It answers with an Error whose
// code is CodeGate or CodeGateUnknown when a stage judged, or with the stage's own error.
func Execute[S any](ctx context.Context, stages []Stage[S], subject S, done map[string]verdict.Verdict, record Recorder, now func() time.Time) error {
	for _, st := range stages {
		if v := done[st.Name]; v == verdict.Pass || v == verdict.Warn {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r := Record{Stage: st.Name, Started: now()}
		if err := record(ctx, r); err != nil {
			return err
		}
		log := &Log{}
		results, runErr := st.Run(ctx, subject, log)
		if ctx.Err() != nil { // stopped, not failed: the next start runs the stage again
			return ctx.Err()
		}
		r.Results, r.Log, r.Finished, r.Verdict = results, log.Lines(), now(), verdict.Fold(results)
		if runErr != nil {
			r.Verdict = verdict.Fail
			r.Results = append(r.Results, verdict.Result{Check: st.Name, Verdict: verdict.Fail,
				Message: slipway.AsError(runErr).What(), Next: slipway.AsError(runErr).Next})
		}
		if err := record(ctx, r); err != nil {
			return err
		}
		if runErr != nil {
			return runErr
		}
		if err := gate(st.Name, r); err != nil {
			return err
		}
	}
	return nil
}

// gate turns a verdict that does not promote into an error that names the check.
func gate(stage string, r Record) error {
	if r.Verdict == verdict.Pass || r.Verdict == verdict.Warn {
		return nil
	}
	e := &slipway.Error{Code: slipway.CodeGate, Kind: slipway.Unprocessable, Message: stage + " did not pass"}
	if r.Verdict == verdict.Unknown {
		e.Code = slipway.CodeGateUnknown
		e.Message = stage + " could not judge, and what was not judged has not passed"
	}
	for _, res := range r.Results {
		if res.Verdict == r.Verdict {
			e.Message += fmt.Sprintf(": %s: %s", res.Check, res.Message)
			e.Next = res.Next
			break
		}
	}
	return e
}

// maxLines bounds what a stage may log.
const maxLines = 200

// Log collects the lines of one stage, at most 200.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Printf adds a line.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < maxLines {
		l.lines = append(l.lines, fmt.Sprintf(format, args...))
	}
}

// Lines gives what was logged.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
