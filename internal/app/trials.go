package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/evaluate"
	"github.com/slipway-ml/slipway/internal/process"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// trials runs revisions for validation: as replicas run, but apart from all traffic, under
// a supervisor of the server's own.
type trials struct {
	a *App

	mu     sync.Mutex
	sup    *process.Supervisor // nil before the first
	wanted map[string]*route.Revision
}

const (
	trialStart   = 150 * time.Second // more than a supervisor gives a process
	trialPoll    = 5 * time.Millisecond
	trialRequest = 30 * time.Second
	tailLines    = 3 // of its log, in the error of a trial that does not start
	sweepWait    = 100 * time.Millisecond
	sweepLimit   = 5 * time.Second
)

// supervisor gives the supervisor; t.mu is held.
func (t *trials) supervisor(ctx context.Context) (*process.Supervisor, error) {
	if t.sup != nil {
		return t.sup, nil
	}
	sup, err := t.supervise(context.WithoutCancel(ctx), t.own())
	t.sup, t.wanted = sup, map[string]*route.Revision{}
	return sup, err
}

// dir holds a directory for the trials of each server: one that is paused keeps the lock
// on its own.
func (t *trials) dir() string { return filepath.Join(t.a.o.Config.Home, "trials") }

func (t *trials) own() string { return filepath.Join(t.dir(), strconv.Itoa(os.Getpid())) }

func (t *trials) supervise(ctx context.Context, dir string) (*process.Supervisor, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, homeError(err)
	}
	reach, err := t.a.o.Config.Reach()
	if err != nil {
		return nil, err
	}
	return process.New(ctx, process.Options{Dir: dir, RunDir: t.a.runDir, Command: runtimeCommand(t.a.o.Exe, reach), Env: replicaEnv(os.Environ()), Secrets: t.a.safe.Environment,
		Dial: dialReplica, Log: t.a.o.Log, Now: time.Now, Rand: rand.IntN, Cgroups: cgroups})
}

// want adds or removes a revision.
func (t *trials) want(ctx context.Context, id string, rev *route.Revision) (*process.Supervisor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sup, err := t.supervisor(ctx)
	if err != nil {
		t.sup = nil
		return nil, err
	}
	if rev != nil {
		t.wanted[id] = rev
	} else {
		delete(t.wanted, id)
	}
	sup.Want(slices.Collect(maps.Values(t.wanted)))
	return sup, nil
}

// sweep ends what the trials of servers that died have left. The lock on the trials of one
// that lives is held.
func (t *trials) sweep(ctx context.Context) error {
	left, err := os.ReadDir(t.dir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range left {
		dir := filepath.Join(t.dir(), e.Name())
		if dir == t.own() {
			continue
		}
		short, cancel := context.WithTimeout(ctx, sweepWait)
		sup, err := t.supervise(short, dir)
		cancel()
		if err != nil {
			continue
		}
		end, cancel := context.WithTimeout(ctx, sweepLimit)
		err = sup.StopAll(end)
		cancel()
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.a.o.Log.Warn("what a dead server tried is not all ended", "error", err.Error())
		}
	}
	return err
}

// start runs one replica of a revision and waits until it is ready. It answers
// CodeReplicaStart, with the last lines of its log, if it never is.
func (t *trials) start(ctx context.Context, rev *route.Revision) (evaluate.Predict, error) {
	rev.Replicas, rev.Runtime.Shared = 1, "" // apart from whatever serves
	sup, err := t.want(ctx, rev.ID, rev)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, trialStart)
	defer cancel()
	for {
		st := sup.Status(rev.ID)
		if st.Ready > 0 {
			break
		}
		last := route.ReplicaStatus{Reason: "it was not ready in time"}
		for _, r := range st.Replicas {
			if r.Restarts > 0 {
				return nil, notStarted(r)
			}
			if r.State == route.ReplicaHeld {
				last = r
			}
		}
		select {
		case <-time.After(trialPoll):
		case <-ctx.Done():
			return nil, notStarted(last)
		}
	}
	return func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		ctx, cancel := context.WithTimeout(ctx, trialRequest)
		defer cancel()
		return sup.Predict(ctx, rev.ID, in)
	}, nil
}

// trialID names a trial as revisions are named: it becomes part of file names.
func trialID(deployment string, n int) string {
	return fmt.Sprintf("trial-%s-%d", strings.ReplaceAll(deployment, "_", "-"), n)
}

// notStarted says why, from the first failure on: a trial is not retried.
func notStarted(r route.ReplicaStatus) error {
	message := "the model does not start: " + r.Reason
	if last := r.LogTail[max(0, len(r.LogTail)-tailLines):]; len(last) > 0 {
		message += "; its log ends with: " + strings.Join(last, " | ")
	}
	if r.State == route.ReplicaHeld {
		return slipway.Errorf(slipway.Exhausted, slipway.CodeDiskFull, "free space on the disk of the home directory, then deploy again", "%s", message)
	}
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeReplicaStart, "start the model by itself and correct it, then deploy again", "%s", message)
}

// stop ends a trial.
func (t *trials) stop(id string) {
	if _, err := t.want(context.Background(), id, nil); err != nil {
		t.a.o.Log.Error("a trial was not stopped", "trial", id, "error", err.Error())
	}
}

// close ends every trial.
func (t *trials) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sup == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := t.sup.StopAll(ctx)
	if err == nil {
		err = os.RemoveAll(t.own())
	}
	if err != nil {
		t.a.o.Log.Warn("trials were not all stopped", "error", err.Error())
	}
}
