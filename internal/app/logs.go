package app

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
)

// logPoll is how often a caller that waits for lines has the files looked at.
const logPoll = 200 * time.Millisecond

// Logs reads the logs of an endpoint's replicas: of what runs, and of the last deployments,
// whose replicas may be gone.
func (f fleetAPI) Logs(ctx context.Context, p slipway.Principal, key string, q api.LogQuery) (api.Logs, error) {
	if _, err := f.may(ctx, p, authz.EndpointLogs, key); err != nil {
		return api.Logs{}, err
	}
	deadline := time.Now().Add(time.Duration(q.Wait) * time.Second)
	for {
		out, err := f.logs(ctx, key, q)
		if err != nil || q.After == "" || len(out.Lines) > 0 || out.Missed || !time.Now().Before(deadline) {
			return out, err
		}
		q.After = out.Cursor
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-f.a.ending:
			return out, nil
		case <-time.After(logPoll):
		}
	}
}

func (f fleetAPI) logs(ctx context.Context, key string, q api.LogQuery) (out api.Logs, err error) {
	revisions, err := f.logged(ctx, key, q.Revision)
	if err != nil {
		return out, err
	}
	if revisions, err = f.withPools(ctx, key, revisions); err != nil {
		return out, err
	}
	dir := filepath.Join(f.a.o.Config.Gateway(), "logs")
	want := logfile.Filter{Revisions: revisions, Replica: q.Replica, Request: q.Request, Level: q.Level, Since: q.Since, Until: q.Until}
	if q.After == "" {
		out.Lines, out.Cursor, err = logfile.Newest(dir, want, q.Tail)
	} else {
		ok := false
		out.Lines, out.Cursor, out.Missed, ok, err = logfile.After(dir, want, q.After)
		if !ok {
			return out, slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "ask without after", "the cursor is none that this server gave")
		}
	}
	if out.Lines == nil {
		out.Lines = []api.LogLine{}
	}
	return out, err
}

// withPools adds the pools of revisions: their files hold the lines of many, and those that
// are about the process.
func (f fleetAPI) withPools(ctx context.Context, key string, revisions []string) ([]string, error) {
	last, err := f.a.rollouts.Deployments(ctx, key, 0, 20)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(revisions)
	for _, d := range last {
		if d.Revision != nil && slices.Contains(revisions, d.Revision.ID) && !slices.Contains(out, d.Revision.Host()) {
			out = append(out, d.Revision.Host())
		}
	}
	return out, nil
}

// logged are the revisions whose logs are wanted.
func (f fleetAPI) logged(ctx context.Context, key, revision string) ([]string, error) {
	e, err := f.find(ctx, key)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range []*route.Revision{e.Stable, e.Candidate} {
		if r != nil {
			ids = append(ids, r.ID)
		}
	}
	last, err := f.a.rollouts.Deployments(ctx, key, 0, 20)
	if err != nil {
		return nil, err
	}
	for _, d := range last {
		if d.Revision != nil && (revision != "" || len(ids) < 2) && !slices.Contains(ids, d.Revision.ID) {
			ids = append(ids, d.Revision.ID)
		}
	}
	if revision == "" {
		return ids, nil
	}
	if !slices.Contains(ids, revision) {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform history "+key, "%s has no such revision", key)
	}
	return []string{revision}, nil
}
